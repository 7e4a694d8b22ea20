package conn_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// said is what a table tells, a line for each transition that was inferred, and
// for each →CLOSE that leaves something: conversation, end, time since the
// story's beginning, and after what time in the state before.
type said struct{ lines []string }

func (w *said) write(s *conn.Step) error {
	ev := s.Event
	what := s.From.String()
	switch {
	case ev.Inferred != (s.From != conn.GroundNone):
		w.lines = append(w.lines, fmt.Sprintf("inferred %v from %v", ev.Inferred, s.From))
	case s.Remains != tcp.StateUnknown:
		what = "leaves " + s.Remains.String()
	case s.HalfOpen:
		what = "since the SYN-ACK"
	case !ev.Inferred:
		return nil
	}
	after := ""
	if s.InStateKnown {
		after = fmt.Sprintf(" after %v", s.InState.Round(10*time.Millisecond))
	}
	at := time.Duration(ev.Time - conntest.Start).Round(10 * time.Millisecond)
	w.lines = append(w.lines, fmt.Sprintf("#%d %s %v→%v at %v%s: %s", s.Conn.Number, s.Conn.Role, ev.Old, ev.New, at, after, what))
	return nil
}

// listen tells a table the stories and what time it is at their end.
func listen(t *testing.T, opt conn.Options, until time.Duration, stories ...*conntest.Story) (*said, *conn.Table) {
	t.Helper()
	w, tab := &said{}, conn.New(opt)
	var all []*tcp.Event
	for _, s := range stories {
		all = append(all, s.Events...)
	}
	carriesOver(t, opt, all)
	for _, s := range stories {
		for _, ev := range s.Events {
			if err := tab.Tell(ev, w.write); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tab.Infer(conntest.Start+int64(until), w.write); err != nil {
		t.Fatal(err)
	}
	return w, tab
}

func (w *said) is(t *testing.T, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, w.lines); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// bothWays runs a test where each packet is seen twice, and where once.
func bothWays(t *testing.T, test func(t *testing.T, c, v *conntest.Socket)) {
	for name, ends := range map[string]func(uint16) (*conntest.Socket, *conntest.Socket){
		"two hosts": conntest.Hosts, "loopback": conntest.SameHost,
	} {
		t.Run(name, func(t *testing.T) {
			c, v := ends(40000)
			test(t, c, v)
		})
	}
}

// nobody is the place of a socket without one.
func nobody(k *conntest.Socket) *conntest.Socket {
	n := *k
	n.Cookie = 0
	return &n
}

func crosses(s *conntest.Story, from, to *conntest.Socket, h conntest.Header, with ...conntest.Detail) {
	s.Sends(from, h, with...)
	if !from.Loopback {
		s.Gets(to, h)
	}
}

var (
	syn    = conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240}
	synAck = conntest.Header{Flags: conntest.SA, Seq: 5000, Ack: 1001, Window: 65160}
	third  = conntest.Header{Flags: conntest.A, Seq: 1001, Ack: 5001, Window: 502}
)

// knocks is a SYN and its answer, at the story's 40 µs.
func knocks(s *conntest.Story, c, v *conntest.Socket) {
	crosses(s, c, v, syn)
	crosses(s, v, c, synAck, conntest.Request)
}

// again is a SYN-ACK that the request socket's timer repeats, and when that fires
// the next time.
func again(s *conntest.Story, v *conntest.Socket, n uint32, next time.Duration) {
	s.Sends(v, synAck, conntest.Request)
	s.Kernel(nobody(v), tcp.KindSynAckAgain, conntest.Now(tcp.NewSynRecv), conntest.Again(0, n), conntest.Runs(next))
}

func TestHalfOpenBecomesAChild(t *testing.T) {
	bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
		w, _ := listen(t, conn.Options{}, 3*time.Minute, conntest.Whole(c, v))
		w.is(t,
			"#1 server LISTEN→SYN_RECV at 0s: SYN-ACK",
			"#1 server SYN_RECV→ESTABLISHED at 0s after 0s: since the SYN-ACK",
			"#1 client FIN_WAIT2→CLOSE at 1.5s after 0s: leaves TIME_WAIT",
			"#1 client TIME_WAIT→CLOSE at 1m3.49s after 1m1.99s: timer",
		)
	})
}

// The kernel's own transitions stand as they are, with a time in SYN_RECV that
// begins with the SYN-ACK.
func TestTimeHalfOpen(t *testing.T) {
	c, v := conntest.Hosts(40000)
	s := conntest.New()
	knocks(s, nobody(c), v)
	s.Wait(80 * time.Millisecond)
	s.Gets(v, third)
	s.State(v, tcp.Listen, tcp.SynRecv)
	s.State(v, tcp.SynRecv, tcp.Established)
	w, tab := listen(t, conn.Options{}, time.Minute, s)
	w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK", "#1 server SYN_RECV→ESTABLISHED at 80ms after 80ms: since the SYN-ACK")
	if tab.Numbered() != 1 {
		t.Errorf("%d conversations", tab.Numbered())
	}
}

func TestSynCookieIsNoHalfOpen(t *testing.T) {
	c, v := conntest.Hosts(40000)
	s := conntest.New()
	crosses(s, c, v, syn)
	crosses(s, v, c, synAck, conntest.Forgotten)
	s.Gets(v, third)
	s.State(v, tcp.Listen, tcp.SynRecv)
	s.State(v, tcp.SynRecv, tcp.Established)
	w, _ := listen(t, conn.Options{}, time.Minute, s)
	w.is(t)
}

// With tcp_synack_retries=2: SYN-ACKs at 0, 1 and 3 s, and the end at 7 s.
func TestHalfOpenIsGivenUp(t *testing.T) {
	bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
		s := conntest.New()
		knocks(s, nobody(c), v)
		s.Wait(time.Second)
		again(s, v, 1, 2*time.Second)
		s.Wait(2 * time.Second)
		again(s, v, 2, 4*time.Second)
		w, _ := listen(t, conn.Options{}, 8*time.Second, s)
		w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK", "#1 server SYN_RECV→CLOSE at 7.17s after 7.17s: no SYN-ACK")
	})
}

// Nobody repeats the SYN-ACK: the first time-out was the last.
func TestHalfOpenDiesAtItsFirstTimeout(t *testing.T) {
	c, v := conntest.Hosts(40000)
	s := conntest.New()
	knocks(s, nobody(c), v)
	w, _ := listen(t, conn.Options{}, 1199*time.Millisecond, s)
	w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK")
	w, _ = listen(t, conn.Options{}, 1201*time.Millisecond, s)
	w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK", "#1 server SYN_RECV→CLOSE at 1s after 1s: no SYN-ACK")
}

func TestHalfOpenWithoutPackets(t *testing.T) {
	_, v := conntest.Hosts(40000)
	s := conntest.New()
	s.Wait(time.Second)
	s.Kernel(nobody(v), tcp.KindSynAckAgain, conntest.Again(0, 1), conntest.Runs(2*time.Second))
	early := len(s.Events)
	w, _ := listen(t, conn.Options{}, 10*time.Second, s)
	w.is(t, "#1 server LISTEN→SYN_RECV at 1s: SYN-ACK again", "#1 server SYN_RECV→CLOSE at 3.01s: no SYN-ACK")

	s.Events = s.Events[:early]
	s.Wait(time.Second)
	s.State(v, tcp.Listen, tcp.SynRecv)
	s.State(v, tcp.SynRecv, tcp.Established)
	w, tab := listen(t, conn.Options{}, 10*time.Second, s)
	w.is(t, "#1 server LISTEN→SYN_RECV at 1s: SYN-ACK again")
	if tab.Numbered() != 1 || tab.Len() != 1 {
		t.Errorf("%d conversations, %d ends", tab.Numbered(), tab.Len())
	}
}

func TestHalfOpenAndReset(t *testing.T) {
	reset := conntest.Header{Flags: conntest.R, Seq: 1001}
	for name, tc := range map[string]struct {
		reset conntest.Header
		drop  bool
		ends  string
	}{
		"of a client that knows nothing": {reset, false, "at 500ms after 500ms: RST"},
		"with the right ACK":             {conntest.Header{Flags: conntest.RA, Seq: 1001, Ack: 5001}, false, "at 500ms after 500ms: RST"},
		"with a wrong ACK":               {conntest.Header{Flags: conntest.RA, Seq: 1001, Ack: 5000}, false, "at 1.02s after 1.02s: no SYN-ACK"},
		"out of the window":              {conntest.Header{Flags: conntest.R, Seq: 1000}, false, "at 1.02s after 1.02s: no SYN-ACK"},
		"dropped by a firewall":          {reset, true, "at 1.02s after 1.02s: no SYN-ACK"},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
				s := conntest.New()
				s.Kernel(&conntest.Socket{Netns: 7}, tcp.KindSynAckAgain, conntest.Runs(time.Hour)) // tells of jiffies
				knocks(s, nobody(c), v)
				s.Wait(500 * time.Millisecond)
				crosses(s, nobody(c), v, tc.reset)
				if tc.drop {
					s.Kernel(nobody(v), tcp.KindDrop, conntest.Reason("NETFILTER_DROP"), conntest.Segment(tcp.DirIn, tc.reset.Flags, tc.reset.Seq, 0))
				}
				w, _ := listen(t, conn.Options{}, 20*time.Second, s)
				w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK", "#1 server SYN_RECV→CLOSE "+tc.ends)
			})
		})
	}
}

// Another SYN on a half-open connection's tuple makes no second one.
func TestHalfOpenIsOnePerTuple(t *testing.T) {
	c, v := conntest.Hosts(40000)
	s := conntest.New()
	knocks(s, nobody(c), v)
	s.Gets(v, conntest.Header{Flags: conntest.S, Seq: 2000})
	s.Kernel(nobody(v), tcp.KindSendReset, conntest.Reason("INVALID_SYN"))
	w, tab := listen(t, conn.Options{}, 20*time.Second, s)
	w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK", "#1 server SYN_RECV→CLOSE at 0s after 0s: RST sent")
	if tab.Numbered() != 1 {
		t.Errorf("%d conversations", tab.Numbered())
	}
}

// Silence proves nothing of a request socket that was answered and waits for data,
// nor where the SYN-ACK may be among what was lost. It is given up in the end, and
// that is counted.
func TestHalfOpenInDoubt(t *testing.T) {
	c, v := conntest.Hosts(40000)
	for name, doubt := range map[string]func(*conntest.Story){
		"answered": func(s *conntest.Story) { s.Gets(v, third) },
		"lost": func(s *conntest.Story) {
			s.Add(&tcp.Event{Kind: tcp.KindGap, Gap: tcp.Gap{Cause: tcp.GapRingFull, Lost: 1}})
		},
	} {
		s := conntest.New()
		knocks(s, nobody(c), v)
		doubt(s)
		w, tab := listen(t, conn.Options{}, 9*time.Minute, s)
		w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK")
		if tab.Unfollowed() != 0 {
			t.Errorf("%s: given up too early", name)
		}
		w, tab = listen(t, conn.Options{}, 11*time.Minute, s)
		w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK")
		if tab.Unfollowed() != 1 {
			t.Errorf("%s: %d not followed, want 1", name, tab.Unfollowed())
		}
		s.Wait(20 * time.Second)
		again(s, v, 5, 4*time.Second) // a sign after all
		w, _ = listen(t, conn.Options{}, time.Minute, s)
		w.is(t, "#1 server LISTEN→SYN_RECV at 0s: SYN-ACK", "#1 server SYN_RECV→CLOSE at 24.06s after 24.06s: no SYN-ACK")
	}
}

func TestSmallSocketsThatExisted(t *testing.T) {
	c, v := conntest.Hosts(40000)
	s := conntest.New()
	s.Kernel(v, tcp.KindSocket, conntest.Now(tcp.NewSynRecv), conntest.Runs(300*time.Millisecond))
	s.Kernel(c, tcp.KindSocket, conntest.Now(tcp.TimeWait), conntest.Left(tcp.TimeWait, 20*time.Second))
	d, _ := conntest.Hosts(40001)
	s.Kernel(d, tcp.KindSocket, conntest.Now(tcp.TimeWait), conntest.Left(tcp.FinWait2, 10*time.Second))
	w, _ := listen(t, conn.Options{}, time.Hour, s)
	w.is(t, "#1 server SYN_RECV→CLOSE at 320ms: no SYN-ACK", "#2 unknown FIN_WAIT2→CLOSE at 10.24s: timer", "#1 client TIME_WAIT→CLOSE at 20.48s: timer")
}

// A minisock has no lock that the walk could hold: it may be met just before the
// ring tells of the socket that it replaces, and is no older one then.
func TestWalkMeetsWhatTheRingTellsLater(t *testing.T) {
	c, v := conntest.Hosts(40000)
	whole := conntest.Whole(c, v)
	before, after := conntest.New(), conntest.New()
	last := len(whole.Events) - 2 // FIN_WAIT2→CLOSE
	before.Events, after.Events = whole.Events[:last], whole.Events[last:]
	walk := conntest.New()
	walk.Wait(time.Duration(whole.Events[last].Time - conntest.Start))
	walk.Kernel(c, tcp.KindSocket, conntest.Now(tcp.TimeWait), conntest.Left(tcp.TimeWait, 52*time.Second))
	alone, _ := listen(t, conn.Options{}, 2*time.Minute, whole)
	w, _ := listen(t, conn.Options{}, 2*time.Minute, before, walk, after)
	if len(alone.lines) == 0 {
		t.Fatal("nothing was inferred")
	}
	w.is(t, alone.lines...)
}

// What is told does not depend on whether somebody asks when no event comes.
func TestInferenceDependsOnEventsAlone(t *testing.T) {
	var stories []*conntest.Story
	for port := uint16(1); port < 60; port++ {
		c, v := conntest.Hosts(port)
		s := conntest.New()
		s.Wait(time.Duration(port) * 777 * time.Millisecond)
		if port%3 == 0 {
			knocks(s, nobody(c), v)
		} else {
			s.Handshake(c, v)
			s.Close(c, v)
		}
		stories = append(stories, s)
	}
	var events []*tcp.Event
	for _, s := range stories {
		events = append(events, s.Events...)
	}
	slices.SortStableFunc(events, func(a, b *tcp.Event) int { return int(a.Time - b.Time) })
	const end = conntest.Start + int64(3*time.Minute)
	tell := func(r *rand.Rand) []string {
		w, tab := &said{}, conn.New(conn.Options{})
		now := conntest.Start
		for _, ev := range events {
			for r != nil && now < ev.Time {
				_ = tab.Infer(now, w.write)
				now += 1 + r.Int64N(int64(time.Second))
			}
			_ = tab.Tell(ev, w.write)
		}
		_ = tab.Infer(end, w.write)
		return w.lines
	}
	want := tell(nil)
	if len(want) < 150 {
		t.Fatalf("only %d lines", len(want))
	}
	for seed := range uint64(20) {
		if d := cmp.Diff(want, tell(rand.New(rand.NewPCG(seed, 1)))); d != "" {
			t.Fatalf("-want +got:\n%s", d)
		}
	}
}

func TestPacketsOnlyInferNothing(t *testing.T) {
	c, v := conntest.Hosts(40000)
	s := conntest.Whole(c, v)
	s.Events = slices.DeleteFunc(s.Events, func(ev *tcp.Event) bool { return ev.Kind != tcp.KindPacket })
	w, _ := listen(t, conn.Options{PacketsOnly: true}, time.Hour, s)
	w.is(t)
}
