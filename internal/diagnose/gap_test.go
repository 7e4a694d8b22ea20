package diagnose_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// loses has something lost.
func (s *scene) loses() {
	ev := &tcp.Event{Kind: tcp.KindGap}
	ev.Lost = 3
	s.Add(ev)
}

// asks is a request that is acknowledged.
func (s *scene) asks() {
	s.says(100)
	s.window(508)
}

// TestGapDoubts: what was under way when something was lost is held against nobody
// until numbers prove that nothing of it is missing, and then no more than probably.
func TestGapDoubts(t *testing.T) {
	const probably = diagnose.Probably
	late, soon := scaled(limits.Slow, 120), scaled(limits.Slow, 50)
	own := func(s *scene, window uint16) {
		s.Sends(s.c, conntest.Header{Flags: conntest.A, Seq: s.seq, Ack: s.ack, Window: window, Options: conntest.Stamp})
	}
	for name, c := range map[string]struct {
		act  func(*scene)
		want string
	}{
		"an answer that was lost by us": {func(s *scene) {
			s.asks()
			s.loses() // the answer
			s.Wait(late)
		}, ""},
		"no answer, as numbers prove": {func(s *scene) {
			s.asks()
			s.loses()
			s.Wait(late)
			s.window(400)
		}, "slow-application"},
		"no answer, as numbers prove in time": {func(s *scene) {
			s.asks()
			s.loses()
			s.window(400)
			s.Wait(late)
		}, "slow-application"},
		"an answer that numbers deny": {func(s *scene) {
			s.asks()
			s.loses()
			s.ack += 200
			s.Wait(late)
			s.window(400)
			own(s, 502)
		}, ""},
		"late, as numbers prove": {func(s *scene) {
			s.asks()
			s.loses()
			s.Wait(late)
			s.hears(200)
		}, "slow-application"},
		"the rest of an answer that had begun": {func(s *scene) {
			s.asks()
			s.loses()
			s.ack += 200
			s.Wait(late)
			s.hears(200)
		}, ""},
		"an answer to a request that was lost by us": {func(s *scene) {
			s.asks()
			s.Wait(soon)
			s.loses() // the answer, and another request
			s.seq, s.ack = s.seq+100, s.ack+200
			s.Wait(soon * 2)
			s.hears(200)
		}, ""},
		"small segments, the acknowledgement of one lost by us": {func(s *scene) {
			for range limits.Stalls {
				s.says(50)
				s.loses() // it was acknowledged at once
				s.Wait(2 * limits.StallMin)
				s.window(508)
				s.says(50)
				s.hears(200)
			}
		}, ""},
		"a window that may have opened": {func(s *scene) {
			s.hears(1000)
			own(s, 0)
			s.loses()
			s.Wait(late)
		}, ""},
		"a window that may have opened and closed": {func(s *scene) {
			s.hears(1000)
			own(s, 0)
			s.loses()
			s.ack += 1000
			s.Wait(late)
			own(s, 0)
		}, ""},
		"a window that is closed still": {func(s *scene) {
			s.hears(1000)
			own(s, 0)
			s.loses()
			s.Wait(late)
			own(s, 0)
		}, "own-zero-window"},
		"a RST that tells how far both had come": {func(s *scene) {
			s.confirmed()
			s.loses()
			s.Wait(2 * limits.Rest)
			s.aborted()
		}, ""},
		"a RST that does not": {func(s *scene) {
			s.confirmed()
			s.loses() // a request
			s.Wait(2 * limits.Rest)
			s.Gets(s.c, conntest.Header{Flags: conntest.R, Seq: s.ack})
			s.resetUnseen()
		}, "rst-by-peer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := begin()
			s.answered()
			s.Wait(time.Second)
			c.act(s)
			s.Wait(time.Millisecond)
			s.Kernel(s.c, tcp.KindOwner)
			var want []string
			if c.want != "" {
				want = []string{fmt.Sprint(c.want, " ", probably)}
			}
			if have := surely(t, s.Story, s.c.Netns); !slices.Equal(have, want) {
				t.Errorf("%v, want %v", have, want)
			}
		})
	}
}

// surely is what is said, and how surely, of a story that goes no further.
func surely(t *testing.T, s *conntest.Story, netns uint32) (list []string) {
	t.Helper()
	e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		for _, f := range v.Findings {
			list = append(list, fmt.Sprint(f.Rule.Name, " ", f.Certainty))
		}
		return nil
	})
	table := conn.New(conn.Options{})
	for _, ev := range s.Events {
		if ev.Kind == tcp.KindGap || ev.Netns == netns || netns == 0 {
			if err := table.Tell(ev, e.Take); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := e.End(); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestGapHidesBeginning: of a connection that began while something was lost, nothing
// is sure; of one that began behind it, what is seen is.
func TestGapHidesBeginning(t *testing.T) {
	for name, c := range map[string]struct {
		from int // of the handshake's events, the first that is seen
		want string
	}{"whole": {0, "rst-by-peer sure"}, "without its SYNs": {3, "rst-by-peer probably"}} {
		lossy := &scene{Story: conntest.New()}
		lossy.loses()
		lossy.Events[0].Time -= int64(time.Second)
		s := begin()
		s.Events = append(lossy.Events, slices.DeleteFunc(s.Events, func(ev *tcp.Event) bool { return ev.Netns != s.c.Netns })[c.from:]...)
		s.says(100)
		s.resetUnseen()
		s.Wait(time.Second)
		s.Kernel(s.c, tcp.KindOwner)
		if have := surely(t, s.Story, s.c.Netns); !slices.Equal(have, []string{c.want}) {
			t.Errorf("%s: %v, want %s", name, have, c.want)
		}
	}
}

// TestGapIsNoPause: while something was lost, a connection need not have been idle.
func TestGapIsNoPause(t *testing.T) {
	for lost, want := range map[bool]string{false: "middlebox-forgot sure", true: "rst-by-peer probably"} {
		s := begin()
		s.answered()
		s.confirmed()
		s.Wait(limits.Idle)
		if lost {
			s.loses()
		}
		s.Wait(limits.Idle / 2)
		s.says(100)
		s.Gets(s.c, conntest.Header{Flags: conntest.RA, Seq: s.ack, Ack: s.seq})
		s.Kernel(s.c, tcp.KindReceiveReset, conntest.Now(tcp.Established))
		s.State(s.c, tcp.Established, tcp.Close, conntest.Errno(int32(unix.ECONNRESET)))
		if have := surely(t, s.Story, 0); !slices.Equal(have, []string{want}) {
			t.Errorf("something lost %v: %v, want %s", lost, have, want)
		}
	}
}
