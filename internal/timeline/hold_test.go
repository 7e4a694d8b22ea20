package timeline

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"tcpstory/internal/tcp"
)

// collector remembers copies of what was emitted.
type collector struct {
	seq   []uint64
	local []netip.AddrPort
	frame []string
}

func (c *collector) emit(ev *tcp.Event) error {
	c.seq = append(c.seq, ev.Seq)
	c.local = append(c.local, ev.Flow.Local)
	c.frame = append(c.frame, string(ev.Packet.Frame))
	return nil
}

func (c *collector) wantSeq(t *testing.T, want ...uint64) {
	t.Helper()
	if len(c.seq) != len(want) {
		t.Fatalf("emitted %v, want %v", c.seq, want)
	}
	for i := range want {
		if c.seq[i] != want[i] {
			t.Fatalf("emitted %v, want %v", c.seq, want)
		}
	}
}

var (
	remote    = netip.MustParseAddrPort("10.77.0.2:80")
	noPort    = netip.MustParseAddrPort("10.77.0.1:0")
	withPort  = netip.MustParseAddrPort("10.77.0.1:40000")
	wherever  = netip.MustParseAddrPort("0.0.0.0:0")
	otherPort = netip.MustParseAddrPort("10.77.0.1:40001")
)

func synSent(seq, cookie uint64, local netip.AddrPort) *tcp.Event {
	return &tcp.Event{Seq: seq, Time: int64(seq) * 1000, Kind: tcp.KindState, Cookie: cookie,
		Old: tcp.Close, New: tcp.SynSent, Flow: tcp.Flow{Local: local, Remote: remote}}
}

func packet(seq, cookie uint64, local netip.AddrPort, frame string) *tcp.Event {
	ev := &tcp.Event{Seq: seq, Time: int64(seq) * 1000, Kind: tcp.KindPacket, Cookie: cookie,
		Flow: tcp.Flow{Local: local, Remote: remote}}
	ev.Packet.Frame = []byte(frame)
	return ev
}

func push(t *testing.T, h *Hold, c *collector, evs ...*tcp.Event) {
	t.Helper()
	for _, ev := range evs {
		if err := h.Push(ev, c.emit); err != nil {
			t.Fatal(err)
		}
		for i := range ev.Packet.Frame { // a source overwrites its buffer
			ev.Packet.Frame[i] = 'x'
		}
	}
}

// A connect() that finds no free port closes its socket without ever having one.
func TestHoldGivesUpWithTheSocket(t *testing.T) {
	var h Hold
	var c collector
	closed := &tcp.Event{Seq: 3, Time: 3000, Kind: tcp.KindState, Cookie: 7, Old: tcp.SynSent, New: tcp.Close,
		Flow: tcp.Flow{Local: noPort, Remote: remote}}
	push(t, &h, &c, synSent(1, 7, noPort), packet(2, 9, withPort, "between"))
	c.wantSeq(t)
	push(t, &h, &c, closed)
	c.wantSeq(t, 1, 2, 3)
	if h.Len() != 0 || c.local[0] != noPort {
		t.Errorf("%d wait, the first left with %v", h.Len(), c.local[0])
	}
}

func TestHoldLearnsPortAndKeepsOrder(t *testing.T) {
	var h Hold
	var c collector
	push(t, &h, &c, packet(1, 9, withPort, "before"), synSent(2, 7, noPort), packet(3, 9, withPort, "between"))
	c.wantSeq(t, 1)
	push(t, &h, &c, packet(4, 7, withPort, "SYN"))
	c.wantSeq(t, 1, 2, 3, 4)
	if c.local[1] != withPort {
		t.Errorf("SYN_SENT left with %v, want %v", c.local[1], withPort)
	}
	if c.frame[2] != "between" || c.frame[3] != "SYN" {
		t.Errorf("frames were not copied: %q", c.frame)
	}
	if h.Len() != 0 {
		t.Errorf("%d events still held", h.Len())
	}
}

func TestHoldLearnsFrom(t *testing.T) {
	for _, kind := range []tcp.Kind{tcp.KindState, tcp.KindDrop, tcp.KindRetransmit, tcp.KindPort, tcp.KindSocketError} {
		var h Hold
		var c collector
		teacher := packet(2, 7, withPort, "")
		teacher.Kind = kind
		push(t, &h, &c, synSent(1, 7, wherever), teacher)
		if kind == tcp.KindPort {
			c.wantSeq(t, 1)
		} else {
			c.wantSeq(t, 1, 2)
		}
		if c.local[0] != withPort {
			t.Errorf("%v taught %v, want %v", kind, c.local[0], withPort)
		}
	}
}

func synRecv(seq, cookie uint64, isn uint32) *tcp.Event {
	return &tcp.Event{Seq: seq, Time: int64(seq) * 1000, Kind: tcp.KindState, Cookie: cookie, ISN: isn,
		Old: tcp.Listen, New: tcp.SynRecv, Flow: tcp.Flow{Local: withPort, Remote: remote}}
}

func established(seq, cookie uint64) *tcp.Event {
	return &tcp.Event{Seq: seq, Time: int64(seq) * 1000, Kind: tcp.KindState, Cookie: cookie, ISN: 5001, PeerISN: 1001,
		Old: tcp.SynRecv, New: tcp.Established, Flow: tcp.Flow{Local: withPort, Remote: remote}}
}

// TestHoldLearnsNumbers: a child's first transition is told with the numbers that
// its second one brings; without waiting where it has them, or no cookie.
func TestHoldLearnsNumbers(t *testing.T) {
	var h Hold
	var c collector
	var first tcp.Event
	emit := func(ev *tcp.Event) error {
		if ev.New == tcp.SynRecv {
			first = *ev
		}
		return c.emit(ev)
	}
	for _, ev := range []*tcp.Event{synRecv(1, 7, 0), packet(2, 9, withPort, ""), established(3, 7)} {
		if err := h.Push(ev, emit); err != nil {
			t.Fatal(err)
		}
	}
	c.wantSeq(t, 1, 2, 3)
	if first.ISN != 5001 || first.PeerISN != 1001 {
		t.Errorf("SYN_RECV left with %d and %d", first.ISN, first.PeerISN)
	}
	push(t, &h, &c, synRecv(4, 7, 8), synRecv(5, 0, 0))
	c.wantSeq(t, 1, 2, 3, 4, 5)
	push(t, &h, &c, synRecv(6, 7, 0))
	c.wantSeq(t, 1, 2, 3, 4, 5)
	push(t, &h, &c, packet(7, 7, withPort, "")) // it lives on in SYN_RECV (TCP Fast Open)
	c.wantSeq(t, 1, 2, 3, 4, 5, 6, 7)
}

func TestHoldKeepsPortEventsToItself(t *testing.T) {
	var h Hold
	var c collector
	port := packet(1, 7, withPort, "")
	port.Kind = tcp.KindPort
	push(t, &h, &c, port)
	c.wantSeq(t)
}

func TestHoldDoesNotWaitWithoutReason(t *testing.T) {
	var h Hold
	var c collector
	push(t, &h, &c, synSent(1, 7, withPort), synSent(2, 0, noPort)) // bound before; no cookie to learn by
	c.wantSeq(t, 1, 2)
}

// TestHoldCopiesWhatASourceUsesAgain, besides the frame.
func TestHoldCopiesWhatASourceUsesAgain(t *testing.T) {
	var h Hold
	counters, place := tcp.Counters{SegsIn: 1}, tcp.Place{Name: "a"}
	var got []tcp.Event
	emit := func(ev *tcp.Event) error {
		if ev.Counters != nil {
			if ev.Counters.SegsIn != 1 || ev.Place.Name != "a" {
				t.Errorf("counters %+v, place %+v", *ev.Counters, *ev.Place)
			}
			got = append(got, *ev)
		}
		return nil
	}
	socket := &tcp.Event{Seq: 2, Time: 2000, Kind: tcp.KindSocket, Cookie: 9, Counters: &counters, Place: &place}
	for _, ev := range []*tcp.Event{synRecv(1, 7, 0), socket} {
		if err := h.Push(ev, emit); err != nil {
			t.Fatal(err)
		}
	}
	counters, place = tcp.Counters{}, tcp.Place{}
	if err := h.Flush(emit); err != nil || len(got) != 1 {
		t.Errorf("%d events, %v", len(got), err)
	}
}

func TestHoldIgnoresTheIgnorant(t *testing.T) {
	var h Hold
	var c collector
	push(t, &h, &c, synSent(1, 7, noPort), packet(2, 7, noPort, ""), packet(3, 8, withPort, ""), packet(4, 0, withPort, ""))
	c.wantSeq(t)
	push(t, &h, &c, packet(5, 7, withPort, ""))
	c.wantSeq(t, 1, 2, 3, 4, 5)
}

func TestHoldInterleaved(t *testing.T) {
	var h Hold
	var c collector
	push(t, &h, &c, synSent(1, 7, noPort), synSent(2, 8, noPort), packet(3, 8, otherPort, ""))
	c.wantSeq(t)
	push(t, &h, &c, packet(4, 7, withPort, ""))
	c.wantSeq(t, 1, 2, 3, 4)
	if c.local[0] != withPort || c.local[1] != otherPort {
		t.Errorf("ports mixed up: %v", c.local)
	}
}

func TestHoldSecondConnectOfOneSocket(t *testing.T) {
	var h Hold
	var c collector
	push(t, &h, &c, synSent(1, 7, noPort), synSent(2, 7, noPort))
	c.wantSeq(t, 1)
	push(t, &h, &c, packet(3, 7, withPort, ""))
	c.wantSeq(t, 1, 2, 3)
	if c.local[0].Port() != 0 || c.local[1] != withPort {
		t.Errorf("the first attempt must stay unknown: %v", c.local)
	}
}

func TestHoldGivesUp(t *testing.T) {
	late := packet(3, 9, withPort, "")
	late.Time = 1000 + int64(HoldLimit) + 1
	for name, drive := range map[string]func(*Hold, *collector) error{
		"by a later event":  func(h *Hold, c *collector) error { return h.Push(late, c.emit) },
		"by an idle source": func(h *Hold, c *collector) error { return h.Expire(late.Time, c.emit) },
		"at the end":        func(h *Hold, c *collector) error { return h.Flush(c.emit) },
	} {
		var h Hold
		var c collector
		push(t, &h, &c, synSent(1, 7, noPort), packet(2, 9, withPort, ""))
		if err := h.Expire(1000+int64(HoldLimit), c.emit); err != nil {
			t.Fatal(err)
		}
		c.wantSeq(t)
		if err := drive(&h, &c); err != nil {
			t.Fatal(err)
		}
		if len(c.seq) < 2 || c.seq[0] != 1 || c.local[0] != noPort {
			t.Errorf("%s: emitted %v %v", name, c.seq, c.local)
		}
		if h.Len() != 0 || len(h.waiting) != 0 {
			t.Errorf("%s: %d held, %d waiting", name, h.Len(), len(h.waiting))
		}
	}
}

func TestHoldIsBounded(t *testing.T) {
	var h Hold
	var c collector
	push(t, &h, &c, synSent(1, 7, noPort))
	for seq := uint64(2); seq < 3*HoldEvents; seq++ {
		ev := packet(seq, 9, withPort, "")
		ev.Time = 2000
		push(t, &h, &c, ev)
	}
	if h.Len() > HoldEvents {
		t.Errorf("%d events held", h.Len())
	}
	if c.seq[0] != 1 || c.local[0].Port() != 0 {
		t.Errorf("first out: %d %v", c.seq[0], c.local[0])
	}
	for i, seq := range c.seq {
		if seq != uint64(i)+1 {
			t.Fatalf("order changed at %d: %d", i, seq)
		}
	}
	big := string(bytes.Repeat([]byte("b"), HoldBytes/4))
	h, c = Hold{}, collector{}
	push(t, &h, &c, synSent(1, 7, noPort))
	for seq := uint64(2); seq < 9; seq++ {
		push(t, &h, &c, packet(seq, 9, withPort, big))
	}
	if h.queue.bytes > HoldBytes {
		t.Errorf("%d bytes held", h.queue.bytes)
	}
}

func TestHoldReturnsEmitError(t *testing.T) {
	var h Hold
	broken := errors.New("broken")
	fail := func(*tcp.Event) error { return broken }
	if err := h.Push(packet(1, 0, withPort, ""), fail); !errors.Is(err, broken) {
		t.Errorf("straight through: %v", err)
	}
	if err := h.Push(synSent(2, 7, noPort), fail); err != nil {
		t.Errorf("held: %v", err)
	}
	if err := h.Push(packet(3, 7, withPort, ""), fail); !errors.Is(err, broken) {
		t.Errorf("released: %v", err)
	}
}

func TestHoldDoesNotAllocate(t *testing.T) {
	var h Hold
	nothing := func(*tcp.Event) error { return nil }
	syn, pkt := synSent(1, 7, noPort), packet(2, 7, withPort, string(make([]byte, 74)))
	other := packet(2, 8, withPort, string(make([]byte, 1400)))
	story := func() {
		for range 20 {
			_ = h.Push(syn, nothing)
			_ = h.Push(other, nothing)
			_ = h.Push(pkt, nothing)
			_ = h.Push(other, nothing)
		}
	}
	story()
	if n := testing.AllocsPerRun(100, story); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHoldPassThrough(b *testing.B) {
	var h Hold
	ev := packet(1, 7, withPort, "")
	nothing := func(*tcp.Event) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Push(ev, nothing)
	}
}

// One connect() as the ring shows it: three events held, then let go.
func BenchmarkHoldConnect(b *testing.B) {
	var h Hold
	syn, pkt, other := synSent(1, 7, noPort), packet(2, 7, withPort, string(make([]byte, 74))), packet(2, 8, withPort, string(make([]byte, 66)))
	nothing := func(*tcp.Event) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Push(syn, nothing)
		_ = h.Push(other, nothing)
		_ = h.Push(pkt, nothing)
	}
}

// One accept as the ring shows it: the child's two transitions.
func BenchmarkHoldAccept(b *testing.B) {
	var h Hold
	child, up := synRecv(1, 7, 0), established(2, 7)
	nothing := func(*tcp.Event) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Push(child, nothing)
		_ = h.Push(up, nothing)
	}
}
