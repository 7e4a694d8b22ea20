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
		"the pauses are of an answer before one that was lost by us": {func(s *scene) {
			s.inParts(2 * limits.Rest)
			s.asks()
			s.loses()
			s.ack += 200
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
		"half closed, asked again, and answered by a RST": {func(s *scene) {
			s.answered()
			s.confirmed()
			s.asks()
			s.Wait(limits.Rest)
			s.halfCloses()
			s.cutOff(tcp.FinWait2)
		}, "rst-by-peer sure"},
		"half closed in the middle of an answer": {func(s *scene) {
			s.asks()
			s.halfCloses()
			s.Gets(s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp, Len: 1448})
			s.ack += 1448
			s.confirmed()
			s.cutOff(tcp.FinWait2)
		}, "rst-by-peer probably"},
		"half closed, with data under way": {func(s *scene) {
			s.answered()
			s.confirmed()
			s.says(1448)
			s.bows()
			s.Gets(s.c, conntest.Header{Flags: tcp.RST, Seq: s.ack})
			s.isCut(tcp.FinWait1)
		}, "rst-by-peer sure"},
		"its FIN is answered by a RST, idle": {func(s *scene) {
			s.answered()
			s.confirmed()
			s.Wait(time.Minute)
			s.bows()
			s.cutOff(tcp.FinWait1)
		}, ""},
		"its FIN is acknowledged and answered by a RST": {func(s *scene) {
			s.answered()
			s.confirmed()
			s.Wait(time.Minute)
			s.halfCloses()
			s.cutOff(tcp.FinWait2)
		}, ""},
		"its FIN is answered by a RST, and a hop limit of its own": {func(s *scene) {
			s.answered()
			s.confirmed()
			s.Wait(time.Minute)
			s.halfCloses()
			s.Gets(s.c, conntest.Header{Flags: conntest.RA, Seq: s.ack, Ack: s.seq})
			p := &s.Events[len(s.Events)-1].Packet
			p.Frame[p.IPOffset+8] ^= 1 // time to live
			s.isCut(tcp.FinWait2)
		}, ""},
		"nothing was said, and its FIN is answered by a RST": {func(s *scene) { s.bows(); s.cutOff(tcp.FinWait1) }, ""},
		"it says farewell, and is answered by a RST": {func(s *scene) {
			s.answered()
			s.confirmed()
			s.Wait(time.Minute)
			s.asks()
			s.halfCloses()
			s.cutOff(tcp.FinWait2)
		}, ""},
		"it says farewell, and nobody is there to hear": {func(s *scene) {
			s.answered()
			s.confirmed()
			s.Wait(time.Minute)
			s.says(31)
			s.bows()
			s.Gets(s.c, conntest.Header{Flags: tcp.RST, Seq: s.ack})
			s.isCut(tcp.FinWait1)
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

// TestLingeringClose: a server that has answered, said that this is all, and reads on, is
// reset by its client: an answer that has come is not cut off, one under way is.
func TestLingeringClose(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(*scene)
		want string
	}{
		"answered":                        {func(s *scene) { s.window(508); s.bows(); s.window(508); s.cutOff(tcp.FinWait2) }, ""},
		"its RST acknowledges the answer": {func(s *scene) { s.bows(); s.cutOff(tcp.FinWait1) }, ""},
		"its client says on": {func(s *scene) {
			s.window(508)
			s.bows()
			s.Gets(s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp, Len: 1448})
			s.ack += 1448
			s.confirmed()
			s.cutOff(tcp.FinWait2)
		}, ""},
		"under way": {func(s *scene) { s.says(1448); s.bows(); s.seq -= 1449; s.cutOff(tcp.FinWait1) }, "rst-by-peer sure"},
	} {
		s := atServer()
		s.asked()
		s.acts(tcp.ViaRead)
		s.says(200)
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

// bows is this end's FIN, which is not acknowledged yet.
func (s *scene) bows() {
	s.State(s.c, tcp.Established, tcp.FinWait1, conntest.By(s.c.Task))
	s.Sends(s.c, conntest.Header{Flags: conntest.FA, Seq: s.seq, Ack: s.ack, Window: s.win, Options: conntest.Stamp})
	s.seq++
}

// cutOff is a RST to who has said all, and reads on.
func (s *scene) cutOff(in tcp.State) {
	s.Gets(s.c, conntest.Header{Flags: conntest.RA, Seq: s.ack, Ack: s.seq})
	s.isCut(in)
}

// isCut is what the kernel makes of it.
func (s *scene) isCut(in tcp.State) {
	failed := conntest.Errno(int32(unix.ECONNRESET))
	s.Kernel(s.c, tcp.KindReceiveReset, conntest.Now(in))
	s.State(s.c, in, tcp.Close, failed)
	s.Kernel(s.c, tcp.KindSocketError, failed)
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
