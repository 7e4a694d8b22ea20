package kernel_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/kernel"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// deadEnds are destinations, routes that lead nowhere, and what connect() says.
var deadEnds = []struct {
	route, address string
	err            unix.Errno
}{
	{"", "198.18.1.1:81", unix.ENETUNREACH},
	{"unreachable 198.18.2.0/24", "198.18.2.1:82", unix.EHOSTUNREACH},
	{"blackhole 198.18.3.0/24", "198.18.3.1:83", unix.EINVAL},
	{"prohibit 198.18.4.0/24", "198.18.4.1:84", unix.EACCES},
	{"", "[2001:db8:1::1]:85", unix.ENETUNREACH},
	{"unreachable 2001:db8:2::/48", "[2001:db8:2::1]:86", unix.EHOSTUNREACH},
	{"prohibit 2001:db8:4::/48", "[2001:db8:4::1]:88", unix.EACCES},
	{"", "[::ffff:198.18.1.1]:89", unix.ENETUNREACH},
}

// TestConnectWithoutRoute: what connect() says is told once, by whom and where
// to, if the kernel takes the programs for that; else nothing of it, and that is
// said. No other event comes of it.
func TestConnectWithoutRoute(t *testing.T) {
	h := newLab(t, lab.Pair).Host(lab.Client)
	p := peer(t, h)
	run(t, h, "ip", "-4", "route", "flush", "default")
	run(t, h, "ip", "-6", "route", "flush", "default")
	var told []tcp.Event
	s := follow(t, kernel.Config{States: true}, func(ev *tcp.Event) { told = append(told, *ev) }, h)
	var refused [2]bool // for IPv4, IPv6
	for _, r := range s.source.Refusals() {
		refused[0] = refused[0] || strings.HasPrefix(r, "exit of tcp_v4_connect: connects ")
		refused[1] = refused[1] || strings.HasPrefix(r, "exit of tcp_v6_connect: connects ")
	}
	var want []tcp.Event
	for _, d := range deadEnds {
		to := netip.MustParseAddrPort(d.address)
		if d.route != "" {
			run(t, h, append([]string{"ip", "route", "add"}, strings.Fields(d.route)...)...)
		}
		if _, err := p.Connect(t.Context(), d.address, to, lab.Option{}); !errors.Is(err, d.err) {
			t.Fatalf("connect to %s says %v, want %v", to, err, d.err)
		}
		if family := to.Addr().BitLen() / 128; !refused[family] {
			want = append(want, tcp.Event{
				Kind: tcp.KindConnectFailed, Errno: int32(d.err), Via: tcp.ViaConnect, New: tcp.Close,
				Flow: tcp.Flow{Remote: netip.AddrPortFrom(to.Addr().Unmap(), to.Port())},
			})
		}
	}
	s.drain()
	s.end()
	if len(told) != len(want) {
		t.Fatalf("told %d events, want %d (refused: %v): %+v", len(told), len(want), refused, told)
	}
	for i, w := range want {
		ev := &told[i]
		if ev.Kind != w.Kind || ev.Errno != w.Errno || ev.Via != w.Via || ev.New != w.New ||
			ev.Flow.Remote != w.Flow.Remote || ev.Flow.Local.Port() != 0 || ev.Cookie == 0 {
			t.Errorf("told %+v\nwant %+v", ev, w)
		}
		if ev.Task.PID != uint32(p.PID()) || string(ev.Task.Name()) != "dead-end" {
			t.Errorf("by process %d (%s)", ev.Task.PID, ev.Task.Name())
		}
	}
}

// TestConnectWithoutPort: the kernel goes to SYN_SENT and back in connect(), with
// neither an error nor a port.
func TestConnectWithoutPort(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		h := newLab(t, lab.Pair).Host(lab.Client)
		p := peer(t, h)
		to := netip.AddrPortFrom(h.Addr(family), 40000)
		if err := p.Listen(t.Context(), "l", to); err != nil { // connect() takes no port that somebody is bound to
			t.Fatal(err)
		}
		if err := h.Sysctl("net.ipv4.ip_local_port_range", "40000 40000"); err != nil {
			t.Fatal(err)
		}
		var told []tcp.Event
		s := follow(t, kernel.Config{States: true}, func(ev *tcp.Event) { told = append(told, *ev) }, h)
		if _, err := p.Connect(t.Context(), "c", to, lab.Option{}); !errors.Is(err, unix.EADDRNOTAVAIL) {
			t.Fatalf("connect says %v", err)
		}
		s.drain()
		s.end()
		at := slices.IndexFunc(told, func(ev tcp.Event) bool { return ev.New == tcp.SynSent })
		if at < 0 || len(told) < at+2 {
			t.Fatalf("told %+v", told)
		}
		for i, w := range []struct{ old, new tcp.State }{{tcp.Close, tcp.SynSent}, {tcp.SynSent, tcp.Close}} {
			ev := &told[at+i]
			if ev.Kind != tcp.KindState || ev.Old != w.old || ev.New != w.new || ev.Errno != 0 || ev.Flow.Local.Port() != 0 ||
				ev.Flow.Remote != to || ev.Task.PID != uint32(p.PID()) {
				t.Errorf("told %+v, want %v to %v", ev, w.old, w.new)
			}
		}
	})
}

// run runs a command on a host.
func run(t *testing.T, h *lab.Host, args ...string) {
	t.Helper()
	if out, err := h.Command(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// peer is a process on a host that makes sockets.
func peer(t *testing.T, h *lab.Host) *lab.Peer {
	t.Helper()
	p, err := h.Start("dead-end")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
