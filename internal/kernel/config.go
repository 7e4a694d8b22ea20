package kernel

import "tcpstory/internal/filter"

// Limits that bpf/frame.h and bpf/output.h share.
const (
	// MaxSnaplen is the most bytes of a frame that a record can carry.
	MaxSnaplen = 4095
	// DefaultSnaplen holds every header up to a full TCP option list behind
	// IPv6 and a VLAN tag, and what an ICMP error quotes.
	DefaultSnaplen = 192
	// DefaultRingSize is the ring buffer's size in bytes.
	DefaultRingSize = 16 << 20
	// MaxNetns is how many network namespaces can be named.
	MaxNetns = 8

	frameRoom = 4096
)

// Config says what to trace. The zero value traces nothing: set States or Packets.
type Config struct {
	States  bool // socket events: transitions, retransmissions, resets, drops, errors
	Packets bool

	// Ether and Raw are the same expression compiled for Ethernet frames and
	// for bare IP; nil selects every packet.
	Ether, Raw *filter.Program
	// Tagged judges VLAN frames with their tag in place: what an expression
	// with the word "vlan" needs. Else the tag is left out, as by libpcap live.
	Tagged bool
	// Quotes keeps ICMP errors although the expression does not select them:
	// they may quote a connection of interest (Packet.Asked is false then).
	Quotes bool

	Snaplen   int      // bytes kept of a frame; 0: DefaultSnaplen
	Device    string   // only this device of the calling thread's namespace; "": all devices
	Forwarded bool     // keep what is merely passed on
	NoIn      bool     // leave out packets that come in
	NoOut     bool     // leave out packets that go out
	Netns     []uint32 // only these network namespaces (inodes); empty: all
	RingSize  int      // bytes, a power of two times the page size; 0: DefaultRingSize
}

func (c *Config) snaplen() int {
	if c.Snaplen <= 0 {
		return DefaultSnaplen
	}
	return min(c.Snaplen, MaxSnaplen)
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
