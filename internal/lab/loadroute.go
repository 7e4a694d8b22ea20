package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// loadRoute is the addresses of a load. Each connection comes from another
// source address, so that sockets in TIME_WAIT do not use the ports up.
type loadRoute struct {
	Server  netip.Addr
	Sources netip.Prefix // 2^16 addresses, or more, from the first on; or only one
	local   bool         // Sources is the client's without further ado
}

var loopbackRoutes = map[Family]loadRoute{
	IPv4: {Server: netip.MustParseAddr("127.0.0.1"), Sources: netip.MustParsePrefix("127.1.0.0/16"), local: true},
	IPv6: {Server: netip.MustParseAddr("::1"), Sources: netip.MustParsePrefix("fd77:0:0:5::/64")},
}

// wireSources are the sources towards another host.
var wireSources = map[Family]netip.Prefix{
	IPv4: netip.MustParsePrefix("10.78.0.0/16"),
	IPv6: netip.MustParsePrefix("fd77:0:0:6::/64"),
}

func (h *Host) loadRouteTo(server *Host, f Family) loadRoute {
	return loadRoute{Server: server.Addr(f), Sources: wireSources[f]}
}

// source is the n-th source address, modulo 2^16.
func (r loadRoute) source(n uint64) netip.Addr {
	if r.Sources.IsSingleIP() {
		return r.Sources.Addr()
	}
	b := r.Sources.Addr().AsSlice()
	binary.BigEndian.PutUint16(b[len(b)-2:], uint16(n))
	a, _ := netip.AddrFromSlice(b)
	return a
}

// prepare makes the sources the client's own, all of them by one local route,
// and shows the server the way to them.
func (r loadRoute) prepare(client, server *Host) error {
	if r.local {
		return nil
	}
	if r.Sources.Addr().Is6() {
		// bind(2) asks for an address of an interface in IPv6.
		if err := client.Sysctl("net.ipv6.ip_nonlocal_bind", "1"); err != nil {
			return err
		}
	}
	if err := client.route(func(nl router) error { return nl.ownPrefix(r.Sources) }); err != nil {
		return err
	}
	if server == nil {
		return nil
	}
	gw := client.addr4
	if r.Sources.Addr().Is6() {
		gw = client.addr6
	}
	return server.route(func(nl router) error { return nl.sendVia(r.Sources, gw) })
}

func (r router) ownPrefix(p netip.Prefix) error {
	lo, err := r.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo on the %s: %w", r.host, err)
	}
	err = r.RouteReplace(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Dst: ipNet(p), Type: unix.RTN_LOCAL,
		Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST,
	})
	if err != nil {
		return fmt.Errorf("make %s the %s's own: %w", p, r.host, err)
	}
	return nil
}

// sendVia leads a prefix to a neighbour; routed topologies have it by default.
func (r router) sendVia(p netip.Prefix, gw netip.Addr) error {
	if err := r.RouteReplace(&netlink.Route{Dst: ipNet(p), Gw: gw.AsSlice()}); err != nil {
		return fmt.Errorf("lead %s via %s on the %s: %w", p, gw, r.host, err)
	}
	return nil
}
