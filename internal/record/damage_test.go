package record

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/tcp"
)

// story is a few events of every kind, with packets between.
func story(t testing.TB) (events []*tcp.Event) {
	f := tcp.Event{Netns: 4026531840, Cookie: 7, Time: 1764196000123456789}
	f.Flow.Local.UnmarshalText([]byte("10.0.0.1:5000"))
	f.Flow.Remote.UnmarshalText([]byte("10.0.0.2:6000"))
	for i := range 12 {
		ev := clone(&f)
		ev.Seq, ev.Time = uint64(i+1), f.Time+int64(i)*1000
		ev.Kind = tcp.KindState
		ev.Old, ev.New = tcp.Close, tcp.SynSent
		switch {
		case i%2 == 1:
			ev.Kind = tcp.KindPacket
			ev.Packet = tcp.Packet{Frame: frame, Length: 60, Link: tcp.LinkEthernet, Device: "eth0", Ifindex: uint32(1 + i%4), Dir: tcp.DirOut, Asked: true}
			ev.Decode()
		case i == 4:
			ev.Kind, ev.Gap = tcp.KindGap, tcp.Gap{Cause: tcp.GapRingFull, Lost: 3}
		case i == 6:
			ev.Kind, ev.Place = tcp.KindPlace, &tcp.Place{Name: "blue"}
		case i == 8:
			ev.Kind = tcp.KindNone
		}
		events = append(events, ev)
	}
	return events
}

func decoded(events []*tcp.Event) []*tcp.Event {
	for _, ev := range events {
		ev.Decode()
	}
	return events
}

// ends are the offsets behind each block of a file.
func ends(file []byte) (at []int) {
	for n := 0; n < len(file); {
		n += int(le.Uint32(file[n+4:]))
		at = append(at, n)
	}
	return at
}

// TestEveryPrefix: whatever is left of a recording reads up to its last whole
// block, and what is no whole block is told.
func TestEveryPrefix(t *testing.T) {
	events := story(t)
	file := written(t, events...)
	blocks := ends(file)
	read := 0
	for n := blocks[0]; n <= len(file); n++ {
		got, r := readAll(t, file[:n])
		if len(got) < read || len(got) > 0 && !cmp.Equal(events[:len(got)], decoded(got), addrPort) {
			t.Fatalf("%d bytes: %d events after %d, or others", n, len(got), read)
		}
		read = len(got)
		whole, isEnd := slices.BinarySearch(blocks, n)
		switch d := r.Damages(); {
		case isEnd && len(d) > 0:
			t.Errorf("%d bytes: %v", n, d)
		case !isEnd && (len(d) != 1 || !d[0].Cut || d[0].Offset != int64(blocks[whole-1]) || d[0].Bytes != int64(n-blocks[whole-1])):
			t.Errorf("%d bytes: %v, want what is behind %d", n, d, blocks[whole-1])
		}
	}
	if read != len(events) {
		t.Errorf("%d of %d events", read, len(events))
	}
	for n := range blocks[0] {
		if in := bufio.NewReaderSize(bytes.NewReader(file[:n]), BufferSize); Is(in) {
			t.Errorf("%d bytes are a recording", n)
		}
	}
}

// TestDamage: bytes that are missing, added or changed cost the blocks that they
// are in, and are told.
func TestDamage(t *testing.T) {
	events := story(t)
	file := written(t, events...)
	blocks := ends(file)
	from, to := blocks[6], blocks[7]
	hole := bytes.Clone(file)
	copy(hole[from+4:], "\xff\xff\xff\xff")
	for what, c := range map[string]struct {
		file        []byte
		at, skipped int
	}{
		"missing": {slices.Concat(file[:from+5], file[from+8:]), from, to - from - 3},
		"added":   {slices.Concat(file[:from], []byte("whatever"), file[from:]), from, 8},
		"changed": {hole, from, to - from},
		"zeros":   {slices.Concat(file[:from], make([]byte, 70000), file[from:]), from, 70000},
	} {
		got, r := readAll(t, c.file)
		if n := len(events) - len(got); n > 1 {
			t.Errorf("%s: %d events are lost", what, n)
		}
		if want := []Damage{{Offset: int64(c.at), Bytes: int64(c.skipped)}}; !cmp.Equal(want, r.Damages()) {
			t.Errorf("%s: %v, want %v", what, r.Damages(), want)
		}
	}
}

// TestJoined: files behind one another read as one.
func TestJoined(t *testing.T) {
	events := story(t)
	file := written(t, events...)
	got, r := readAll(t, slices.Concat(file, file))
	if !cmp.Equal(slices.Concat(events, events), decoded(got), addrPort) || len(r.Damages()) > 0 {
		t.Errorf("%d events, %v", len(got), r.Damages())
	}
}

// buffers are used again: clearing one takes longer than reading a short file.
var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, BufferSize) }}

// FuzzReader: no file makes the reader fail, hang or hold more than it may.
func FuzzReader(f *testing.F) {
	file := written(f, story(f)...)
	f.Add(file)
	f.Add(file[:len(file)-3])
	f.Add(slices.Concat(file[:100], file))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !bytes.HasPrefix(b, file[:ends(file)[0]]) {
			b = slices.Concat(file[:ends(file)[0]], b)
		}
		in := buffers.Get().(*bufio.Reader)
		defer buffers.Put(in)
		in.Reset(bytes.NewReader(b))
		r, err := NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		var ev tcp.Event
		for err == nil {
			if err = r.Next(&ev); err == nil {
				ev.Decode()
			}
		}
		if err != io.EOF || r.Offset() != int64(len(b)) {
			t.Fatalf("%v at %d of %d", err, r.Offset(), len(b))
		}
		for _, d := range r.Damages() {
			if d.Offset < 0 || d.Bytes <= 0 || d.Offset+d.Bytes > int64(len(b)) && len(r.Damages()) < mostDamages {
				t.Fatalf("damages %v", r.Damages())
			}
		}
	})
}

// TestNoAllocation: writing and reading events costs no memory.
func TestNoAllocation(t *testing.T) {
	events := story(t)
	note := &Note{Line: []byte("a line"), Fact: []byte("a fact"), Flow: events[0].Flow, Task: &tcp.Task{PID: 1, Comm: [16]byte{'x'}}, Outgoing: true}
	for _, rows := range []Rows{RowsJournal, RowsPDU} {
		w := NewWriter(io.Discard, About{}, rows)
		round := func() {
			for _, ev := range events {
				if err := w.Write(ev, note); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		for range mostWaiting {
			round()
		}
		if n := testing.AllocsPerRun(100, round); n > 0 {
			t.Errorf("%v allocations for %d events", n, len(events))
		}
	}
	long := bytes.Repeat(written(t, events...), 300)
	r, err := NewReader(bufio.NewReaderSize(bytes.NewReader(long), BufferSize))
	if err != nil {
		t.Fatal(err)
	}
	var ev tcp.Event
	if n := testing.AllocsPerRun(1000, func() {
		if err := r.Next(&ev); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations to read an event", n)
	}
}

func BenchmarkWrite(b *testing.B) {
	events := story(b)
	events = slices.DeleteFunc(events, func(ev *tcp.Event) bool { return ev.Kind != tcp.KindState && ev.Kind != tcp.KindPacket })
	note := &Note{Line: []byte("TCP 10.0.0.1.5000 > 10.0.0.2.6000: State CLOSE -> SYN_SENT, pid 1 (x)"), Fact: []byte("State CLOSE -> SYN_SENT, pid 1 (x)"), Flow: events[0].Flow, Outgoing: true}
	w := NewWriter(io.Discard, About{}, RowsJournal)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := w.Write(events[i%len(events)], note); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	file := written(b, story(b)...)
	long := bytes.Repeat(file, 1000)
	b.ReportAllocs()
	var ev tcp.Event
	var r *Reader
	for b.Loop() {
		if r == nil || r.Next(&ev) == io.EOF {
			r, _ = NewReader(bufio.NewReaderSize(bytes.NewReader(long), BufferSize))
		}
	}
}
