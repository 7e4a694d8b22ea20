package mix

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// alone is a host by itself.
func alone(t *testing.T) *lab.Host {
	t.Helper()
	l, err := lab.New(t.Context(), lab.Options{Topology: lab.Alone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Host(lab.Server)
}

// pair is a connection inside the host, both ends ours.
func pair(t *testing.T, h *lab.Host, network string) (client, server *net.TCPConn) {
	t.Helper()
	addr := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
	err := h.Within(func() error {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		ln, err := lc.Listen(context.Background(), network, addr)
		if err != nil {
			return err
		}
		defer ln.Close()
		c, err := net.Dial(network, ln.Addr().String())
		if err != nil {
			return err
		}
		s, err := ln.Accept()
		client, server = c.(*net.TCPConn), s.(*net.TCPConn)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// carry sends n bytes and reads them.
func carry(t *testing.T, from, to *net.TCPConn, n int) {
	t.Helper()
	if _, err := from.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	quick(to)
	if _, err := io.CopyN(io.Discard, to, int64(n)); err != nil {
		t.Fatal(err)
	}
	for unacknowledged(from) > 0 {
		time.Sleep(time.Millisecond)
	}
}

// oneRow is the only row of a tuple.
func oneRow(t *testing.T, rows []row, c *net.TCPConn) row {
	t.Helper()
	local, remote := ends(c)
	var found []row
	for _, r := range rows {
		if r.flow() == fmt.Sprint(local, " ", remote) {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d rows for %v %v of %d: %+v", len(found), local, remote, len(rows), found)
	}
	return found[0]
}

func wantRow(t *testing.T, r row, direction, end string, tx, rx int64, older bool) {
	t.Helper()
	if r.Direction != direction || r.End != end || r.Older != older || r.TX == nil || *r.TX != tx || r.RX == nil || *r.RX != rx {
		t.Errorf("want %s, %s, %d, %d, older %v: %s", direction, end, tx, rx, older, r.text)
	}
	if older != (r.Duration == 0) {
		t.Errorf("older %v, duration %v: %s", older, r.Duration, r.text)
	}
}

// TestOlder: what was there before tells its whole count at its end, and who
// opened it. What is open at the end is told once, older or not.
func TestOlder(t *testing.T) {
	h, bin := alone(t), built(t)
	oldClient, oldServer := pair(t, h, "tcp4")
	stays, stays2 := pair(t, h, "tcp6")
	carry(t, oldClient, oldServer, 1000)
	carry(t, stays, stays2, 70)
	l := startLife(t, bin, "--json", "--open", "--netns", h.NetnsName(), "tcp")
	carry(t, oldServer, oldClient, 2345)
	newClient, newServer := pair(t, h, "tcp6")
	carry(t, newClient, newServer, 17)
	oldClient.Close()
	if _, err := oldServer.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	oldServer.Close()
	l.stop(t)
	rows := l.rows(t)
	if len(rows) != 6 {
		t.Errorf("%d rows, want 6", len(rows))
	}
	wantRow(t, oneRow(t, rows, oldClient), "out", "fin-local", 1000, 2345, true)
	wantRow(t, oneRow(t, rows, oldServer), "in", "fin-remote", 2345, 1000, true)
	wantRow(t, oneRow(t, rows, stays), "out", "open", 70, 0, true)
	wantRow(t, oneRow(t, rows, stays2), "in", "open", 0, 70, true)
	wantRow(t, oneRow(t, rows, newClient), "out", "open", 17, 0, false)
	wantRow(t, oneRow(t, rows, newServer), "in", "open", 0, 17, false)
	for _, r := range rows {
		if r.Comm != "mix.test" {
			t.Errorf("whose: %s", r.text)
		}
	}
}

// TestHalfOpen: a SYN whose answer arrives when nobody waits for it any more has a row at
// the server, at the time of the RST that comes back; one that is answered late began with its first SYN-ACK.
func TestHalfOpen(t *testing.T) {
	h, bin := alone(t), built(t)
	rules := "add table ip t; add chain ip t c { type filter hook input priority 0; }; add rule ip t c tcp sport 7100 tcp flags & (syn|ack) == syn|ack drop"
	if out, err := h.Command(t.Context(), "nft", rules).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := h.Sysctl("net.ipv4.tcp_synack_retries", "1"); err != nil {
		t.Fatal(err)
	}
	l := startLife(t, bin, "--json", "--netns", h.NetnsName(), "port 7100")
	var late time.Duration
	err := h.Within(func() error {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		ln, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:7100")
		if err != nil {
			return err
		}
		defer ln.Close()
		d := net.Dialer{Timeout: 300 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7101}}
		if c, err := d.Dial("tcp4", "127.0.0.1:7100"); err == nil {
			c.Close()
			return fmt.Errorf("it was answered")
		}
		begun := time.Now()
		lift := time.AfterFunc(500*time.Millisecond, func() { _ = h.Command(context.Background(), "nft", "flush", "ruleset").Run() })
		defer lift.Stop()
		c, err := net.Dial("tcp4", "127.0.0.1:7100")
		if err != nil {
			return err
		}
		s, err := ln.Accept()
		if err != nil {
			return err
		}
		late = time.Since(begun)
		c.Close()
		return s.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	l.awaits(t, `"half_open":true`, 15*time.Second)
	l.stop(t)
	half, whole := 0, 0
	for _, r := range l.rows(t) {
		switch {
		case r.Half:
			half++
			if r.End != "rst-received" || r.RemotePort != 7101 || r.LocalPort != 7100 || r.Accepted == nil || r.Duration < 900e3 || r.Duration > 10e6 {
				t.Errorf("half-open: %s", r.text)
			}
		case r.Direction == "in":
			whole++
			if d := time.Duration(r.Duration * 1000); d < late-100*time.Millisecond || d > late+100*time.Millisecond {
				t.Errorf("answered after %v: %s", late, r.text)
			}
		}
	}
	if half != 1 || whole != 1 {
		t.Errorf("%d half-open, %d came about: %s", half, whole, l.out.String())
	}
}

// TestChoices: what the flags leave out, and what they do not.
func TestChoices(t *testing.T) {
	h, bin := alone(t), built(t)
	var tools []*tool
	choices := []struct {
		flags string
		rows  int
	}{
		{"tcp", 6}, {"-4 tcp", 4}, {"-6 tcp", 2}, {"--failed tcp", 2}, {"--min-bytes 101 tcp", 2}, {"--min-bytes 100 tcp", 4}, {"-L 7201 tcp", 2},
		{"-D 7201 tcp", 2}, {"-L 7201,7202 -D 1 tcp", 0}, {"port 7201", 4}, {"ip6", 2}, {"udp", 0}, {"--comm nobody tcp", 0},
		{"--comm mix.test tcp", 6}, {"--min-ms 60000 tcp", 0},
	}
	for _, c := range choices {
		tools = append(tools, startLife(t, bin, append([]string{"--json", "--netns", h.NetnsName()}, strings.Fields(c.flags)...)...))
	}
	on := func(network, addr string, n int, linger bool) {
		err := h.Within(func() error {
			var lc net.ListenConfig
			lc.SetMultipathTCP(false)
			ln, err := lc.Listen(t.Context(), network, addr)
			if err != nil {
				return err
			}
			defer ln.Close()
			c, err := net.Dial(network, addr)
			if err != nil {
				return err
			}
			s, err := ln.Accept()
			if err != nil {
				return err
			}
			carry(t, c.(*net.TCPConn), s.(*net.TCPConn), n)
			if linger {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
			_, _ = s.Read(make([]byte, 1))
			return s.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	on("tcp4", "127.0.0.1:7201", 5, true)
	on("tcp4", "127.0.0.2:7201", 100, false)
	on("tcp6", "[::1]:7202", 101, false)
	for i, c := range choices {
		said := tools[i].stop(t)
		if rows := tools[i].rows(t); len(rows) != c.rows || !strings.Contains(said, fmt.Sprintf("%d connection", c.rows)) {
			t.Errorf("life %s: %d rows, want %d: %s%s", c.flags, len(rows), c.rows, tools[i].out.String(), said)
		}
	}
}

// TestRecording: a recording has the same ends and owners as the live report, and
// knows what it does not tell.
func TestRecording(t *testing.T) {
	h, bin := alone(t), built(t)
	file := t.TempDir() + "/story.pcapng"
	live := startLife(t, bin, "--json", "--netns", h.NetnsName(), "tcp")
	rec := startTool(t, bin, "record", "-w", file, "--netns", h.NetnsName(), "tcp")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := Run(ctx, h, 60, false); err != nil {
		t.Fatal(err)
	}
	live.stop(t)
	rec.stop(t)
	back := &tool{}
	cmd := exec.Command(bin, "life", "-r", file, "--json")
	cmd.Stdout = &back.out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	want := map[string]row{}
	for _, r := range live.rows(t) {
		want[r.flow()] = r
	}
	rows := back.rows(t)
	if len(rows) != len(want) || len(rows) < 80 {
		t.Errorf("%d rows, %d live", len(rows), len(want))
	}
	for _, r := range rows {
		w := want[r.flow()]
		if r.End != w.End || r.Direction != w.Direction || r.TX != nil || r.RX != nil || r.PID != 0 && r.PID != w.PID {
			t.Errorf("%s\nlive %s", r.text, w.text)
		}
	}
}

// TestOwnResetBehindClose: data for a socket that has been closed is answered with a
// reset. The kernel ends that socket just as if the reset had come: that it was our
// own follows the record. TCP_LINGER2 beyond TIME_WAIT keeps it a socket in FIN_WAIT2.
func TestOwnResetBehindClose(t *testing.T) {
	h, bin := alone(t), built(t)
	l := startLife(t, bin, "--json", "--netns", h.NetnsName(), "tcp")
	client, server := pair(t, h, "tcp4")
	carry(t, client, server, 33)
	if err := control(client, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_LINGER2, 90) }); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for unacknowledged(client) > 0 { // then it is in FIN_WAIT2
		time.Sleep(time.Millisecond)
	}
	client.Close()
	if _, err := server.Write([]byte("too late")); err != nil {
		t.Fatal(err)
	}
	l.awaits(t, `"direction":"out"`, 5*time.Second)
	server.Close()
	l.awaits(t, `"direction":"in"`, 5*time.Second)
	l.stop(t)
	rows := l.rows(t)
	r := oneRow(t, rows, client)
	wantRow(t, r, "out", "rst-sent", 33, 0, false)
	if r.State != "FIN_WAIT2" || r.Errno != int(unix.ECONNRESET) {
		t.Errorf("it shall have ended as if a reset had come: %s", r.text)
	}
	wantRow(t, oneRow(t, rows, server), "in", "rst-received", 0, 33, false)
}

// TestIntervals: a summary for each interval as it passes, by every grouping. Each
// connection is in one of them.
func TestIntervals(t *testing.T) {
	h, bin := alone(t), built(t)
	groups := map[string]string{"process": "mix.test", "remote": "127.0.0.1", "port": `\d+`, "container": "-"}
	tools := map[string]*tool{}
	for by := range groups {
		tools[by] = startLife(t, bin, "--interval", "1s", "--by", by, "--netns", h.NetnsName(), "tcp")
	}
	all := regexp.MustCompile(`(?m)^ all +(\d+) +0 +(\d+) `)
	for turn := range 2 {
		client, server := pair(t, h, "tcp4")
		carry(t, client, server, 1234)
		client.Close()
		_, _ = server.Read(make([]byte, 1))
		server.Close()
		for by, tool := range tools {
			conns, bytes := 0, 0
			for deadline := time.Now().Add(10 * time.Second); conns < 2*(turn+1) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
				conns, bytes = 0, 0
				for _, m := range all.FindAllStringSubmatch(tool.out.String(), -1) {
					n, _ := strconv.Atoi(m[1])
					tx, _ := strconv.Atoi(m[2])
					conns, bytes = conns+n, bytes+tx
				}
			}
			if conns != 2*(turn+1) || bytes != 1234*(turn+1) {
				t.Errorf("--by %s: %d connections, %d bytes behind %d: %s", by, conns, bytes, turn+1, tool.out.String())
			}
		}
	}
	for by, tool := range tools {
		before := tool.out.String()
		if said := tool.stop(t); !strings.Contains(said, "4 connections ended") {
			t.Errorf("--by %s: %s", by, said)
		}
		for _, text := range []string{`^ ` + by + ` +conns `, `^ ` + groups[by] + ` +[12] +0 `} {
			if !regexp.MustCompile(`(?m)` + text).MatchString(before) {
				t.Errorf("--by %s: no %s in\n%s", by, text, before)
			}
		}
	}
}
