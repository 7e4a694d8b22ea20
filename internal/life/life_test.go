package life

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// ended is a life's record: out, established, 200 bytes sent and 300 received,
// unless f changes that.
func ended(f func(*tcp.Event)) *tcp.Event {
	ev := &tcp.Event{
		Kind: tcp.KindLife, Time: 100e6, Cookie: 5, Old: tcp.FinWait2, New: tcp.Close,
		Counters: &tcp.Counters{BytesAcked: 202, BytesReceived: 301},
		Life: &tcp.Life{Began: 10e6, Established: 12e6, Shut: 50e6, ShutToo: 51e6, BytesSent: 200,
			Flags: tcp.LifeOut | tcp.LifeWasOpen | tcp.LifeOwnFIN | tcp.LifeFINFirst | tcp.LifePeerFIN | tcp.LifeMinisock},
	}
	f(ev)
	return ev
}

// TestEnds: each way to end, from what the socket knows.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		old   tcp.State
		err   unix.Errno
		flags tcp.LifeFlags
		left  uint32
		want  End
	}{
		{"TIME_WAIT", tcp.FinWait2, 0, tcp.LifeMinisock, 0, EndFINOwn},
		{"orphan", tcp.FinWait2, 0, tcp.LifeMinisock, 0, EndFINOwn},
		{"both", tcp.Closing, 0, tcp.LifeMinisock, 0, EndFINOwn},
		{"an old error that nobody asked for", tcp.FinWait2, unix.EHOSTUNREACH, tcp.LifeMinisock, 0, EndFINOwn},
		{"peer", tcp.LastAck, 0, 0, 0, EndFINPeer},
		{"aborted in LAST_ACK", tcp.LastAck, 0, 0, 10, EndRSTSent},
		{"linger 0", tcp.Established, 0, 0, 0, EndRSTSent},
		{"unread data, half closed", tcp.CloseWait, 0, 0, 0, EndRSTSent},
		{"out of orphans", tcp.FinWait1, 0, 0, 0, EndRSTSent},
		{"reset", tcp.Established, unix.ECONNRESET, 0, 0, EndRSTReceived},
		{"reset behind a FIN", tcp.CloseWait, unix.EPIPE, 0, 0, EndRSTReceived},
		{"refused", tcp.SynSent, unix.ECONNREFUSED, 0, 0, EndRefused},
		{"nobody there", tcp.SynSent, unix.ETIMEDOUT, 0, 0, EndTimedOut},
		{"no neighbour", tcp.SynSent, unix.EHOSTUNREACH, 0, 0, EndUnreachable},
		{"gave up", tcp.SynSent, 0, 0, 0, EndGaveUp},
		{"ss -K", tcp.Established, unix.ECONNABORTED, 0, 0, EndRSTSent},
		{"half open", tcp.NewSynRecv, 0, tcp.LifeHalf, 0, EndTimedOut},
		{"goes on", tcp.Established, 0, tcp.LifeIsOpen, 0, EndOpen},
		{"strange", tcp.Established, unix.ENOMEM, 0, 0, EndUnknown},
	} {
		var l Line
		l.Fill(ended(func(ev *tcp.Event) {
			ev.Old, ev.Errno, ev.Life.Flags, ev.Life.Unacked = c.old, int32(c.err), c.flags, c.left
		}))
		if l.End != c.want {
			t.Errorf("%s: %v, want %v", c.name, l.End, c.want)
		}
	}
	for e := range ends {
		if e.String() == "" || e.Name() == "" || e.Meaning() == "" {
			t.Errorf("end %d has no words", e)
		}
	}
}

// TestPayload: SYN and FIN count for nothing, whoever sent the SYN.
func TestPayload(t *testing.T) {
	const shut = tcp.LifeWasOpen | tcp.LifeOwnFIN | tcp.LifePeerFIN
	for _, c := range []struct {
		name            string
		flags           tcp.LifeFlags
		acked, received uint64
		unacked         uint32
		sent, again     uint64
		tx, rx          int64
		dir             Direction
	}{
		{"client", tcp.LifeOut | shut, 202, 301, 0, 200, 0, 200, 300, DirOut},
		{"server", tcp.LifeIn | shut, 201, 301, 0, 200, 0, 200, 300, DirIn},
		{"its FIN unanswered", tcp.LifeOut | shut, 201, 301, 1, 200, 0, 200, 300, DirOut},
		{"no FIN has come", tcp.LifeIn | tcp.LifeWasOpen, 200, 300, 0, 200, 0, 200, 300, DirIn},
		{"SYN unanswered", tcp.LifeOut, 0, 0, 0, 0, 0, 0, 0, DirOut},
		{"older, a client", shut, 202, 301, 0, 250, 50, 200, 300, DirOut},
		{"older, a server", shut, 201, 301, 0, 250, 50, 200, 300, DirIn},
		{"older, with data under way", shut, 150, 301, 60, 200, 0, Unknown, 300, DirUnknown},
		{"older, sums that do not fit", shut, 202, 301, 0, 190, 0, 190, 300, DirUnknown},
	} {
		var l Line
		l.Fill(ended(func(ev *tcp.Event) {
			ev.Counters.BytesAcked, ev.Counters.BytesReceived = c.acked, c.received
			ev.Life.Flags, ev.Life.Unacked, ev.Life.BytesSent, ev.Life.BytesRetrans = c.flags, c.unacked, c.sent, c.again
		}))
		if l.TX != c.tx || l.RX != c.rx || l.Direction != c.dir {
			t.Errorf("%s: TX %d, RX %d, direction %d; want %d, %d, %d", c.name, l.TX, l.RX, l.Direction, c.tx, c.rx, c.dir)
		}
	}
}

// TestLengths of the whole, of its parts; unknown ones stay unknown.
func TestLengths(t *testing.T) {
	var l Line
	l.Fill(ended(func(ev *tcp.Event) { ev.Life.FirstRead = 20e6 }))
	want := [maxSpans]Span{{tcp.SynSent, 2e6}, {tcp.Established, 38e6}, {tcp.FinWait1, 1e6}, {tcp.FinWait2, 49e6}}
	if l.Duration != 90e6 || l.Connect != 2e6 || l.FirstByte != 10e6 || l.States != want {
		t.Errorf("%v %v %v %v", l.Duration, l.Connect, l.FirstByte, l.States)
	}
	l.Fill(ended(func(ev *tcp.Event) { ev.Life.Flags = tcp.LifeIn | tcp.LifeGuessed | tcp.LifeWasOpen }))
	if l.Connect != Unknown || !l.NoHandshake || l.FirstByte != Unknown {
		t.Errorf("an unmeasured handshake: %+v", l)
	}
	l.Fill(ended(func(ev *tcp.Event) { ev.Life.Began, ev.Life.Established, ev.Life.FirstRead = 0, 0, 20e6 }))
	if l.Duration != Unknown || l.FirstByte != Unknown || !l.Older || l.States[0].State != tcp.FinWait1 {
		t.Errorf("older: %+v", l)
	}
}

// desk gathers what a Desk gives out.
type gathered struct {
	Desk
	lines []Line
}

func (g *gathered) give(l *Line) error { g.lines = append(g.lines, *l); return nil }

func (g *gathered) take(t *testing.T, ev *tcp.Event) {
	t.Helper()
	if err := g.Take(ev, g.give); err != nil {
		t.Fatal(err)
	}
}

// TestDesk: what is whole goes on at once; what lacks something waits for it, and
// no longer than it may.
func TestDesk(t *testing.T) {
	var g gathered
	g.take(t, ended(func(ev *tcp.Event) { ev.Cookie = 1; ev.Life.Flags |= tcp.LifeOwnerComes | tcp.LifeIn }))
	g.take(t, ended(func(ev *tcp.Event) {
		ev.Cookie = 2
		ev.Life.Flags = tcp.LifeResetComes
		ev.Errno = int32(unix.ECONNRESET)
	}))
	g.take(t, ended(func(ev *tcp.Event) {
		ev.Cookie = 3
		ev.Life.Flags = tcp.LifeResetComes
		ev.Errno = int32(unix.ECONNRESET)
	}))
	g.take(t, ended(func(ev *tcp.Event) { ev.Cookie = 4; ev.Life.Flags |= tcp.LifeOwnerComes }))
	g.take(t, ended(func(ev *tcp.Event) { ev.Cookie = 9 }))
	if len(g.lines) != 1 || g.lines[0].Cookie != 9 {
		t.Fatalf("at once: %+v", g.lines)
	}
	g.take(t, &tcp.Event{Kind: tcp.KindOwner, Cookie: 1, Task: tcp.Task{PID: 7}})
	g.take(t, &tcp.Event{Kind: tcp.KindSendReset, Cookie: 2})
	g.take(t, &tcp.Event{Kind: tcp.KindOwner, Cookie: 77, Task: tcp.Task{PID: 8}})
	if len(g.lines) != 3 || g.lines[1].Task.PID != 7 || g.lines[1].Nobody || g.lines[2].End != EndRSTSent {
		t.Fatalf("when it came: %+v", g.lines)
	}
	if g.Unowned(100e6+Patience-1) || !g.Unowned(100e6+Patience) || !g.Wants(4) || g.Wants(3) {
		t.Error("whose socket is asked for, or when")
	}
	if err := g.Expire(100e6+Patience, g.give); err != nil || len(g.lines) != 4 || g.lines[3].End != EndRSTReceived {
		t.Fatalf("no reset came: %+v", g.lines)
	}
	if err := g.Expire(100e6+LastPatience, g.give); err != nil || len(g.lines) != 5 || g.lines[4].Task.Known() || g.lines[4].Nobody {
		t.Fatalf("nobody came: %+v", g.lines)
	}
	if len(g.waiting) != 0 || len(g.order) != 0 {
		t.Errorf("left: %v", g.waiting)
	}
}

// TestDeskOfOneSocket: whose first life still waits when its second has ended.
func TestDeskOfOneSocket(t *testing.T) {
	var g gathered
	for _, errno := range []unix.Errno{unix.ECONNREFUSED, unix.ETIMEDOUT} {
		g.take(t, ended(func(ev *tcp.Event) { ev.Cookie, ev.Errno, ev.Life.Flags = 1, int32(errno), tcp.LifeOwnerComes }))
	}
	if len(g.lines) != 1 || g.lines[0].End != EndRefused {
		t.Fatalf("when the second has ended: %+v", g.lines)
	}
	g.take(t, &tcp.Event{Kind: tcp.KindOwner, Cookie: 1, Task: tcp.Task{PID: 7}})
	if err := g.Flush(g.give); err != nil || len(g.lines) != 2 || g.lines[1].End != EndTimedOut || g.lines[1].Task.PID != 7 {
		t.Errorf("%v, %+v", err, g.lines)
	}
}

// TestDeskIsBounded: with too many waiting, lines go on as they are.
func TestDeskIsBounded(t *testing.T) {
	var g gathered
	for i := range mostWaiting + 10 {
		g.take(t, ended(func(ev *tcp.Event) { ev.Cookie = uint64(i + 1); ev.Life.Flags |= tcp.LifeOwnerComes }))
	}
	if len(g.lines) != 10 {
		t.Errorf("%d lines", len(g.lines))
	}
	if err := g.Flush(g.give); err != nil || len(g.lines) != mostWaiting+10 {
		t.Errorf("%v, %d lines", err, len(g.lines))
	}
}

// TestPercentiles against the sorted values, over nine orders of magnitude.
func TestPercentiles(t *testing.T) {
	var s Sketch
	if s.Percentile(50) != Unknown {
		t.Error("of none there is a percentile")
	}
	var all []time.Duration
	for range 20000 {
		d := time.Duration(1) << rand.IntN(50)
		d += time.Duration(rand.Int64N(int64(d)))
		all = append(all, d)
		s.Add(d)
	}
	s.Add(Unknown)
	slices.Sort(all)
	for _, p := range []float64{0.01, 1, 25, 50, 95, 99, 100} {
		want := float64(all[max(int(p/100*float64(len(all)))-1, 0)])
		if have := float64(s.Percentile(p)); have < want*(1-1./32)-1000 || have > want*(1+1./32)+1000 {
			t.Errorf("p%v: %v, want %v", p, time.Duration(have), time.Duration(want))
		}
	}
	first, counts := s.Octaves()
	sum := uint64(0)
	for _, n := range counts {
		sum += n
	}
	if sum != 20000 || first > time.Microsecond {
		t.Errorf("octaves from %v: %d counted", first, sum)
	}
}

// TestTallyIsBounded: a million keys are no more groups than are kept apart, and
// nothing is missing of the sums.
func TestTallyIsBounded(t *testing.T) {
	var y Tally
	l := Line{TX: 1, RX: Unknown, End: EndRefused, Duration: Unknown, Connect: Unknown}
	key := make([]byte, 4)
	for i := range 1000000 {
		key[0], key[1], key[2] = byte(i), byte(i>>8), byte(i>>16)
		y.Add(key, &l)
	}
	groups := y.Groups()
	sum := uint64(0)
	for _, g := range groups {
		sum += g.Connections
	}
	if len(groups) != MostGroups+1 || !groups[MostGroups].Others || sum != 1000000 || y.All.TX != 1000000 || y.All.RX != 0 || y.All.Failed() != 1000000 {
		t.Errorf("%d groups of %d; %d bytes, %d failed", len(groups), sum, y.All.TX, y.All.Failed())
	}
}
