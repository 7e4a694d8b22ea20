package capture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"tcpstory/internal/capture"
	"tcpstory/internal/tcp"
)

const testNS = int64(1_700_000_000_123_456_000)

// synFrame is an Ethernet frame with a SYN; vlan puts a tag into it.
func synFrame(vlan bool) []byte {
	f := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	if vlan {
		f = append(f, 0x81, 0, 0, 100)
	}
	f = append(f, 8, 0, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0x26, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2)
	return append(f, 0x9c, 0x40, 0x1f, 0x40, 0, 0, 0, 100, 0, 0, 0, 0, 0x50, 2, 1, 0xf6, 0, 0, 0, 0)
}

func event(link tcp.LinkType, frame []byte) *tcp.Event {
	ev := &tcp.Event{Kind: tcp.KindPacket, Time: testNS}
	ev.Packet = tcp.Packet{Frame: frame, Length: uint32(len(frame)), Link: link, Dir: tcp.DirIn}
	return ev
}

func create(t testing.TB, link tcp.LinkType, snaplen int, events ...*tcp.Event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.pcap")
	w, err := capture.Create(path, link, snaplen)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		if err := w.Write(ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll reads a file and returns copies of its events, and how it ended.
func readAll(t testing.TB, path string) (events []*tcp.Event, end error) {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		ev := new(tcp.Event)
		if err := r.Next(ev); err != nil {
			if again := r.Next(ev); again != err {
				t.Errorf("after %v: %v", err, again)
			}
			return events, err
		}
		ev.Packet.Frame = bytes.Clone(ev.Packet.Frame)
		events = append(events, ev)
	}
}

func TestRoundTrip(t *testing.T) {
	in := []*tcp.Event{event(tcp.LinkEthernet, synFrame(false)), event(tcp.LinkEthernet, synFrame(true))}
	in[1].Packet.Length += 1000
	in[1].Time += 1_000_999
	out, err := readAll(t, create(t, tcp.LinkEthernet, 0, in...))
	if err != io.EOF || len(out) != len(in) {
		t.Fatalf("%d events, %v", len(out), err)
	}
	for i, ev := range out {
		if ev.Seq != uint64(i+1) || ev.Kind != tcp.KindPacket || ev.Packet.Link != tcp.LinkEthernet {
			t.Errorf("event %d: %+v", i, ev)
		}
		if ev.Time != in[i].Time/1000*1000 || ev.Packet.Length != in[i].Packet.Length {
			t.Errorf("event %d: time %d, length %d", i, ev.Time, ev.Packet.Length)
		}
		if !bytes.Equal(ev.Packet.Frame, in[i].Packet.Frame) {
			t.Errorf("event %d: frame %x", i, ev.Packet.Frame)
		}
	}
}

func TestWriterKeepsSnaplenAndPacketsOnly(t *testing.T) {
	for _, snaplen := range []int{10, 30, 54} {
		for _, link := range []tcp.LinkType{tcp.LinkEthernet, tcp.LinkSLL2} {
			path := create(t, link, snaplen, &tcp.Event{Kind: tcp.KindState}, event(tcp.LinkEthernet, synFrame(false)))
			out, err := readAll(t, path)
			if err != io.EOF || len(out) != 1 || len(out[0].Packet.Frame) != snaplen {
				t.Fatalf("link %d, snaplen %d: %v, %v", link, snaplen, out, err)
			}
			if want := map[tcp.LinkType]uint32{tcp.LinkEthernet: 54, tcp.LinkSLL2: 60}[link]; out[0].Packet.Length != want {
				t.Errorf("link %d: length %d, want %d", link, out[0].Packet.Length, want)
			}
		}
	}
}

func TestWriterRefusesForeignFrames(t *testing.T) {
	w, err := capture.Create(filepath.Join(t.TempDir(), "a.pcap"), tcp.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Write(event(tcp.LinkRaw, synFrame(false)[14:])); err == nil || !strings.Contains(err.Error(), "link type 101") {
		t.Errorf("raw frame into an Ethernet file: %v", err)
	}
}

func TestWriterReportsTheDisk(t *testing.T) {
	w, err := capture.Create("/dev/full", tcp.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(event(tcp.LinkEthernet, synFrame(false))); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "/dev/full") {
		t.Errorf("full disk: %v", err)
	}
	if err := w.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close after that: %v", err)
	}
	if _, err := capture.Create(filepath.Join(t.TempDir(), "no", "a.pcap"), tcp.LinkEthernet, 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

// damage is a good file of two packets, changed.
func TestDamagedPcap(t *testing.T) {
	good, err := os.ReadFile(create(t, tcp.LinkEthernet, 0, event(tcp.LinkEthernet, synFrame(false)), event(tcp.LinkEthernet, synFrame(false))))
	if err != nil {
		t.Fatal(err)
	}
	const second = 24 + 16 + 54
	set := func(at int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	tests := []struct {
		name   string
		file   []byte
		before int // packets delivered first
		want   string
	}{
		{"empty", nil, 0, "the file is empty"},
		{"three bytes", good[:3], 0, "truncated dump file"},
		{"half a header", good[:20], 0, "truncated dump file"},
		{"text", []byte("hello world, this is no capture"), 0, "not a pcap or pcapng file"},
		{"gzip", []byte{0x1f, 0x8b, 8, 0}, 0, "zcat"},
		{"version", set(4, 9), 0, "version"},
		{"half a packet header", good[:second+8], 1, "packet 2: truncated dump file"},
		{"header without packet", good[:second+16], 1, "packet 2: truncated dump file"},
		{"half a packet", good[:second+40], 1, "packet 2: truncated dump file"},
		{"absurd length", set(second+8, 1<<31), 1, "packet 2: invalid packet capture length 2147483648, bigger than the maximum of 262144"},
		{"more captured than there was", set(second+12, 10), 1, "packet 2: invalid packet: 54 bytes captured of 10"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { checkDamaged(t, test.file, test.before, test.want) })
	}
}

func checkDamaged(t *testing.T, file []byte, before int, want string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bad.pcap")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := readAll(t, path)
	if len(events) != before {
		t.Errorf("%d packets delivered, want %d", len(events), before)
	}
	if err == nil || err == io.EOF {
		t.Fatalf("no error: %v", err)
	}
	if text := err.Error(); !strings.Contains(text, want) || !strings.Contains(text, path) || strings.Contains(text, "\n") {
		t.Errorf("error %q, want the file's name and %q", text, want)
	}
	if strings.Contains(want, "packet 2: truncated") && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v is not io.ErrUnexpectedEOF", err)
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	if _, err := capture.Open("/nonexistent/a.pcap"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nonexistent/a.pcap") {
		t.Errorf("%v", err)
	}
	if _, err := capture.Open(t.TempDir()); err == nil {
		t.Error("a directory was opened as a capture file")
	}
}

// TestReaderMemory reads many packets: what is allocated must not grow with them.
func TestReaderMemory(t *testing.T) {
	var events []*tcp.Event
	for range 5000 {
		events = append(events, event(tcp.LinkEthernet, synFrame(false)))
	}
	r, err := capture.Open(create(t, tcp.LinkEthernet, 0, events...))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var ev tcp.Event
	if err := r.Next(&ev); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for err == nil {
		err = r.Next(&ev)
	}
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; err != io.EOF || n > 100 {
		t.Errorf("%d allocations for 5000 packets, %v", n, err)
	}
}

func TestWriterAllocatesNothing(t *testing.T) {
	w, err := capture.Create(os.DevNull, tcp.LinkSLL2, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ev := event(tcp.LinkEthernet, synFrame(false))
	if n := testing.AllocsPerRun(1000, func() {
		if err := w.Write(ev); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}
