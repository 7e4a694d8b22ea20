package diagnose_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// TestAside: what a client says at once behind an answer, and shortly, may ask for
// no answer (HTTP/2's WINDOW_UPDATE). After a pause it is a request.
func TestAside(t *testing.T) {
	for _, c := range []struct {
		name  string
		pause time.Duration
		bytes int
		want  []string
	}{
		{"control frame", 100 * time.Microsecond, int(limits.Aside), nil},
		{"request at once", 100 * time.Microsecond, int(limits.Aside) + 1, []string{"slow-application"}},
		{"small request", 300 * time.Millisecond, int(limits.Aside), []string{"slow-application"}},
	} {
		s := begin()
		s.answered()
		s.Wait(c.pause)
		s.says(c.bytes)
		s.window(508)
		s.Wait(scaled(limits.Slow, 200))
		s.window(508)
		if have := told(t, s, limits); !slices.Equal(have, c.want) {
			t.Errorf("%s: %v, want %v", c.name, have, c.want)
		}
	}
}

// TestFirstResetCounts: data under way meets no socket any more when this end has
// aborted; that is no cause.
func TestFirstResetCounts(t *testing.T) {
	s := begin()
	s.answered()
	s.State(s.c, tcp.Established, tcp.Close, conntest.By(s.c.Task))
	s.Kernel(s.c, tcp.KindSendReset, conntest.Reason("TCP_ABORT_ON_CLOSE"), conntest.Now(tcp.Close))
	s.Wait(2 * time.Millisecond)
	s.Kernel(s.c, tcp.KindSendReset, conntest.Reason("NO_SOCKET"), conntest.Segment(tcp.DirIn, conntest.PA, s.ack, 1000))
	if have, want := told(t, s, limits), []string{"rst-unread-data"}; !slices.Equal(have, want) {
		t.Errorf("%v, want %v", have, want)
	}
}

// TestAborts: what aborts a connection need not be its program.
func TestAborts(t *testing.T) {
	eConnAborted := int32(unix.ECONNABORTED)
	for _, c := range []struct {
		says string
		act  func() *scene
	}{
		{"SO_LINGER 0", func() *scene {
			s := begin()
			s.says(100)
			s.aborts()
			return s
		}},
		{"was destroyed", func() *scene {
			s := begin()
			s.Kernel(s.c, tcp.KindSendReset, conntest.Reason("TCP_STATE"), conntest.Now(tcp.Established))
			s.State(s.c, tcp.Established, tcp.Close, conntest.Errno(eConnAborted))
			return s
		}},
		{"nobody had accepted it", func() *scene {
			s := begin()
			s.c, s.v = s.v, s.c
			s.State(s.c, tcp.Established, tcp.Close)
			s.Kernel(s.c, tcp.KindSendReset, conntest.Reason("TCP_STATE"), conntest.Now(tcp.Close))
			return s
		}},
	} {
		if have := texts(t, c.act()); len(have) != 1 || !strings.Contains(have[0], c.says) {
			t.Errorf("%q, want one that says %q", have, c.says)
		}
	}
}

// TestFarAway: where the way takes long, so does each acknowledgement, and nobody
// delays it.
func TestFarAway(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration // of the acknowledgements
		want  []string
	}{{0, nil}, {40 * time.Millisecond, []string{"nagle-delayed-ack"}}} {
		const rtt = 80 * time.Millisecond
		cl, v := conntest.Hosts(40000)
		s := &scene{Story: conntest.New(), c: cl, v: v, seq: 1001, ack: 5001, win: 502}
		s.State(cl, tcp.Close, tcp.SynSent, conntest.By(cl.Task))
		s.Sends(cl, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
		s.Wait(rtt)
		s.Gets(cl, conntest.Header{Flags: conntest.SA, Seq: 5000, Ack: 1001, Window: 65160, Options: conntest.SynOptions})
		s.State(cl, tcp.SynSent, tcp.Established)
		for range 5 {
			s.stall(rtt + c.delay)
		}
		if have := told(t, s, limits); !slices.Equal(have, c.want) {
			t.Errorf("acknowledgements delayed by %v: %v, want %v", c.delay, have, c.want)
		}
	}
}

// texts is what is said of a story, as the host of its first socket sees it.
func texts(t *testing.T, s *scene) (said []string) {
	t.Helper()
	e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		for _, f := range v.Findings {
			said = append(said, f.Text)
		}
		return nil
	})
	table := conn.New(conn.Options{TellOlder: true})
	for _, ev := range s.Events {
		if ev.Netns == s.c.Netns {
			if err := table.Tell(ev, e.Take); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := e.End(); err != nil {
		t.Fatal(err)
	}
	return said
}
