package kernel

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// foreignTap is a packet socket that is bound to no device and takes all packets, or IP's.
type foreignTap struct {
	protocol uint16 // as in linux/if_ether.h, host byte order
	netns    string // as /proc/PID/ns/net shows it
}

// foreignTaps are the packet sockets, by inode, that see every packet of the host,
// whatever their network namespace: before 6.15 the kernel has one list for all.
// From then on there are none: a namespace's own is not another's.
func foreignTaps() (taps map[uint64]foreignTap, unknown []string) {
	types, err := kernelTypes()
	if err != nil {
		return nil, []string{"unknown whether others' packet sockets see every packet: " + reason(err)}
	}
	if tapsStayAtHome(types) {
		return nil, nil
	}
	return allTaps(), nil
}

// tapsStayAtHome: the lists of packet sockets are the network namespaces' own (6.15).
func tapsStayAtHome(types *btf.Spec) bool {
	var net *btf.Struct
	return types.TypeByName("net", &net) == nil &&
		slices.ContainsFunc(net.Members, func(m btf.Member) bool { return m.Name == "ptype_all" })
}

// allTaps reads the packet sockets of every network namespace that a process is in.
func allTaps() map[uint64]foreignTap {
	taps, read := map[uint64]foreignTap{}, map[string]bool{}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		netns, err := os.Readlink(dir + "/ns/net")
		if err != nil || read[netns] {
			continue
		}
		read[netns] = true
		text, _ := os.ReadFile(dir + "/net/packet")
		parseTaps(string(text), netns, taps)
	}
	return taps
}

// parseTaps reads /proc/net/packet: sk RefCnt Type Proto Iface R Rmem User Inode.
func parseTaps(text, netns string, taps map[uint64]foreignTap) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 9 || words[4] != "0" {
			continue
		}
		protocol, err1 := strconv.ParseUint(words[3], 16, 16)
		inode, err2 := strconv.ParseUint(words[8], 10, 64)
		if err1 != nil || err2 != nil || !slices.Contains([]uint64{unix.ETH_P_ALL, unix.ETH_P_IP, unix.ETH_P_IPV6}, protocol) {
			continue // the heading, or LLDP and the like
		}
		taps[inode] = foreignTap{uint16(protocol), netns}
	}
}

func tapTaxes(taps map[uint64]foreignTap, h *held) (lines []string) {
	for _, inode := range slices.Sorted(maps.Keys(taps)) {
		who := h.taps[inode]
		if who == "" {
			who = "somebody"
		}
		lines = append(lines, fmt.Sprintf("a packet socket of %s in %s is offered every namespace's packets", who, taps[inode].netns))
	}
	return lines
}
