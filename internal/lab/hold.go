package lab

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// manyProbes keeps an unanswered neighbour query, and the packets that wait for
// its answer, alive for hours.
const manyProbes = "10000"

// A held link keeps what a host sends and lets it go, in order and undamaged,
// at a word: the host does not know its neighbour's link address, so the
// kernel queues its packets until it is told. No timer is involved, and the
// packets are not yet on the wire.

// holdLink has both ends of the link between client and server hold.
func (r *run) holdLink() {
	r.tell("the link is held: nobody answers ARP or neighbour solicitations")
	for _, h := range []*Host{r.client, r.server} {
		r.sysctl(h, "net.ipv4.neigh."+h.device+".mcast_solicit", manyProbes)
		r.sysctl(h, "net.ipv6.neigh."+h.device+".mcast_solicit", manyProbes)
		r.sysctl(h, "net.ipv4.conf.all.arp_ignore", "8") // answer for no address
		r.try(func() (err error) {
			f, err := h.Break(Rule{Hook: Input, Solicitation: true})
			r.faults = append(r.faults, f)
			return err
		})
	}
	r.try(func() error { return r.client.forget(r.server, r.family) })
	r.try(func() error { return r.server.forget(r.client, r.family) })
}

// release tells one host its neighbour's address: what it held leaves now.
func (r *run) release(from, to *Host) {
	r.tell("the %s's link is released", from.name)
	r.try(func() error { return from.learn(to, r.family) })
}

// forget drops what h knows of a neighbour's link address.
func (h *Host) forget(n *Host, f Family) error {
	return h.neighbour(n, f, func(r router, e *netlink.Neigh) error {
		if err := r.NeighDel(e); err != nil && err != unix.ENOENT {
			return fmt.Errorf("forget the link address of the %s on the %s: %w", n.name, h.name, err)
		}
		return nil
	})
}

// learn tells h a neighbour's link address for good.
func (h *Host) learn(n *Host, f Family) error {
	hw, err := n.linkAddress()
	if err != nil {
		return err
	}
	return h.neighbour(n, f, func(r router, e *netlink.Neigh) error {
		e.HardwareAddr, e.State = hw, netlink.NUD_PERMANENT
		if err := r.NeighSet(e); err != nil {
			return fmt.Errorf("tell the %s the link address of the %s: %w", h.name, n.name, err)
		}
		return nil
	})
}

// neighbour runs f with the entry that h has, or could have, for n.
func (h *Host) neighbour(n *Host, f Family, do func(router, *netlink.Neigh) error) error {
	return h.route(func(r router) error {
		link, err := r.LinkByName(h.device)
		if err != nil {
			return fmt.Errorf("find %s on the %s: %w", h.device, h.name, err)
		}
		return do(r, &netlink.Neigh{
			LinkIndex: link.Attrs().Index,
			Family:    int(f.domain()),
			IP:        n.Addr(f).AsSlice(),
		})
	})
}

func (h *Host) linkAddress() (hw net.HardwareAddr, err error) {
	err = h.route(func(r router) error {
		link, err := r.LinkByName(h.device)
		if err != nil {
			return fmt.Errorf("find %s on the %s: %w", h.device, h.name, err)
		}
		hw = link.Attrs().HardwareAddr
		return nil
	})
	return hw, err
}
