package mix

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// halfOpen are half-open connections of one listener, each of which gets a segment when
// its SYN-ACK has been sent again, and what is to be said of it by who leaves then:
// with --open, and without; "": nothing.
var halfOpen = []struct {
	after          uint32 // the sequence number that is expected
	ack            uint32 // from any
	flags          tcp.Flags
	open, withouts string
}{
	{0, 0, tcp.RST, "rst-received", "rst-received"},
	{70000, 0, tcp.RST, "open", ""}, // beyond the window: the kernel does not obey
	{1 << 31, 0, tcp.RST, "open", ""},
	{0, 1, tcp.ACK, "open", ""}, // answered with a RST, and that changes nothing
	{0, 0, 0, "open", ""},
}

// TestHalfOpenAtTheEnd: who leaves while connections are half-open tells with --open each
// of them, also those whose SYN-ACK was not sent again yet, and counts them else; but
// those that were reset have ended.
func TestHalfOpenAtTheEnd(t *testing.T) {
	h, bin := alone(t), built(t)
	mustDo(t, prepare(t.Context(), h, 0))
	args := []string{"life", "--json", "--netns", h.NetnsName(), fmt.Sprintf("port %d", floodPort)}
	open, plain := startTool(t, bin, append([]string{"life", "--open"}, args[1:]...)...), startTool(t, bin, args...)
	send := rawPeer(t, h)
	resent := resentOf(t, h)
	for i := range halfOpen {
		send(synFrom(floodSource(i), floodAt))
	}
	eventually(t, 5*time.Second, func() string {
		if n := resentOf(t, h) - resent; n < uint64(len(halfOpen)) {
			return fmt.Sprintf("%d SYN-ACKs were sent again", n)
		}
		return ""
	})
	for i, one := range halfOpen {
		if from := floodSource(i); one.flags != 0 {
			send(segmentFrom(from, floodAt, uint32(from.Port())+1+one.after, one.ack, one.flags))
		}
	}
	send(synFrom(floodSource(len(halfOpen)), floodAt)) // never sent again
	obeyed, err := h.Counter("TcpExt", "EmbryonicRsts")
	mustDo(t, err)
	if obeyed != 1 {
		t.Errorf("the kernel has obeyed %d RSTs, not one", obeyed)
	}
	for _, tool := range []*tool{open, plain} {
		said, want := tool.stop(t), map[string]string{}
		for i, one := range halfOpen {
			if want[floodSource(i).String()] = one.withouts; tool == open {
				want[floodSource(i).String()] = one.open
			}
		}
		left := "4 half-open connections not told"
		if tool == open {
			want[floodSource(len(halfOpen)).String()] = "open"
			left = "1 connection ended\n1 of them failed\n5 open still\n0 events"
		}
		if !strings.Contains(said, left) {
			t.Errorf("no %q: %s", left, said)
		}
		for _, r := range tool.rows(t) {
			from := fmt.Sprintf("%s:%d", r.RemoteAddr, r.RemotePort)
			if !r.Half || r.End != want[from] || r.End == "" || r.State != "SYN_RECV" || r.Older || r.Duration < 0 || r.Duration > 10e6 {
				t.Errorf("want %q: %s", want[from], r.text)
			}
			delete(want, from)
		}
		for from, end := range want {
			if end != "" {
				t.Errorf("%s is not told, want %s", from, end)
			}
		}
	}
}

// rawPeer returns what sends an IPv4 packet to a listener at floodAt. What answers it does
// not come from any socket's end.
func rawPeer(t *testing.T, h *lab.Host) (send func([]byte)) {
	t.Helper()
	var ln, raw int
	mustDo(t, h.Within(func() (err error) {
		if ln, err = listenAt(floodAt); err == nil {
			raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		}
		return err
	}))
	t.Cleanup(func() { unix.Close(ln); unix.Close(raw) })
	return func(packet []byte) {
		t.Helper()
		mustDo(t, unix.Sendto(raw, packet, 0, sockaddr(floodAt)))
	}
}

// TestHalfOpenGivenUp: the end of one that nobody answers is when the kernel's timer has
// fired, which may be 2 s behind when it was armed for. TCPSTORY_LONG waits for one.
func TestHalfOpenGivenUp(t *testing.T) {
	if os.Getenv("TCPSTORY_LONG") == "" {
		t.Skip("waits 15 s for a timer")
	}
	h, bin := alone(t), built(t)
	mustDo(t, prepare(t.Context(), h, 0))
	mustDo(t, h.Sysctl("net/ipv4/tcp_synack_retries", "3"))
	tool := startLife(t, bin, "--json", "--netns", h.NetnsName(), "tcp")
	rawPeer(t, h)(synFrom(floodSource(0), floodAt))
	begun := time.Now()
	eventually(t, time.Minute, func() string {
		out, err := h.Command(t.Context(), "ss", "-Htan", "state", "syn-recv").Output()
		mustDo(t, err)
		return strings.TrimSpace(string(out))
	})
	stood := time.Since(begun)
	tool.awaits(t, `"half_open":true`, 5*time.Second)
	tool.stop(t)
	rows := tool.rows(t)
	if d := time.Duration(rows[0].Duration * 1000); len(rows) != 1 || rows[0].End != "timed-out" || d < stood-150*time.Millisecond || d > stood+50*time.Millisecond {
		t.Errorf("it stood %v: %s", stood, rows[0].text)
	}
}
