package diagnose_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// said is a finding, as one end's host tells it.
type said struct {
	rule, text string
	certainty  diagnose.Certainty
}

// saidOf is what is said of a story by who sees a host, and then lets time pass.
func saidOf(t *testing.T, s *conntest.Story, netns uint32) (list []said) {
	t.Helper()
	e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		for _, f := range v.Findings {
			list = append(list, said{f.Rule.Name, f.Text, f.Certainty})
		}
		return nil
	})
	table := conn.New(conn.Options{TellOlder: true})
	last := int64(0)
	for _, ev := range s.Events {
		if ev.Kind != tcp.KindGap && ev.Netns != netns {
			continue
		}
		last = ev.Time
		if err := table.Tell(ev, e.Take); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Pass(last + int64(10*time.Second)); err != nil {
		t.Fatal(err)
	}
	return list
}

// certain fails unless one thing only is said, and as surely.
func certain(t *testing.T, list []said, rule string, want diagnose.Certainty) {
	t.Helper()
	if len(list) != 1 || list[0].rule != rule || list[0].certainty != want {
		t.Errorf("said was %v, and is to be %s, %s", list, rule, want)
	}
}

// backlog is a story of SYNs to a listener that answers none.
type backlog struct{ *conntest.Story }

// syn arrives at a port, from a port.
func (b backlog) syn(from, to uint16) {
	_, v := conntest.Hosts(from)
	v.Flow.Local = netip.AddrPortFrom(v.Flow.Local.Addr(), to)
	b.Gets(v, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
}

// reads tells by how much the counters have moved.
func (b backlog) reads(s tcp.Stack) {
	b.Add(&tcp.Event{Kind: tcp.KindCounters, Netns: serverNetns(), Stack: &s})
}

func serverNetns() uint32 {
	_, v := conntest.Hosts(1)
	return v.Netns
}

// TestBlame: the counter of a namespace is about all its listeners, and is read late.
// Only where it moves segment by segment with one connection is that one's trouble
// certain.
func TestBlame(t *testing.T) {
	const port, other = 80, 81
	overflow := tcp.Stack{ListenOverflows: 1}
	full := tcp.Stack{ReqQFullDrop: 1}
	after := 600 * time.Millisecond
	for name, c := range map[string]struct {
		rule string
		want diagnose.Certainty
		act  func(backlog)
	}{
		"each SYN": {"accept-queue-full", diagnose.Sure, func(b backlog) {
			for range 3 {
				b.syn(40000, port)
				b.Wait(after)
				b.reads(overflow)
				b.Wait(after)
			}
		}},
		"each SYN, half open": {"syn-queue-full", diagnose.Sure, func(b backlog) {
			for range 3 {
				b.syn(40000, port)
				b.Wait(after)
				b.reads(full)
				b.Wait(after)
			}
		}},
		"once, perhaps before the SYN": {"accept-queue-full", diagnose.Probably, func(b backlog) {
			b.syn(40000, port)
			b.Wait(after)
			b.reads(overflow) // of a listener that nobody watches, up to a second ago
			b.Wait(after)
			b.syn(40000, port)
			b.Wait(2 * time.Second)
			b.syn(40000, port)
		}},
		"once, perhaps before the SYN, half open": {"syn-queue-full", diagnose.Probably, func(b backlog) {
			b.syn(40000, port)
			b.Wait(after)
			b.reads(full)
			b.Wait(after)
			b.syn(40000, port)
		}},
		"more than the SYNs": {"accept-queue-full", diagnose.Probably, func(b backlog) {
			for range 3 {
				b.syn(40000, port)
				b.Wait(after)
				b.reads(tcp.Stack{ListenOverflows: 2})
				b.Wait(after)
			}
		}},
		"in one reading": {"accept-queue-full", diagnose.Probably, func(b backlog) {
			b.syn(40000, port)
			b.syn(40000, port)
			b.Wait(after)
			b.reads(tcp.Stack{ListenOverflows: 2})
		}},
		"of a SYN long ago": {"accept-queue-full", diagnose.Probably, func(b backlog) {
			for range 2 {
				b.syn(40000, port)
				b.Wait(1800 * time.Millisecond)
				b.reads(overflow)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := backlog{conntest.New()}
			b.reads(tcp.Stack{})
			b.Wait(time.Second)
			c.act(b)
			certain(t, saidOf(t, b.Story, serverNetns()), c.rule, c.want)
		})
	}
	t.Run("two listeners", func(t *testing.T) {
		b := backlog{conntest.New()}
		b.reads(tcp.Stack{})
		for range 3 {
			b.syn(40000, port)
			b.syn(40001, other)
			b.Wait(after)
			b.reads(tcp.Stack{ListenOverflows: 2})
			b.Wait(after)
		}
		list := saidOf(t, b.Story, serverNetns())
		if len(list) != 2 || list[0].certainty != diagnose.Probably || list[1].certainty != diagnose.Probably {
			t.Errorf("said was %v, and is to be probable of both", list)
		}
	})
}

// TestGapWeakens: what was lost takes one step off what is said of connections that it may have been about.
func TestGapWeakens(t *testing.T) {
	gap := &tcp.Event{Kind: tcp.KindGap}
	gap.Lost = 3
	t.Run("sure to probably", func(t *testing.T) {
		c, v := conntest.Hosts(40000)
		s := &scene{Story: conntest.New(), c: c, v: v}
		s.State(c, tcp.Close, tcp.SynSent, conntest.By(c.Task))
		for i := range 3 {
			s.Sends(c, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
			s.Wait(time.Second << i)
		}
		certain(t, saidOf(t, s.Story, c.Netns), "syn-unanswered", diagnose.Sure)
		lossy := *gap
		s.Add(&lossy)
		s.State(c, tcp.SynSent, tcp.Close, conntest.Errno(110))
		list := saidOf(t, s.Story, c.Netns)
		if len(list) != 2 || list[0].certainty != diagnose.Sure || list[1].certainty != diagnose.Probably {
			t.Errorf("said was %v, and is to be sure before the loss, probable behind it", list)
		}
	})
	t.Run("probably to unknown", func(t *testing.T) {
		b := backlog{conntest.New()}
		b.reads(tcp.Stack{})
		b.syn(40000, 80)
		lossy := *gap
		b.Add(&lossy)
		b.Wait(600 * time.Millisecond)
		b.reads(tcp.Stack{ListenOverflows: 1})
		b.syn(40000, 80)
		certain(t, saidOf(t, b.Story, serverNetns()), "accept-queue-full", diagnose.Unknown)
	})
	t.Run("before it began", func(t *testing.T) {
		s := &scene{Story: conntest.New()}
		lossy := *gap
		s.Add(&lossy)
		s.Wait(time.Second)
		s.c, s.v = conntest.Hosts(40000)
		s.State(s.c, tcp.Close, tcp.SynSent, conntest.By(s.c.Task))
		s.Sends(s.c, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
		certain(t, saidOf(t, s.Story, s.c.Netns), "syn-unanswered", diagnose.Sure)
	})
}

// TestOlder: of a socket that existed before, only the least time in its state is
// known, and that is said.
func TestOlder(t *testing.T) {
	c, _ := conntest.Hosts(40000)
	s := &scene{Story: conntest.New(), c: c}
	s.Kernel(c, tcp.KindSocket, conntest.Now(tcp.CloseWait))
	list := saidOf(t, s.Story, c.Netns)
	certain(t, list, "close-wait-leak", diagnose.Sure)
	if len(list) == 1 && !strings.HasPrefix(list[0].text, "CLOSE_WAIT for at least ") {
		t.Errorf("said was %q", list[0].text)
	}
}
