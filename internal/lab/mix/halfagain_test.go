package mix

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"tcpstory/internal/tcp"
)

// TestHalfOpenAgain: between the ends of a half-open connection that a RST has ended begins
// another before the first one's timer would be due. It does not begin with the first one,
// nor is the RST forgotten: whether it becomes a connection, or its SYN-ACK is sent again.
func TestHalfOpenAgain(t *testing.T) {
	h, bin := alone(t), built(t)
	mustDo(t, prepare(t.Context(), h, 0))
	whole, half := netip.MustParseAddrPort("127.0.0.1:7111"), netip.MustParseAddrPort("127.0.0.1:7112")
	rules := fmt.Sprintf("add table ip t; add chain ip t c { type filter hook input priority 0; }; add rule ip t c tcp sport %d drop", floodPort)
	mustDo(t, h.Command(t.Context(), "nft", rules).Run())
	tool := startLife(t, bin, "--json", "--netns", h.NetnsName(), fmt.Sprintf("port %d", floodPort))
	send, resent := rawPeer(t, h), resentOf(t, h)
	again := func(n uint64) {
		t.Helper()
		eventually(t, 5*time.Second, func() string {
			if have := resentOf(t, h) - resent; have < n {
				return fmt.Sprintf("%d SYN-ACKs were sent again", have)
			}
			return ""
		})
	}
	for _, from := range []netip.AddrPort{whole, half} {
		send(synFrom(from, floodAt))
	}
	again(2)
	for _, from := range []netip.AddrPort{whole, half} {
		send(segmentFrom(from, floodAt, uint32(from.Port())+1, 0, tcp.RST))
	}
	eventually(t, 5*time.Second, func() string {
		if n, err := h.Counter("TcpExt", "EmbryonicRsts"); err != nil || n != 2 {
			return fmt.Sprintf("%d RSTs were obeyed, %v", n, err)
		}
		return ""
	})
	send(segmentFrom(half, floodAt, 1<<30, 0, tcp.SYN))
	again(3)
	mustDo(t, h.Command(t.Context(), "nft", "flush", "ruleset").Run())
	mustDo(t, h.Within(func() error {
		d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(whole)}
		c, err := d.Dial("tcp4", floodAt.String())
		if err != nil {
			return err
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		return c.Close()
	}))
	tool.awaits(t, `"errno":104`, 5*time.Second)
	tool.stop(t)
	resets, wholes := map[uint16]int{}, 0
	for _, r := range tool.rows(t) {
		switch {
		case r.Half && r.End == "rst-received" && r.Duration > 900e3 && r.Duration < 2e6:
			resets[r.RemotePort]++
		case !r.Half && r.Direction == "in" && r.RemotePort == whole.Port() && r.Duration < 500e3:
			wholes++
		case r.Direction == "in":
			t.Errorf("unlooked for: %s", r.text)
		}
	}
	if wholes != 1 || len(resets) != 2 || resets[whole.Port()] != 1 || resets[half.Port()] != 1 {
		t.Errorf("%d became connections, %v were reset: %s", wholes, resets, tool.out.String())
	}
}
