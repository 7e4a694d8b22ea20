package kernel_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"tcpstory/internal/filter"
	"tcpstory/internal/kernel"
	"tcpstory/internal/kernel/blindspot"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// fact is what makes an event the same in two streams of one traffic.
type fact struct {
	kind     tcp.Kind
	cookie   uint64
	old, new tcp.State
	flags    tcp.Flags
	seq, ack uint32
	lost     uint64 // of a gap
}

func factOf(ev *tcp.Event) fact {
	ev.Decode()
	p := &ev.Packet
	return fact{ev.Kind, ev.Cookie, ev.Old, ev.New, p.Flags, p.Seq, p.Ack, ev.Gap.Lost}
}

// take reads what is waiting.
func take(t *testing.T, s *kernel.Source) (list []fact) {
	t.Helper()
	var ev tcp.Event
	for {
		err := s.Read(&ev)
		switch {
		case errors.Is(err, kernel.ErrIdle), errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatal(err)
		}
		list = append(list, factOf(&ev))
	}
}

// TestFullRing lets a tiny ring run full again and again: each gap must stand
// exactly where a ring with room has that many events more.
func TestFullRing(t *testing.T) {
	for _, size := range []int{1, 2, 4} {
		for _, packets := range []bool{false, true} {
			t.Run(fmt.Sprintf("pages=%d/packets=%v", size, packets), func(t *testing.T) {
				c := kernel.Config{States: true, Packets: packets, RingSize: size * os.Getpagesize(), Ether: onlyTCP(t)}
				for try := 1; !fullRing(t, c); try++ {
					if try == 10 {
						t.Fatal("ten times packets were handled on top of process 1")
					}
				}
			})
		}
	}
}

// fullRing reports whether the two sources had the same chance to see.
func fullRing(t *testing.T, c kernel.Config) bool {
	host := newLab(t, lab.Pair).Host(lab.Client)
	tr := &traffic{client: host, server: host, family: lab.IPv4, workers: 1, closers: fourWay[:1]}
	tr.prepare(t)
	c.Netns = []uint32{host.Netns()}
	tiny := open(t, c)
	c.RingSize = 16 << 20
	large := open(t, c)
	blind := blindspot.Watch(t)
	blind.Begin()
	before := segmentsOf(t, []*lab.Host{host})
	var have, all []fact
	for range 5 {
		tr.run(t, 60)
		quiet(t, host)
		have = append(have, take(t, tiny)...)
		if err := tiny.Wait(); err != nil { // gives the room back
			t.Fatal(err)
		}
	}
	tr.run(t, 60) // and a loss behind the last record
	quiet(t, host)
	after := segmentsOf(t, []*lab.Host{host})
	if blind.Hit() {
		return false
	}
	have, all = append(have, rest(t, tiny)...), rest(t, large)
	compareStreams(t, have, all)
	countStreams(t, all, tr.total(), after.out-before.out, c.Packets)
	return true
}

// onlyTCP leaves out what hosts say on their own, neighbour discovery and such.
func onlyTCP(t *testing.T) *filter.Program {
	t.Helper()
	p, err := filter.Compile("tcp", tcp.LinkEthernet)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t *testing.T, c kernel.Config) *kernel.Source {
	t.Helper()
	s, err := kernel.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// rest detaches a source and reads to its end.
func rest(t *testing.T, s *kernel.Source) []fact {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	return take(t, s)
}

func compareStreams(t *testing.T, have, all []fact) {
	t.Helper()
	at, gaps, lost := 0, 0, uint64(0)
	for i, f := range have {
		switch {
		case f.kind == tcp.KindGap:
			gaps, lost, at = gaps+1, lost+f.lost, at+int(f.lost)
		case at >= len(all) || f != all[at]:
			t.Fatalf("event %d is %+v where the other ring has event %d of %d", i, f, at, len(all))
		default:
			at++
		}
	}
	if at != len(all) {
		t.Errorf("%d events and %d told as lost, the other ring has %d", len(have)-gaps, lost, len(all))
	}
	if gaps < 6 || lost < uint64(len(all))/2 {
		t.Errorf("only %d gaps with %d of %d events lost: the ring is not tiny", gaps, lost, len(all))
	}
	t.Logf("%d events, %d gaps, %d told as lost; the other ring has %d", len(have)-gaps, gaps, lost, len(all))
}

// countStreams holds the full story against what was done: each connection makes
// ten transitions, and the host counts its segments itself.
func countStreams(t *testing.T, all []fact, conns int, segments uint64, packets bool) {
	t.Helper()
	n := map[tcp.Kind]int{}
	for _, f := range all {
		n[f.kind]++
	}
	if n[tcp.KindState] != 10*conns {
		t.Errorf("%d transitions of %d connections", n[tcp.KindState], conns)
	}
	if packets && uint64(n[tcp.KindPacket]) != segments {
		t.Errorf("%d packets, the host has sent %d", n[tcp.KindPacket], segments)
	}
}

// TestSkippedCallsAreCounted provokes what the kernel skips because a program
// interrupts itself, and holds what is told as lost against the kernel's own
// count of resets sent (one call of tcp_send_reset each), and against the plans of
// the connections: each of them ends with as many errors as it has failed ends.
//
// Exactness: the kernel counts skipped calls (bpf_prog_stats.misses) for the
// whole host, not by namespace. So what is told as lost is never too little, and
// too much only by what other namespaces lost in the same moments; such a run is
// made again.
func TestSkippedCallsAreCounted(t *testing.T) {
	const mostRuns, enough = 60, 3
	burnAll(t)
	l := newLab(t, lab.Pair)
	hosts := []*lab.Host{l.Host(lab.Client), l.Host(lab.Server)}
	steerAll(t, hosts...)
	blind := blindspot.Watch(t)
	var sum skips
	for run := 0; sum.told < enough; run++ {
		if run == mostRuns {
			t.Fatalf("%d calls were skipped in %d runs", sum.told, run)
		}
		blind.Begin()
		s := countSkips(t, hosts)
		if !blind.Hit() {
			s.judge(t)
			sum.told += s.exact
		}
	}
	t.Logf("%d skipped calls were told, and exactly so many were missing", sum.told)
}

// skips are the events of two hooks that nothing rescues.
type skips struct {
	resets, errors         int // events
	wantResets, wantErrors int // by the kernel's count, by the plans
	told                   int // as lost, of both hooks
	exact                  int // told, where the numbers agree to the last
	byHook                 map[string]int
}

func countSkips(t *testing.T, hosts []*lab.Host) *skips {
	t.Helper()
	s := &skips{byHook: map[string]int{}}
	tr := &traffic{client: hosts[0], server: hosts[1], family: lab.IPv4, workers: workers, closers: resetting}
	tr.prepare(t)
	stream := follow(t, kernel.Config{States: true}, s.see, hosts...)
	before := resetsSent(t, hosts)
	tr.run(t, 1500)
	for sent := -1; sent != resetsSent(t, hosts); { // a stray segment may still be answered
		sent = resetsSent(t, hosts)
		quiet(t, hosts...)
		stream.drain()
	}
	stream.end()
	s.wantResets = resetsSent(t, hosts) - before
	for _, lane := range slices.Concat(tr.lanes...) {
		s.wantErrors += lane.made * lane.closer.errors
	}
	return s
}

func (s *skips) see(ev *tcp.Event) {
	switch {
	case ev.Kind == tcp.KindSendReset:
		s.resets++
	case ev.Kind == tcp.KindSocketError && !ev.Soft:
		s.errors++
	case ev.Kind == tcp.KindGap && ev.Gap.Cause == tcp.GapRecursion:
		s.byHook[ev.Gap.Hook] += int(ev.Gap.Lost)
	}
}

func (s *skips) judge(t *testing.T) {
	t.Helper()
	for _, h := range []struct {
		hook       string
		have, want int
	}{{"tcp_send_reset", s.resets, s.wantResets}, {"inet_sk_error_report", s.errors, s.wantErrors}} {
		told := s.byHook[h.hook]
		if missing := h.want - h.have; missing == told {
			s.exact += told
		} else if missing > told || missing < 0 {
			t.Errorf("%s: %d events of %d, and %d told as lost", h.hook, h.have, h.want, told)
		}
	}
}

func resetsSent(t *testing.T, hosts []*lab.Host) (n int) {
	t.Helper()
	for _, h := range hosts {
		n += int(tcpCounters(t, h)["OutRsts"])
	}
	return n
}
