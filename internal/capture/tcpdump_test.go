package capture_test

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"tcpstory/internal/capture"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// mixed are packets as live devices of several kinds give them.
func mixed(t testing.TB) []*tcp.Event {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	plain, tagged := synFrame(false), synFrame(true)
	sll := append([]byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 8, 0}, plain[14:]...)
	sll2 := append([]byte{8, 0, 0, 0, 0, 0, 0, byte(lo.Index), 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0}, plain[14:]...)
	events := []*tcp.Event{
		event(tcp.LinkEthernet, plain), event(tcp.LinkEthernet, tagged), event(tcp.LinkRaw, plain[14:]),
		event(tcp.LinkNull, append([]byte{2, 0, 0, 0}, plain[14:]...)), event(tcp.LinkSLL, sll), event(tcp.LinkSLL2, sll2),
		event(tcp.LinkEthernet, append(plain[:14:14], plain[14:40]...)),
	}
	dirs := []tcp.Direction{tcp.DirIn, tcp.DirOut, tcp.DirBroadcast, tcp.DirMulticast, tcp.DirOut, tcp.DirIn, tcp.DirUnknown}
	for i, ev := range events {
		ev.Time += int64(i) * 1e6
		ev.Packet.Dir = dirs[i]
		if i%2 == 0 || ev.Packet.Link == tcp.LinkSLL2 {
			ev.Packet.Ifindex, ev.Packet.Device, ev.Packet.Loopback = uint32(lo.Index), "lo", true
		}
		ev.Packet.Decode()
	}
	events[6].Packet.Length = 54
	return events
}

// TestTcpdumpReadsMixedFile writes packets of every kind into one file: what
// tcpdump reads from it, what is read back here and what the live printer
// shows with -i any's columns must be the same lines.
func TestTcpdumpReadsMixedFile(t *testing.T) {
	bin, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Fatal("tcpdump is the judge of this test: install the package tcpdump")
	}
	events := mixed(t)
	path := create(t, tcp.LinkSLL2, 0, events...)
	for _, flags := range [][]string{{}, {"-e"}, {"-v"}, {"-e", "-q"}} {
		cmd := exec.Command(bin, append([]string{"-ttnr", path}, flags...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", cmd.Args, err)
		}
		opts := render.LineOptions{Time: render.TimeUnix, Columns: true}
		for _, flag := range flags {
			opts.Link = opts.Link || flag == "-e"
			opts.Quiet = opts.Quiet || flag == "-q"
			if flag == "-v" {
				opts.Verbose = 1
			}
		}
		if got := lines(opts, events); got != string(out) {
			t.Errorf("%v: live\n%stcpdump\n%s", flags, got, out)
		}
		back, _ := readAll(t, path)
		opts.Columns = false // a cooked file has them of its own
		if got := lines(opts, back); got != string(out) {
			t.Errorf("%v: read back\n%stcpdump\n%s", flags, got, out)
		}
	}
}

func lines(opts render.LineOptions, events []*tcp.Event) string {
	lp := render.NewLinePrinter(opts)
	var b []byte
	for _, ev := range events {
		ev.Packet.Decode()
		b = lp.Append(b, ev)
	}
	return string(b)
}

// TestStandardStreams sends a file through pipes in place of standard input
// and output.
func TestStandardStreams(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, stdout := os.Stdin, os.Stdout
	defer func() { os.Stdin, os.Stdout = stdin, stdout }()
	os.Stdin, os.Stdout = in, out
	w, err := capture.Create(capture.Stdio, tcp.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(event(tcp.LinkEthernet, synFrame(false))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatalf("standard output was closed: %v", err)
	}
	if events, err := readAll(t, capture.Stdio); len(events) != 1 || err.Error() != "EOF" {
		t.Errorf("%d events, %v", len(events), err)
	}
	in.Close()
}
