package diagnose_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// counted is what crowds were told of a story, and how many verdicts were marked as
// theirs.
type counted struct {
	crowds      []string
	told, alike int
}

func countedOf(t *testing.T, s *conntest.Story) (c counted) {
	t.Helper()
	e := diagnose.New(diagnose.Options{Crowd: func(g *diagnose.Crowd) error {
		c.crowds = append(c.crowds, fmt.Sprintf("%d %s %d", g.N, g.Rule.Name, g.Alike))
		if g.For > limits.AlikeFor {
			t.Errorf("counted for %v", g.For)
		}
		return nil
	}}, func(v *diagnose.Verdict) error {
		if v.Alike {
			c.alike++
		} else {
			c.told++
		}
		return nil
	})
	table := conn.New(conn.Options{})
	for _, ev := range s.Events {
		if err := table.Tell(ev, e.Take); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Pass(s.Events[len(s.Events)-1].Time + int64(5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := e.End(); err != nil {
		t.Fatal(err)
	}
	return c
}

// refused has a client refused.
func refused(s *conntest.Story, from int, to string) {
	c, _ := conntest.Hosts(uint16(from))
	c.Flow.Remote = netip.MustParseAddrPort(to)
	s.State(c, tcp.Close, tcp.SynSent, conntest.By(c.Task))
	s.Sends(c, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
	s.Gets(c, conntest.Header{Flags: conntest.RA, Ack: 1001})
	s.State(c, tcp.SynSent, tcp.Close, conntest.Errno(111))
}

// TestCrowd: of verdicts that are alike the first are told, the others are counted,
// each once, by what they have in common.
func TestCrowd(t *testing.T) {
	for name, c := range map[string]struct {
		n, pause int // how many, and how many ms apart
		to       func(int) string
		want     counted
	}{
		"as many as are told": {3, 10, func(int) string { return "10.77.0.2:80" }, counted{told: 3}},
		"one server": {415, 10, func(int) string { return "10.77.0.2:80" },
			counted{[]string{"412 refused 0"}, 3, 412}},
		"now and then": {20, 4000, func(int) string { return "10.77.0.2:80" }, counted{told: 20}},
		"two windows": {1500, 10, func(int) string { return "10.77.0.2:80" },
			counted{[]string{"990 refused 0", "507 refused 0"}, 3, 1497}},
		"a scan of ports": {300, 10, func(i int) string { return fmt.Sprintf("10.77.0.2:%d", 100+i) },
			counted{[]string{"294 refused 1"}, 6, 294}},
		"a scan of hosts": {250, 10, func(i int) string { return fmt.Sprintf("10.77.1.%d:22", i) },
			counted{[]string{"238 refused 2"}, 12, 238}},
	} {
		t.Run(name, func(t *testing.T) {
			s := conntest.New()
			for i := range c.n {
				refused(s, 20000+i, c.to(i))
				s.Wait(time.Duration(c.pause) * time.Millisecond)
			}
			if have := countedOf(t, s); have.told != c.want.told || have.alike != c.want.alike || !slices.Equal(have.crowds, c.want.crowds) {
				t.Errorf("%+v, want %+v", have, c.want)
			}
		})
	}
}

// TestCrowdOnce: a connection of which twice is spoken, while it hangs and at its end,
// is counted once.
func TestCrowdOnce(t *testing.T) {
	const n = 20
	s := conntest.New()
	each := func(act func(c *conntest.Socket)) {
		for i := range n {
			c, _ := conntest.Hosts(uint16(20000 + i))
			act(c)
		}
	}
	each(func(c *conntest.Socket) {
		s.State(c, tcp.Close, tcp.SynSent, conntest.By(c.Task))
		s.Sends(c, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
	})
	s.Wait(2 * limits.After)
	each(func(c *conntest.Socket) { s.State(c, tcp.SynSent, tcp.Close, conntest.Errno(110)) })
	have := countedOf(t, s)
	if want := []string{"17 syn-unanswered 0"}; have.told != 2*3 || have.alike != 2*(n-3) || !slices.Equal(have.crowds, want) {
		t.Errorf("%+v, want 6 told and %v", have, want)
	}
}

// TestFloodIsCounted: a flood of SYNs from everywhere is told in few words.
func TestFloodIsCounted(t *testing.T) {
	const syns = 1000
	s := conntest.New()
	for i := range syns {
		_, v := conntest.Hosts(uint16(20000 + i))
		v.Cookie = 0
		v.Flow.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), v.Flow.Remote.Port())
		for range limits.Syns {
			s.Gets(v, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
			s.Kernel(v, tcp.KindDrop, conntest.Reason("NETFILTER_DROP"), conntest.Segment(tcp.DirIn, conntest.S, 1000, 0))
		}
	}
	s.Wait(limits.After)
	if have := countedOf(t, s); have.told != 3 || have.alike != syns-3 || len(have.crowds) != 1 {
		t.Errorf("%+v", have)
	}
}

// TestCrowdHidesNothing: what is new of a connection that is counted is told, and as
// the first that is.
func TestCrowdHidesNothing(t *testing.T) {
	s := conntest.New()
	var last *conntest.Socket
	for i := range 5 {
		last, _ = conntest.Hosts(uint16(20000 + i))
		s.State(last, tcp.Close, tcp.SynSent, conntest.By(last.Task))
		s.Sends(last, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
	}
	s.Wait(2 * limits.After)
	s.Gets(last, conntest.Header{Flags: conntest.RA, Ack: 1001})
	s.State(last, tcp.SynSent, tcp.Close, conntest.Errno(111))
	var told []string
	e := diagnose.New(diagnose.Options{Crowd: func(*diagnose.Crowd) error { return nil }}, func(v *diagnose.Verdict) error {
		if !v.Alike {
			told = append(told, fmt.Sprint(v.Findings[0].Rule.Name, " ", v.Update, v.Fresh))
		}
		return nil
	})
	table := conn.New(conn.Options{})
	for _, ev := range s.Events {
		if err := table.Tell(ev, e.Take); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"syn-unanswered 0 true", "syn-unanswered 0 true", "syn-unanswered 0 true", "refused 1 true"}; !slices.Equal(told[:min(len(told), 3)], want[:3]) || !slices.Contains(told, want[3]) {
		t.Errorf("told %v, want %v", told, want)
	}
}
