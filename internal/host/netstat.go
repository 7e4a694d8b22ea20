package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// NetStat are some counters of a network namespace's stack, since it was made, as
// nstat(8) names them, and how many ports connect() may choose from.
type NetStat struct {
	ListenOverflows      uint64
	TCPReqQFullDrop      uint64
	TCPReqQFullDoCookies uint64
	LocalPorts           uint32 // 0 unknown
}

// NetStatHere reads those of the calling thread's namespace (proc_pid_net(5)).
func NetStatHere() (n NetStat, err error) {
	text, err := os.ReadFile("/proc/thread-self/net/netstat")
	if err != nil {
		return n, fmt.Errorf("read counters of a network namespace: %w", err)
	}
	n.parse(string(text))
	if text, err = os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil { // no IPv4, no file
		var low, high uint32
		if k, _ := fmt.Sscan(string(text), &low, &high); k == 2 && high >= low {
			n.LocalPorts = high - low + 1
		}
	}
	return n, nil
}

// Less reports whether some counter is smaller than b's: then they are not of the
// same namespace.
func (n NetStat) Less(b NetStat) bool {
	return n.ListenOverflows < b.ListenOverflows || n.TCPReqQFullDrop < b.TCPReqQFullDrop || n.TCPReqQFullDoCookies < b.TCPReqQFullDoCookies
}

// parse looks in TcpExt's pair of lines: names, and their numbers.
func (n *NetStat) parse(text string) {
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] != "TcpExt:":
		case names == nil:
			names = words
		default:
			for _, c := range [...]struct {
				name string
				to   *uint64
			}{{"ListenOverflows", &n.ListenOverflows}, {"TCPReqQFullDrop", &n.TCPReqQFullDrop}, {"TCPReqQFullDoCookies", &n.TCPReqQFullDoCookies}} {
				if i := slices.Index(names, c.name); i > 0 && i < len(words) {
					*c.to, _ = strconv.ParseUint(words[i], 10, 64)
				}
			}
			return
		}
	}
}
