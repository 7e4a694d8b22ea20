package diagnose_test

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// TestAnswerCut: a RST behind an answer that was not at its end is trouble, however long
// ago its last part came. A client's own is its business.
func TestAnswerCut(t *testing.T) {
	eConnReset := conntest.Errno(int32(unix.ECONNRESET))
	for name, c := range map[string]struct {
		act  func(*scene)
		want string
	}{
		"its last segment has no PSH": {func(s *scene) {
			s.says(100)
			s.Gets(s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp, Len: 1448})
			s.ack += 1448
			s.confirmed()
			s.Wait(10 * limits.Rest)
			s.aborted()
		}, "rst-by-peer probably"},
		"it paused as long before": {func(s *scene) { s.inParts(2 * limits.Rest); s.Wait(3 * limits.Rest); s.aborted() }, "rst-by-peer probably"},
		"it is at rest for longer": {func(s *scene) { s.inParts(2 * limits.Rest); s.Wait(5 * limits.Rest); s.aborted() }, ""},
		"by its client":            {func(s *scene) { s.inParts(2 * limits.Rest); s.Wait(3 * limits.Rest); s.aborts() }, ""},
		"the pauses are of an answer before": {func(s *scene) {
			s.inParts(2 * limits.Rest)
			s.answered()
			s.confirmed()
			s.Wait(3 * limits.Rest)
			s.aborted()
		}, ""},
		"half closed, unanswered": {func(s *scene) {
			s.asks()
			s.halfCloses()
			s.Gets(s.c, conntest.Header{Flags: conntest.RA, Seq: s.ack, Ack: s.seq})
			s.Kernel(s.c, tcp.KindReceiveReset, conntest.Now(tcp.FinWait2))
			s.State(s.c, tcp.FinWait2, tcp.Close, eConnReset)
			s.Kernel(s.c, tcp.KindSocketError, eConnReset)
		}, "rst-by-peer sure"},
		"half closed, answered, and at rest": {func(s *scene) {
			s.asks()
			s.halfCloses()
			s.hears(200)
			s.confirmed()
			s.Wait(2 * limits.Rest)
			s.Gets(s.c, conntest.Header{Flags: conntest.RA, Seq: s.ack, Ack: s.seq})
			s.Kernel(s.c, tcp.KindReceiveReset, conntest.Now(tcp.FinWait2))
			s.State(s.c, tcp.FinWait2, tcp.Close, eConnReset)
			s.Kernel(s.c, tcp.KindSocketError, eConnReset)
		}, ""},
		"nobody holds it any more": {func(s *scene) {
			s.asks()
			s.halfCloses()
			s.Gets(s.c, conntest.Header{Flags: conntest.RA, Seq: s.ack, Ack: s.seq})
			s.Kernel(s.c, tcp.KindReceiveReset, conntest.Now(tcp.FinWait2))
			s.State(s.c, tcp.FinWait2, tcp.Close, eConnReset)
		}, ""},
	} {
		s := begin()
		c.act(s)
		s.Wait(time.Second)
		s.Kernel(s.c, tcp.KindOwner)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if have := surely(t, s.Story, s.c.Netns); !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", name, have, want)
		}
	}
}

// inParts is a request and its answer, with a pause within it.
func (s *scene) inParts(pause time.Duration) {
	s.asks()
	s.hears(200)
	s.confirmed()
	s.Wait(pause)
	s.hears(200)
	s.confirmed()
}

// halfCloses is for a client that has said all, and listens on.
func (s *scene) halfCloses() {
	s.State(s.c, tcp.Established, tcp.FinWait1, conntest.By(s.c.Task))
	s.Sends(s.c, conntest.Header{Flags: conntest.FA, Seq: s.seq, Ack: s.ack, Window: s.win, Options: conntest.Stamp})
	s.seq++
	s.window(508)
	s.State(s.c, tcp.FinWait1, tcp.FinWait2)
}

// TestRestOfResumed: of a connection that was carried over half open all is heard that is
// said, and a RST when it is at rest is no trouble; of one that was open it may not be all.
func TestRestOfResumed(t *testing.T) {
	for name, c := range map[string]struct {
		after int // of the server's events, those that another table was told
		want  []string
	}{"half open": {2, nil}, "open": {5, []string{"rst-by-peer sure"}}} {
		s := atServer()
		s.acts(tcp.ViaRead)
		s.answersOne()
		s.Wait(2 * limits.Rest)
		s.aborted()
		events := slices.DeleteFunc(s.Events, func(ev *tcp.Event) bool { return ev.Netns != s.c.Netns })
		var have []string
		e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
			have = append(have, v.Findings[0].Rule.Name+" "+v.Findings[0].Certainty.String())
			return nil
		})
		first, second := conn.New(conn.Options{}), conn.New(conn.Options{})
		for _, ev := range events[:c.after] {
			first.Apply(ev)
		}
		tell := func(ev *tcp.Event) error { return second.Tell(ev, e.Take) }
		if err := first.Carry(tell); err != nil {
			t.Fatal(err)
		}
		for _, ev := range events[c.after:] {
			if err := tell(ev); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.End(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(have, c.want) {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
	}
}

// answersOne is a request that arrives, and its answer.
func (s *scene) answersOne() {
	s.asked()
	s.says(200)
	s.window(508)
}
