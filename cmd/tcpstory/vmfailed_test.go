package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tcpstory/internal/lab/vm"
)

// deadEnds are destinations inside a guest and what connect() says there. The
// guest has a loopback device and no route but these.
var deadEnds = []struct {
	route, network, address string
	err                     unix.Errno
}{
	{"", "", "10.1.0.1:81", unix.ENETUNREACH},
	{"unreachable", "10.2.0.0/16", "10.2.0.1:82", unix.EHOSTUNREACH},
	{"blackhole", "10.3.0.0/16", "10.3.0.1:83", unix.EINVAL},
	{"prohibit", "10.4.0.0/16", "10.4.0.1:84", unix.EACCES},
	{"", "", "[fd01::1]:85", unix.ENETUNREACH},
	{"unreachable", "fd02::/16", "[fd02::1]:86", unix.EHOSTUNREACH},
	{"blackhole", "fd03::/16", "[fd03::1]:87", unix.EINVAL},
	{"prohibit", "fd04::/16", "[fd04::1]:88", unix.EACCES},
	{"", "", "[::ffff:10.1.0.1]:89", unix.ENETUNREACH},
}

const onlyPort = "127.0.0.1:7002"

// tellsFailures: each connect() that finds no way out, or no free port, is told
// once, as a conversation of its own, with what connect() returned and who
// called it. Debian's kernels allow the programs that this takes.
func (g guest) tellsFailures(t *testing.T) {
	steps := []vm.Step{vm.AwaitStderr("listening on")}
	type failure struct {
		RemoteAddr string
		RemotePort int
		Error      string
		Conn       int
	}
	var want []failure
	for i, d := range deadEnds {
		if d.route != "" {
			steps = append(steps, vm.Route(d.route, d.network))
		}
		steps = append(steps, vm.Fail(d.address, d.err))
		to := netip.MustParseAddrPort(d.address)
		want = append(want, failure{to.Addr().Unmap().String(), int(to.Port()), unix.ErrnoName(d.err), i + 1})
	}
	steps = append(steps, vm.NoPort(onlyPort), vm.Interrupt())
	want = append(want, failure{"127.0.0.1", 7002, "EADDRNOTAVAIL", len(want) + 2}) // the listener comes before

	res := g.during(t, steps, "--json", "--no-packets")
	var got []failure
	for _, e := range vmEvents(t, res.Stdout) {
		switch {
		case e.Kind == "connect-failed":
			got = append(got, failure{e.RemoteAddr, e.RemotePort, e.Error, e.Conn})
			if e.Pid != 1 || e.Comm != "init" || e.Role != "client" {
				t.Errorf("%s: process %d (%s), %s", e.RemoteAddr, e.Pid, e.Comm, e.Role)
			}
		case e.Kind == "state" && e.OldState == "SYN_SENT" && !e.NoSYN:
			t.Errorf("%+v: a SYN was sent", e)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s\n%s", d, res.Stdout)
	}
}
