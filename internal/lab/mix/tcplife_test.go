package mix

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/lab"
)

// witness is Debian's tcplife (libbpf-tools), which needs a tracefs of its own.
type witness struct {
	cmd *exec.Cmd
	out output
}

func startTcplife(t *testing.T, args ...string) *witness {
	t.Helper()
	w := &witness{cmd: exec.Command("unshare", append([]string{"-m", "--", "sh", "-c",
		`mount -t tracefs tracefs /sys/kernel/tracing && exec stdbuf -oL tcplife "$@"`, "tcplife"}, args...)...)}
	w.cmd.Stdout, w.cmd.Stderr = &w.out, os.Stderr
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill(); _ = w.cmd.Wait() })
	return w
}

// awaits makes connections from an address until one shows: it is at work, and has
// written all that came before.
func (w *witness) awaits(t *testing.T, h *lab.Host, from net.IP) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(w.out.String(), from.String()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("tcplife shows no connection from %v: %s", from, w.out.String())
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from, Port: 7001}}
		if err := h.Within(func() error {
			if c, err := d.Dial("tcp4", "127.0.0.1:7001"); err == nil {
				return c.Close()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// theirs is a line of tcplife.
type theirs struct {
	pid    int
	tx, rx string // KiB, two digits behind the point
	ms     float64
	text   string
}

// lines are those of the mix's clients and their servers, by flow.
func (w *witness) lines(t *testing.T, into map[string][]theirs) {
	t.Helper()
	for text := range strings.Lines(w.out.String()) {
		f := strings.Fields(text)
		if len(f) < 9 || f[0] == "PID" {
			continue
		}
		f = append(f[:1], f[len(f)-7:]...) // a name may have blanks
		pid, _ := strconv.Atoi(f[0])
		ms, err := strconv.ParseFloat(f[7], 64)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		flow := fmt.Sprintf("%s:%s %s:%s", f[1], f[2], f[3], f[4])
		into[flow] = append(into[flow], theirs{pid, f[5], f[6], ms, strings.TrimSpace(text)})
	}
}

// differences counts the lines that differ, by how.
type differences struct {
	t      *testing.T
	counts map[string]int
}

// TestBesideTcplife: every line that differs from Debian's tcplife's differs for a
// known reason, and each of the reasons shows.
func TestBesideTcplife(t *testing.T) {
	h, bin := alone(t), built(t)
	oldClient, oldServer := olderPair(t, h)
	life := startLife(t, bin, "--json", "-4", "--netns", h.NetnsName(), "tcp")
	tools := []*witness{startTcplife(t, "-4", "-L", "7001,7002,7003"), startTcplife(t, "-4", "-D", "7001,7002,7003,7004")}
	for _, w := range tools {
		w.awaits(t, h, net.IPv4(127, 1, 0, 251))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	truths, err := Run(ctx, h, 60, false)
	if err != nil {
		t.Fatal(err)
	}
	oldClient.Close()
	_, _ = oldServer.Read(make([]byte, 1))
	oldServer.Close()
	seen := map[string][]theirs{}
	for _, w := range tools {
		w.awaits(t, h, net.IPv4(127, 1, 0, 252))
		w.lines(t, seen)
	}
	life.stop(t)

	who := map[string]int{}
	for _, truth := range truths {
		who[fmt.Sprint(truth.Local, " ", truth.Remote)] = truth.PID
	}
	d := differences{t, map[string]int{}}
	for _, r := range life.rows(t) {
		if r.LocalPort != r.RemotePort { // not awaits
			d.explain(&r, who[r.flow()], seen[r.flow()])
		}
	}
	t.Logf("%d lines of tcplife: %v", len(seen), d.counts)
	for _, kind := range []string{"alike", "older: tcplife has no line", "not its process", "SYN and FIN as bytes", "without the handshake"} {
		if d.counts[kind] == 0 {
			t.Errorf("no line shows: %s", kind)
		}
	}
}

// olderPair is a connection that was there before, with a server's port that is
// looked at.
func olderPair(t *testing.T, h *lab.Host) (client, server net.Conn) {
	t.Helper()
	err := h.Within(func() error {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		ln, err := lc.Listen(t.Context(), "tcp4", "127.0.0.9:7002")
		if err != nil {
			return err
		}
		defer ln.Close()
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.1.0.250:9000"))}
		if client, err = d.Dial("tcp4", "127.0.0.9:7002"); err != nil {
			return err
		}
		server, err = ln.Accept()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// explain says how tcplife's lines for a socket differ from ours.
func (d *differences) explain(r *row, pid int, lines []theirs) {
	if len(lines) != 1 {
		if r.Older && len(lines) == 0 { // it notes what it has seen begin
			d.counts["older: tcplife has no line"]++
			return
		}
		d.t.Errorf("tcplife has %d lines for %s", len(lines), r.text)
		return
	}
	l, before := lines[0], len(d.counts)
	same := d.process(r, pid, &l)
	same = d.bytes(r, &l) && same
	same = d.lasted(r, &l) && same
	if same {
		d.counts["alike"]++
	}
	if len(d.counts) != before { // the first of its kind
		d.t.Logf("%s\n%s", l.text, r.text)
	}
}

// process: tcplife asks who runs at SYN_SENT and LAST_ACK, and failing that whom the
// end has interrupted.
func (d *differences) process(r *row, pid int, l *theirs) bool {
	switch {
	case l.pid == r.PID:
		return true
	case r.PID == pid && r.Direction == "in" && r.State != "LAST_ACK": // 0: nobody has accepted it
		d.counts["not its process"]++
	default:
		d.t.Errorf("process %d, should be %d: %s\n%s", l.pid, pid, l.text, r.text)
	}
	return false
}

// bytes: tcplife shows the kernel's counters, in which SYN and FIN count.
func (d *differences) bytes(r *row, l *theirs) bool {
	if r.TX == nil || r.RX == nil {
		d.t.Errorf("unknown bytes: %s", r.text)
		return false
	}
	tx, rx := beyond(l.tx, *r.TX), beyond(l.rx, *r.RX)
	if tx < 0 || rx < 0 || tx > 2 || rx > 1 {
		d.t.Errorf("bytes: %s\n%s", l.text, r.text)
	}
	if tx == 0 && rx == 0 {
		return true
	}
	d.counts["SYN and FIN as bytes"]++
	return false
}

// beyond is how many bytes more than n, at least, kib shows; -1: that is not it.
func beyond(kib string, n int64) int {
	for more := range 3 {
		if fmt.Sprintf("%.2f", float64(n+int64(more))/1024) == kib {
			return more
		}
	}
	return -1
}

// lasted: tcplife begins anew when the connection is established.
func (d *differences) lasted(r *row, l *theirs) bool {
	ours := r.Duration / 1000
	off := ours - l.ms
	switch {
	case math.Abs(off) <= printed:
		return true
	case r.Connect > 0 && math.Abs(off-r.Connect/1000) <= printed:
		d.counts["without the handshake"]++
	case math.Abs(off-r.Connect/1000) <= max(1, ours/100): // the two look one behind the other
		d.counts["within 1 ms or 1 %"]++
	default:
		d.t.Errorf("%.2f ms, %.2f: %s\n%s", l.ms, ours, l.text, r.text)
	}
	return false
}

// printed is how much two digits behind the point may hide, milliseconds, and the
// instant between two programs on one hook.
const printed = 0.02
