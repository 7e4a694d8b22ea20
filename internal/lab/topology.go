package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// plan is a topology as data: the hosts, the wires between them, and what is
// left to set up once they are joined.
type plan struct {
	hosts  []string
	wires  []wire
	finish func(*Lab) error
}

// indexBase keeps the two ends of a wire from having the same interface index:
// the kernel takes such a veth for an ordinary device and brings it into
// service up to a second late (linkwatch_urgent_event).
const indexBase = 100

// wire is a veth pair with a device at each end.
type wire struct{ a, b plug }

// plug is one end of a wire. Ports of a bridge have no addresses.
type plug struct {
	host, device     string
	prefix4, prefix6 string
}

// far4 and far6 are the router's addresses on the server's side.
var (
	far4 = netip.MustParsePrefix("10.77.1.254/24")
	far6 = netip.MustParsePrefix("fd77:0:0:1::fe/64")
)

var plans = map[Topology]plan{
	Pair: {
		hosts: []string{Client, Server},
		wires: []wire{{
			plug{Client, "veth0", "10.77.0.1/24", "fd77::1/64"},
			plug{Server, "veth0", "10.77.0.2/24", "fd77::2/64"},
		}},
		finish: func(l *Lab) error { return l.Host(Client).defaultVia(l.Host(Server)) },
	},
	Routed: {
		hosts: []string{Client, Server, Router},
		wires: []wire{
			{plug{Client, "veth0", "10.77.0.1/24", "fd77::1/64"}, plug{Router, "veth0", "10.77.0.254/24", "fd77::fe/64"}},
			{plug{Server, "veth0", "10.77.1.2/24", "fd77:0:0:1::2/64"}, plug{Router, "veth1", far4.String(), far6.String()}},
		},
		finish: finishRouted,
	},
	Bridge: {
		hosts: []string{Client, Server, Switch},
		wires: []wire{
			{plug{Client, "veth0", "10.77.0.1/24", "fd77::1/64"}, plug{Switch, "port0", "", ""}},
			{plug{Server, "veth0", "10.77.0.2/24", "fd77::2/64"}, plug{Switch, "port1", "", ""}},
		},
		finish: finishBridge,
	},
	Hairpin: {
		hosts: []string{Client, Server, Router},
		wires: []wire{
			{plug{Client, "veth0", "10.77.0.1/24", "fd77::1/64"}, plug{Router, "port0", "", ""}},
			{plug{Server, "veth0", "10.77.0.2/24", "fd77::2/64"}, plug{Router, "port1", "", ""}},
		},
		finish: finishHairpin,
	},
	Alone: {
		hosts: []string{Client},
		// A default route has to lead somewhere, for the time until a packet is translated.
		wires:  []wire{{plug{Client, "veth0", "10.77.0.1/24", "fd77::1/64"}, plug{Client, "veth1", "", ""}}},
		finish: finishAlone,
	},
}

// Virtual4 and Virtual6 belong to no host: packets for them reach the server
// (the router, where there is one), whose firewall or the client's may
// translate them.
var (
	Virtual4 = netip.MustParseAddr("10.77.9.9")
	Virtual6 = netip.MustParseAddr("fd77:0:0:9::9")
)

// router is what the netlink handle of one host is used for.
type router struct {
	*netlink.Handle
	host string
}

// route runs f with a route netlink handle of the host.
func (h *Host) route(f func(router) error) error {
	nl, err := netlink.NewHandleAt(h.ns.fd, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open route netlink on the %s: %w", h.name, err)
	}
	defer nl.Close()
	return f(router{nl, h.name})
}

func (r router) up(device string) error {
	link, err := r.LinkByName(device)
	if err == nil {
		err = r.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("bring up %s on the %s: %w", device, r.host, err)
	}
	return nil
}

// addAddress adds a prefix without duplicate address detection, so that an
// IPv6 address serves at once.
func (r router) addAddress(device, prefix string) error {
	link, err := r.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s on the %s: %w", device, r.host, err)
	}
	addr, err := netlink.ParseAddr(prefix)
	if err != nil {
		return fmt.Errorf("read address %s: %w", prefix, err)
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := r.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add %s to %s on the %s: %w", prefix, device, r.host, err)
	}
	return nil
}

func (r router) addDefault(via netip.Addr) error {
	if err := r.RouteAdd(&netlink.Route{Gw: via.AsSlice(), Dst: anywhere(via)}); err != nil {
		return fmt.Errorf("add default route via %s on the %s: %w", via, r.host, err)
	}
	return nil
}

func anywhere(a netip.Addr) *net.IPNet {
	return ipNet(netip.PrefixFrom(a, 0))
}

func ipNet(p netip.Prefix) *net.IPNet {
	p = p.Masked()
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// wire joins two hosts. The pair is made in the first host's namespace, so
// that nothing ever appears in the maker's own.
func (l *Lab) wire(ctx context.Context, w wire) error {
	a, b := l.Host(w.a.host), l.Host(w.b.host)
	err := a.route(func(r router) error {
		return r.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: w.a.device, Index: indexBase},
			PeerName:      w.b.device,
			PeerNamespace: netlink.NsFd(b.ns.fd),
		})
	})
	if err != nil {
		return fmt.Errorf("join the %s and the %s by veth: %w", a.name, b.name, err)
	}
	if err := a.plugIn(w.a); err != nil {
		return err
	}
	if err := b.plugIn(w.b); err != nil {
		return err
	}
	if err := a.inService(ctx, w.a.device); err != nil {
		return err
	}
	return b.inService(ctx, w.b.device)
}

// inService waits until the kernel sends and receives on a device: being up is
// not enough, its carrier must have been noticed.
func (h *Host) inService(ctx context.Context, device string) error {
	return h.route(func(r router) error {
		return awaitKernel(ctx, device+" on the "+h.name+" to be in service", func() (bool, error) {
			link, err := r.LinkByName(device)
			if err != nil {
				return false, fmt.Errorf("find %s on the %s: %w", device, h.name, err)
			}
			return link.Attrs().OperState == netlink.OperUp, nil
		})
	})
}

// settled waits until no IPv6 address of the host is tentative any more. Without
// duplicate address detection that takes a moment, too, for the link-local one: a
// neighbour that is asked for before is asked again after a second.
func (h *Host) settled(ctx context.Context) error {
	return h.route(func(r router) error {
		return awaitKernel(ctx, "the addresses of the "+h.name, func() (bool, error) {
			addrs, err := r.AddrList(nil, netlink.FAMILY_V6)
			tentative := slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 })
			return !tentative, wrap(err, "list the addresses of the "+h.name)
		})
	})
}

func (h *Host) plugIn(p plug) error {
	err := h.route(func(r router) error {
		for _, prefix := range []string{p.prefix4, p.prefix6} {
			if prefix == "" {
				continue
			}
			if err := r.addAddress(p.device, prefix); err != nil {
				return err
			}
		}
		return r.up(p.device)
	})
	if err != nil || p.prefix4 == "" || h.device != "" {
		return err
	}
	h.device = p.device
	h.addr4 = netip.MustParsePrefix(p.prefix4).Addr()
	h.addr6 = netip.MustParsePrefix(p.prefix6).Addr()
	return nil
}

// defaultVia sends what is for no neighbour to another host on the same link.
func (h *Host) defaultVia(gw *Host) error {
	return h.defaultTo(gw.addr4, gw.addr6)
}

func (h *Host) defaultTo(gateways ...netip.Addr) error {
	return h.route(func(r router) error {
		for _, gw := range gateways {
			if err := r.addDefault(gw); err != nil {
				return err
			}
		}
		return nil
	})
}

func finishRouted(l *Lab) error {
	r := l.Host(Router)
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := r.Sysctl(key, "1"); err != nil {
			return err
		}
	}
	if err := l.Host(Client).defaultVia(r); err != nil {
		return err
	}
	return l.Host(Server).defaultTo(far4.Addr(), far6.Addr())
}

func finishBridge(l *Lab) error {
	if err := l.Host(Switch).bridge("port0", "port1"); err != nil {
		return err
	}
	return l.Host(Client).defaultVia(l.Host(Server))
}

// bridge makes br0 of some devices and brings it up.
func (h *Host) bridge(ports ...string) error {
	return h.route(func(r router) error {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
		if err := r.LinkAdd(br); err != nil {
			return fmt.Errorf("make a bridge: %w", err)
		}
		for _, port := range ports {
			link, err := r.LinkByName(port)
			if err == nil {
				err = r.LinkSetMaster(link, br)
			}
			if err != nil {
				return fmt.Errorf("put %s into the bridge: %w", port, err)
			}
		}
		return r.up("br0")
	})
}

// hairpinSysctls have the router route, and nothing else: it does not tell the two
// that they are neighbours, and does not filter what it only bridges.
var hairpinSysctls = map[string]string{
	"net.ipv4.ip_forward":                "1",
	"net.ipv6.conf.all.forwarding":       "1",
	"net.ipv4.conf.all.send_redirects":   "0",
	"net.ipv4.conf.br0.send_redirects":   "0",
	"net.bridge.bridge-nf-call-iptables": "0", "net.bridge.bridge-nf-call-ip6tables": "0",
}

func finishHairpin(l *Lab) error {
	h := l.Host(Router)
	if err := h.bridge("port0", "port1"); err != nil {
		return err
	}
	if err := h.plugIn(plug{Router, "br0", "10.77.0.254/24", "fd77::fe/64"}); err != nil {
		return err
	}
	for key, value := range hairpinSysctls {
		if err := h.Sysctl(key, value); err != nil {
			return err
		}
	}
	if err := l.Host(Client).defaultVia(h); err != nil {
		return err
	}
	return l.Host(Server).defaultVia(h)
}

// nobody4 and nobody6 are a gateway that is not there.
var (
	nobody4 = netip.MustParseAddr("10.77.0.254")
	nobody6 = netip.MustParseAddr("fd77::fe")
)

func finishAlone(l *Lab) error {
	h := l.Host(Client)
	h.device = "lo"
	l.hosts = append(l.hosts, &Host{
		name: Server, ns: h.ns, guest: true, device: "lo",
		addr4: netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr6: netip.IPv6Loopback(),
	})
	return h.defaultTo(nobody4, nobody6)
}

// prefixOf is the prefix of one address.
func prefixOf(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
