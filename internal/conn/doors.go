package conn

import "net/netip"

// doors are the listeners by where they listen. A connection that packets tell of
// before it has a socket lives where its listener does: the kernel gives the child
// its listener's cgroup.
type doors map[door]*Conn

type door struct {
	netns uint32
	at    netip.AddrPort
}

// open takes in a listener. Where two with different homes share a door, nobody
// can say which will answer.
func (d doors) open(c *Conn) {
	k := door{c.Netns, c.Flow.Local}
	if other := d[k]; other != nil && other.Cgroup != c.Cgroup {
		c = nil
	}
	d[k] = c
}

func (d doors) close(c *Conn) {
	if c.Role != RoleListener {
		return
	}
	if k := (door{c.Netns, c.Flow.Local}); d[k] == c || d[k] == nil {
		delete(d, k)
	}
}

// behind is the listener that answers at an address, or nil.
func (d doors) behind(netns uint32, at netip.AddrPort) *Conn {
	every := netip.IPv6Unspecified()
	if at.Addr().Is4() {
		every = netip.IPv4Unspecified()
	}
	for _, a := range [...]netip.Addr{at.Addr(), every, netip.IPv6Unspecified()} {
		if c, ok := d[door{netns, netip.AddrPortFrom(a, at.Port())}]; ok {
			return c
		}
	}
	return nil
}

// livesBehind says where c, which is no socket yet, is at home.
func (t *Table) livesBehind(c *Conn) {
	if c.Socket || c.Cgroup != 0 {
		return
	}
	if l := t.doors.behind(c.Netns, c.Flow.Local); l != nil {
		c.Cgroup, c.Home = l.Cgroup, l.Home
	}
}
