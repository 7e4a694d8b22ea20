package kernel

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// mockRing is a ring whose producer is the test instead of the kernel.
type mockRing struct {
	ring
	consumed, produced uint64
}

func newMockRing(size int) *mockRing {
	m := &mockRing{}
	words := make([]uint64, 2*size/8) // aligned as pages are
	m.data = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 2*size)
	m.mask = uint64(size - 1)
	m.consumer, m.producer = &m.consumed, &m.produced
	return m
}

// put writes a record as the kernel does: the second mapping shows the same bytes.
func (m *mockRing) put(record []byte, bits uint32) (at uint64) {
	size := uint64(len(m.data) / 2)
	at = m.produced & m.mask
	cell := binary.NativeEndian.AppendUint32(nil, uint32(len(record))|bits)
	cell = append(append(cell, 0, 0, 0, 0), record...)
	for i, b := range cell {
		pos := (at + uint64(i)) % size
		m.data[pos], m.data[pos+size] = b, b
	}
	m.produced += uint64(len(cell)+7) &^ 7
	return at
}

// commit ends the writing of a record.
func (m *mockRing) commit(at uint64, bits uint32) {
	head := (*uint32)(unsafe.Pointer(&m.data[at]))
	*head = *head&^ringBusy | bits
}

func (m *mockRing) take(t *testing.T, want string) {
	t.Helper()
	if got := string(m.next()); got != want {
		t.Fatalf("read %q, want %q", got, want)
	}
}

func TestRingWrapsAround(t *testing.T) {
	m := newMockRing(4096)
	record := make([]byte, 0, 300)
	for i := range 1000 { // some 40 times around; lengths prime to the size
		record = record[:100+i%150]
		for k := range record {
			record[k] = byte(i + k)
		}
		m.put(record, 0)
		if got := m.next(); !slices.Equal(got, record) {
			t.Fatalf("record %d of %d bytes came as %d bytes", i, len(record), len(got))
		}
		if m.next() != nil {
			t.Fatalf("something stands behind record %d", i)
		}
	}
	if m.pos != m.produced || !m.empty() {
		t.Errorf("read up to %d of %d", m.pos, m.produced)
	}
}

func TestRingSkipsDiscarded(t *testing.T) {
	m := newMockRing(4096)
	m.put([]byte("thrown away"), ringDiscard)
	m.put([]byte("first"), 0)
	m.put([]byte("thrown away too"), ringDiscard)
	m.put(nil, ringDiscard)
	m.put([]byte("second"), 0)
	m.put([]byte("and this"), ringDiscard)
	m.take(t, "first")
	m.take(t, "second")
	if m.next() != nil || !m.empty() {
		t.Error("a discarded record was left")
	}
}

// TestRingWaitsForTheWriter: what lies behind a record that is still being
// written must wait too, or the order would be lost.
func TestRingWaitsForTheWriter(t *testing.T) {
	m := newMockRing(4096)
	slow := m.put([]byte("slow"), ringBusy)
	m.put([]byte("quick"), 0)
	if got := m.next(); got != nil {
		t.Fatalf("read %q past a record that is being written", got)
	}
	if m.empty() {
		t.Error("a ring with a record being written is empty")
	}
	m.commit(slow, 0)
	m.take(t, "slow")
	m.take(t, "quick")
}

// TestRingGivesRoomBack: the producer must not see room that the caller is
// still reading from, and must see all of it once the reader sleeps.
func TestRingGivesRoomBack(t *testing.T) {
	m := newMockRing(1 << 20)
	record := make([]byte, 1000)
	for range 1000 {
		m.put(record, 0)
	}
	for m.next() != nil {
		if last := m.pos - 1008; m.consumed > last {
			t.Fatalf("room up to %d was given back, the record at %d is in use", m.consumed, last)
		}
		if m.pos-m.consumed > mostGivenBack+1008 {
			t.Fatalf("%d bytes are kept back", m.pos-m.consumed)
		}
	}
	m.poll[0].Fd, m.poll[1].Fd = -1, -1
	if err := m.wait(0); err != nil {
		t.Fatal(err)
	}
	if m.consumed != m.produced {
		t.Errorf("asleep with %d bytes kept back", m.produced-m.consumed)
	}
}

// mockSource reads from a mock ring.
func mockSource(size int) (*Source, *mockRing) {
	m := newMockRing(size)
	return &Source{ring: &m.ring, decode: *newDecoder(), losses: losses{due: 1 << 62}}, m
}

func stateRecord(cookie uint64, lost uint32) []byte {
	return raw(traceEvent{Cookie: cookie, Lost: lost, Kind: uint8(tcp.KindState), Flags: hasTuple, Family: 2}, tupleLen, "")
}

// TestGapsStandInFront: a loss is told before the first record that knows of it,
// once, and sequence numbers go on without a hole.
func TestGapsStandInFront(t *testing.T) {
	s, m := mockSource(4096)
	for _, r := range []struct {
		cookie uint64
		lost   uint32
	}{{1, 0}, {2, 3}, {3, 3}, {4, 2}, {5, 4}} { // two CPUs may tell it out of order
		m.put(stateRecord(r.cookie, r.lost), 0)
	}
	want := []struct{ cookie, lost uint64 }{{1, 0}, {0, 3}, {2, 0}, {3, 0}, {4, 0}, {0, 1}, {5, 0}}
	var ev tcp.Event
	for i, w := range want {
		if err := s.Read(&ev); err != nil {
			t.Fatal(err)
		}
		if ev.Seq != uint64(i+1) || ev.Cookie != w.cookie || ev.Gap.Lost != w.lost || (ev.Kind == tcp.KindGap) != (w.lost > 0) {
			t.Errorf("event %d is %+v, want cookie %d, lost %d", i+1, ev, w.cookie, w.lost)
		}
	}
	if err := s.Read(&ev); !errors.Is(err, ErrIdle) {
		t.Errorf("then %v", err)
	}
}

// TestLossCounterGoesAround: the record carries the low half of the counter.
func TestLossCounterGoesAround(t *testing.T) {
	l := losses{told: 1<<32 - 2}
	if n := l.ring(3); n != 5 {
		t.Errorf("%d lost across the end of the counter, want 5", n)
	}
	if n := l.ring(1<<32 - 1); n != 0 {
		t.Errorf("an older count told %d more", n)
	}
}

func TestBadRecordEndsTheStream(t *testing.T) {
	s, m := mockSource(4096)
	m.put([]byte("too short"), 0)
	var ev tcp.Event
	if err := s.Read(&ev); err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrIdle) {
		t.Errorf("a record of nine bytes: %v", err)
	}
}

// TestReadAllocatesNothing goes from the ring to a decoded event, kind by kind.
func TestReadAllocatesNothing(t *testing.T) {
	ipv4 := append([]byte{12: 8, 14: 0x45, 17: 40, 23: unix.IPPROTO_TCP, 46: 0x50}, make([]byte, 7)...)
	for _, l := range lengths {
		s, m := mockSource(1 << 20)
		e := traceEvent{Kind: uint8(l.kind), Flags: l.flags, CapLen: uint16(l.frame), Family: 2, Pid: 3, Name: [16]uint8{'l', 'o'}}
		record := raw(e, l.want-l.frame, string(ipv4[:l.frame]))
		var ev tcp.Event
		read := func() {
			m.put(record, 0)
			if err := s.Read(&ev); err != nil {
				t.Fatal(err)
			}
			ev.Decode()
		}
		read() // meets its device
		put := testing.AllocsPerRun(200, func() { m.put(record, 0); m.next() })
		if n := testing.AllocsPerRun(200, read) - put; n != 0 {
			t.Errorf("%s: %v allocations", l.name, n)
		}
		if l.kind == tcp.KindPacket && !ev.Packet.IsTCP {
			t.Errorf("%s was not decoded: %+v", l.name, ev.Packet)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s, m := mockSource(1 << 20)
	record := stateRecord(1, 0)
	var ev tcp.Event
	b.ReportAllocs()
	for b.Loop() {
		m.put(record, 0)
		if err := s.Read(&ev); err != nil {
			b.Fatal(err)
		}
	}
}
