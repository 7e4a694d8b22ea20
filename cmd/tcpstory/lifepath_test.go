package main

import (
	"io"
	"net/netip"
	"testing"

	"tcpstory/internal/host"
	"tcpstory/internal/life"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// lifePath is the way of a record through life, less the kernel's part.
func lifePath(tb testing.TB) (s *lifeStory, ev *tcp.Event) {
	names := host.New()
	tb.Cleanup(func() { _ = names.Close() })
	w := render.NewWriter(io.Discard, "nowhere", false)
	s = &lifeStory{
		picks: func(*life.Line) bool { return true }, sink: render.NewLifeRows(w, render.LifeOptions{}),
		places: lifePlaces{names: names},
	}
	return s, &tcp.Event{
		Kind: tcp.KindLife, Time: 1e9, Cookie: 7, Netns: 4026531840, Cgroup: 1, Old: tcp.FinWait2, New: tcp.Close,
		Flow:     tcp.Flow{Local: netip.MustParseAddrPort("127.0.0.1:40000"), Remote: netip.MustParseAddrPort("127.0.0.1:443")},
		Task:     tcp.Task{PID: 4711, TID: 4711, Comm: [16]byte{'c', 'u', 'r', 'l'}},
		Counters: &tcp.Counters{BytesAcked: 202, BytesReceived: 201, SegsOut: 6, SegsIn: 5, SRTT: 60},
		Life: &tcp.Life{Began: 998e6, Established: 9981e5, Shut: 9990e5, ShutToo: 9991e5, FirstRead: 9985e5, BytesSent: 200,
			Flags: tcp.LifeOut | tcp.LifeWasOpen | tcp.LifeOwnFIN | tcp.LifeFINFirst | tcp.LifePeerFIN | tcp.LifeMinisock},
	}
}

// TestLifeAllocatesNothing for a line.
func TestLifeAllocatesNothing(t *testing.T) {
	s, ev := lifePath(t)
	if n := testing.AllocsPerRun(2000, func() {
		if err := s.take(ev); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations a line", n)
	}
	if s.summary.Connections != 2001 {
		t.Errorf("%d lines", s.summary.Connections)
	}
}

// BenchmarkLife is what a line costs from its event to its text.
func BenchmarkLife(b *testing.B) {
	s, ev := lifePath(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.take(ev); err != nil {
			b.Fatal(err)
		}
	}
}
