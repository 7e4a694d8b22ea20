package kernel

import (
	"fmt"
	"slices"

	"tcpstory/internal/filter"
)

// Limits that bpf/frame.h and bpf/output.h share.
const (
	// MaxSnaplen is the most bytes of a frame that a record can carry.
	MaxSnaplen = 4095
	// DefaultSnaplen holds every header up to a full TCP option list behind
	// IPv6 and a VLAN tag, and what an ICMP error quotes.
	DefaultSnaplen = 192
	// DefaultRingSize is the ring buffer's size in bytes.
	DefaultRingSize = 16 << 20
	// LifeRingSize is enough for lives: mapped twice, and all of it counts as the reader's memory.
	LifeRingSize = 4 << 20
	// MaxNetns is how many network namespaces can be named.
	MaxNetns = 8
	// MaxChoices is how many processes, names or cgroups can be asked for.
	MaxChoices = 8
	// commLen is the most bytes of a process's name that the kernel keeps (TASK_COMM_LEN less its NUL).
	commLen = 15

	frameRoom = 4096
)

// Config says what to trace. The zero value traces nothing: set States or Packets, or Lives.
type Config struct {
	States  bool // socket events: transitions, retransmissions, resets, drops, errors
	Packets bool
	Lives   bool // a record for each connection at its end; with neither of the others
	Patient bool // nobody watches event by event: the reader wakes up more seldom, which is cheaper
	// SkipMiddle leaves out segments in the middle of streams, as the programs decide
	// (bpf/middle.h): for verdicts, which need none of them. InTheMiddle counts them.
	SkipMiddle bool

	// Ether and Raw are the same expression compiled for Ethernet frames and
	// for bare IP; nil selects every packet.
	Ether, Raw *filter.Program
	// Tagged judges VLAN frames with their tag in place: what an expression
	// with the word "vlan" needs. Else the tag is left out, as by libpcap live.
	Tagged bool
	// Quotes keeps ICMP errors although the expression does not select them:
	// they may quote a connection of interest (Packet.Asked is false then).
	Quotes bool

	Snaplen   int        // bytes kept of a frame; 0: DefaultSnaplen
	Device    string     // only this device of the calling thread's namespace; "": all devices
	Forwarded bool       // keep what is merely passed on
	NoIn      bool       // leave out packets that come in
	NoOut     bool       // leave out packets that go out
	Netns     []uint32   // only these network namespaces (inodes); empty: all
	PIDs      []uint32   // only sockets that these processes use; empty: all. With Comms: either
	Comms     []string   // only sockets of processes of that name, of which 15 bytes count; empty: all
	Kin       string     // how processes of ours are called: no deed of theirs is told as anybody's; "": not asked
	Cgroups   []uint64   // only sockets made in these cgroups or below (ids); empty: all
	Enter     []Entrance // network namespaces whose existing sockets are looked at; empty: the caller's own
	RingSize  int        // bytes, a power of two times the page size; 0: DefaultRingSize
}

// wakeAt is how many bytes of a ring of some size wait when the programs wake the reader.
func (c *Config) wakeAt(ring uint32) uint32 {
	if c.Patient {
		return min(ring/4, 1<<20)
	}
	return min(ring/4, 256<<10)
}

func (c *Config) snaplen() int {
	if c.Snaplen <= 0 {
		return DefaultSnaplen
	}
	return min(c.Snaplen, MaxSnaplen)
}

// check refuses more choices than the programs have room for.
func (c *Config) check() error {
	for _, l := range []struct {
		what    string
		n, most int
	}{
		{"network namespaces", len(c.Netns), MaxNetns}, {"processes", len(c.PIDs), MaxChoices},
		{"process names", len(c.Comms), MaxChoices}, {"cgroups", len(c.Cgroups), MaxChoices},
	} {
		if l.n > l.most {
			return fmt.Errorf("%d %s named, at most %d can be", l.n, l.what, l.most)
		}
	}
	return nil
}

// isChosen reports whether a record's process is one that was asked for by PID or name.
func (c *Config) isChosen(e *traceEvent) bool {
	return slices.Contains(c.PIDs, e.Pid) || slices.ContainsFunc(c.Comms, func(name string) bool {
		t := task(e)
		return string(t.Name()) == name[:min(len(name), commLen)]
	})
}

// choices are the settings of bpf/select.h.
func (c *Config) choices() []setting {
	var pids [MaxChoices]uint32
	var comms [MaxChoices][commLen + 1]uint8
	var cgroups [MaxChoices]uint64
	copy(pids[:], c.PIDs)
	copy(cgroups[:], c.Cgroups)
	for i, name := range c.Comms {
		copy(comms[i][:commLen], name)
	}
	byProcess := len(c.PIDs)+len(c.Comms) > 0
	return []setting{
		{traceVarPidCount, uint32(len(c.PIDs))}, {traceVarPidOnly, pids},
		{traceVarCommCount, uint32(len(c.Comms))}, {traceVarCommOnly, comms},
		{traceVarCgroupCount, uint32(len(c.Cgroups))}, {traceVarCgroupOnly, cgroups},
		{traceVarByProcess, byProcess}, {traceVarSelective, byProcess || len(c.Cgroups) > 0},
	}
}

// copyLen is how much of a frame the filter looks at first.
func (c *Config) copyLen() int {
	n := c.snaplen()
	for _, p := range []*filter.Program{c.Ether, c.Raw} {
		if p != nil {
			n = max(n, p.Reach)
		}
	}
	return min(n, MaxSnaplen)
}

// looksAtPayload reports whether the filter computes where it reads.
func (c *Config) looksAtPayload() bool {
	return c.Ether != nil && c.Ether.Computed || c.Raw != nil && c.Raw.Computed
}

// fetchLen is how much is fetched when the filter runs past the linear part:
// all there can be if it computes its offsets from the packet.
func (c *Config) fetchLen() int {
	if c.looksAtPayload() {
		return MaxSnaplen
	}
	return c.copyLen()
}
