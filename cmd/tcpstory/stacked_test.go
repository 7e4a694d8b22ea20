package main

import (
	"net/netip"
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// stack makes devices upon the client's veth0, or beside it, by ip(8).
func stack(t *testing.T, h *lab.Host, commands string) {
	t.Helper()
	for _, c := range strings.Split(strings.TrimSpace(commands), "\n") {
		if out, err := h.Command(t.Context(), "ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", c, err, out)
		}
	}
}

// stacked are devices whose packets the tracepoints show at another device.
// The client's address there is 10.78.0.1.
var stacked = map[string]string{
	"macvlan": `link add up0 link veth0 type macvlan mode bridge
		addr add 10.78.0.1/24 dev up0
		link set up0 up`,
	"bridge": `link add up0 type bridge
		link set veth0 master up0
		addr add 10.78.0.1/24 dev up0
		link set up0 up`,
}

// TestStackedDevices: a device upon another is captured through a packet socket
// when it is named, the tool says so, and each packet shows once, as tcpdump
// shows it.
func TestStackedDevices(t *testing.T) {
	for kind, commands := range stacked {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, lab.Options{})
			stack(t, l.Host(lab.Server), "addr add 10.78.0.2/24 dev veth0")
			stack(t, l.Host(lab.Client), commands)
			r := routes(l, 7360)[0]
			r.device, r.at = "up0", netip.MustParseAddrPort("10.78.0.2:7360")
			eventually(t, "a connection through "+kind, func() bool {
				ln := r.listen(t)
				defer ln.Close()
				c, err := r.dial()
				if err == nil {
					c.Close()
				}
				return err == nil
			})
			for _, flags := range []string{"-t", "-te", "-tv", "-tS -Q in", "-tS -Q out"} {
				witnessed(t, r.client, "up0", strings.Fields(flags), r.port(), func() { allSorts(t, r) })
			}
			p := watch(t, r.client, append([]string{"-t", "-i", "up0"}, r.port()...)...)
			dump := tcpdump(t, r.client, append([]string{"-t", "-s", "2000", "-i", "up0"}, r.port()...)...)
			r.converse(t, 100, 3000)
			p.interrupt()
			var packets []string
			for _, l := range p.lines() {
				if !strings.HasPrefix(l, "TCP ") {
					packets = append(packets, l)
				}
			}
			dump.out.until(func(lines []line) bool { return len(lines) >= len(packets) })
			compare(t, "with the kernel's side", dump.lines(), packets)
			if n := count(p.lines(), `^TCP .*: State `); n != 5 {
				t.Errorf("%d transitions of the client\n%s", n, p.both())
			}
			if count(p.err.text(), `^tcpstory: up0 is a `+kind+` device.*packet socket`) != 1 {
				t.Errorf("nothing says how it is captured:\n%s", p.both())
			}
		})
	}
}
