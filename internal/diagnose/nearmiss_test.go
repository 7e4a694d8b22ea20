package diagnose_test

import (
	"slices"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// scene is a story being written, of which the client's host is seen.
type scene struct {
	*conntest.Story
	c, v     *conntest.Socket
	seq, ack uint32
	win      uint16
	see      []uint32 // namespaces that are watched; none: the client's
}

// sees reports that a namespace is watched.
func (s *scene) sees(netns uint32) bool {
	if len(s.see) == 0 {
		return netns == s.c.Netns
	}
	return slices.Contains(s.see, netns)
}

// begin opens a connection.
func begin() *scene {
	c, v := conntest.Hosts(40000)
	s := &scene{Story: conntest.New(), c: c, v: v, seq: 1001, ack: 5001, win: 502}
	s.Handshake(c, v)
	s.Wait(time.Millisecond)
	return s
}

// says sends n bytes; hears gets n bytes, or an acknowledgement of all that was sent.
func (s *scene) says(n int) {
	s.Sends(s.c, conntest.Header{Flags: conntest.PA, Seq: s.seq, Ack: s.ack, Window: s.win, Options: conntest.Stamp, Len: n})
	s.seq += uint32(n)
}

func (s *scene) hears(n int) {
	s.Gets(s.c, conntest.Header{Flags: conntest.PA, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp, Len: n})
	s.ack += uint32(n)
}

// window is an empty segment that opens or closes the window of what is sent.
func (s *scene) window(n uint16) {
	s.Gets(s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq, Window: n, Options: conntest.Stamp})
}

// again is a retransmission.
func (s *scene) again(k tcp.RetransmitKind, n uint32, bytes int) {
	s.Kernel(s.c, tcp.KindRetransmit, conntest.Again(k, n), conntest.Now(tcp.Established), conntest.Segment(tcp.DirOut, conntest.PA, s.seq-uint32(bytes), bytes))
}

// answered is a request that gets its answer at once: the server is one that answers.
func (s *scene) answered() {
	s.says(100)
	s.window(508)
	s.hears(200)
}

// scaled is part of a limit, in a hundred.
func scaled(d time.Duration, percent int) time.Duration { return d * time.Duration(percent) / 100 }

var limits = diagnose.DefaultLimits

// nearMiss acts out a trouble to some part of one of its numbers, in a hundred, less
// being healthier; whole numbers are rounded away from it.
type nearMiss struct {
	rule string
	of   string   // the number: words of its name in the table
	less []string // what is said below it, and may be above: another trouble, which is there
	act  func(percent int) *scene
}

// nearMisses are those of connections that came about.
var nearMisses = []nearMiss{
	{"slow-application", "from the request's last", nil, func(percent int) *scene {
		s := begin()
		s.says(100)
		s.window(508)
		s.Wait(scaled(limits.Slow, percent))
		s.hears(200)
		return s
	}},
	{"slow-application", "from the request's last", nil, func(percent int) *scene { // not answered at all, by a server that answers
		s := begin()
		s.answered()
		s.says(100)
		s.window(508)
		s.Wait(scaled(limits.Slow, percent))
		s.State(s.c, tcp.Established, tcp.Close, conntest.By(s.c.Task))
		return s
	}},
	{"peer-zero-window", "closed", nil, func(percent int) *scene {
		s := begin()
		s.says(1000)
		s.window(0)
		s.Sends(s.c, conntest.Header{Flags: conntest.A, Seq: s.seq - 1, Ack: s.ack, Window: 502, Options: conntest.Stamp})
		s.window(0)
		s.Wait(scaled(limits.After, percent))
		s.window(500)
		return s
	}},
	{"own-zero-window", "closed", nil, func(percent int) *scene {
		s := begin()
		s.hears(1000)
		own := conntest.Header{Flags: conntest.A, Seq: s.seq, Ack: s.ack, Options: conntest.Stamp}
		s.Sends(s.c, own)
		s.Wait(scaled(limits.After, percent))
		own.Window = 500
		s.Sends(s.c, own)
		return s
	}},
	{"nagle-delayed-ack", "small segments", nil, func(percent int) *scene {
		s := begin()
		for range pick(percent, limits.Stalls) {
			s.stall(40 * time.Millisecond)
		}
		return s
	}},
	{"nagle-delayed-ack", "each for", nil, func(percent int) *scene {
		s := begin()
		for range 10 {
			s.stall(scaled(limits.StallMin, percent))
		}
		return s
	}},
	{"mtu-black-hole", "payload", []string{"loss-timeouts"}, func(percent int) *scene {
		s := begin()
		s.answered()
		n := int(limits.Large) * percent / 100
		s.says(n)
		for i := range limits.HoleTimeouts {
			s.Wait(300 * time.Millisecond << i)
			s.again(tcp.RetransmitRTO, i+1, n)
			s.Gets(s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq - uint32(n), Window: 508, Options: conntest.Sack})
		}
		return s
	}},
	{"loss", "fast", nil, func(percent int) *scene {
		s := begin()
		for range pick(percent, limits.Fast) {
			s.says(1000)
			s.again(tcp.RetransmitFast, 0, 1000)
			s.window(508)
		}
		return s
	}},
	{"loss", "of the segments", nil, func(percent int) *scene { // few of very many
		s := begin()
		const lost = 12
		for i := range lost * 1000 * 100 / int(limits.LossShare) / percent {
			s.says(100)
			if i < lost {
				s.again(tcp.RetransmitFast, 0, 100)
			}
			s.window(508)
		}
		return s
	}},
	{"loss", "of the segments", nil, func(percent int) *scene { // of segments that a device cuts into many
		s := begin()
		const lost, segments, mss = 8, 40, 1460
		for i := range lost * 1000 * 100 / int(limits.LossShare) / percent / segments {
			s.says(segments * mss)
			if i < lost {
				s.again(tcp.RetransmitFast, 0, mss)
			}
			s.window(508)
		}
		return s
	}},
	{"loss-timeouts", "time-outs", nil, func(percent int) *scene {
		s := begin()
		s.says(100)
		for i := range pick(percent, limits.Timeouts) {
			s.Wait(200 * time.Millisecond << i)
			s.again(tcp.RetransmitRTO, i+1, 100)
		}
		s.window(508)
		return s
	}},
	{"tail-loss", "probes", nil, func(percent int) *scene {
		s := begin()
		for range pick(percent, limits.Probes) {
			s.probed()
		}
		return s
	}},
	{"tail-loss", "of the segments", nil, func(percent int) *scene { // few of very many
		s := begin()
		const lost = 12
		for i := range lost * 1000 * 100 / int(limits.LossShare) / percent {
			if s.says(100); i < lost {
				s.again(tcp.RetransmitTLP, 0, 100)
			}
			s.window(508)
		}
		return s
	}},
	{"tail-loss", "probes", nil, func(percent int) *scene { // now and then
		s := begin()
		for range limits.Probes {
			s.probed()
			s.Wait(scaled(limits.Spell, 10000/percent))
		}
		return s
	}},
	{"dropped-locally", "segments", nil, func(percent int) *scene { return thrownAway(percent, "NETFILTER_DROP") }},
	{"dropped-locally", "segments", nil, func(percent int) *scene { return thrownAway(percent, "") }}, // before 5.17
	{"unacceptable-segments", "segments", nil, func(percent int) *scene { return thrownAway(percent, "TCP_RFC7323_PAWS") }},
	{"unacceptable-segments", "segments", nil, func(percent int) *scene { return thrownAway(percent, "TCP_INVALID_SEQUENCE") }},
	{"close-wait-leak", "CLOSE_WAIT", nil, lasts(tcp.LastAck, tcp.Established, tcp.CloseWait)},
	{"fin-wait2-stuck", "FIN_WAIT2", nil, lasts(tcp.Close, tcp.Established, tcp.FinWait1, tcp.FinWait2)},
	{"fin-wait1-unanswered", "FIN_WAIT1", nil, lasts(tcp.FinWait2, tcp.Established, tcp.FinWait1)},
	{"last-ack-unanswered", "LAST_ACK", nil, lasts(tcp.Close, tcp.Established, tcp.CloseWait, tcp.LastAck)},
	{"time-wait-pile", "ports", nil, func(percent int) *scene {
		const ports = 1000
		return piled(ports*int(limits.PortShare)/100*percent/100, ports)
	}},
}

// thrownAway are segments with data that arrive and that the kernel throws away.
func thrownAway(percent int, reason string) *scene {
	s := begin()
	s.confirmed()
	for range pick(percent, limits.Timeouts) {
		s.Kernel(s.c, tcp.KindDrop, conntest.Reason(reason), conntest.Segment(tcp.DirIn, conntest.PA, s.ack, 100))
	}
	return s
}

// probed is a request that a tail loss probe had to bring.
func (s *scene) probed() {
	s.says(100)
	s.Wait(250 * time.Millisecond)
	s.again(tcp.RetransmitTLP, 0, 100)
	s.window(508)
}

// stall is a request in two small parts, of which the second waits for the first.
func (s *scene) stall(d time.Duration) {
	s.says(50)
	s.Wait(d)
	s.window(508)
	s.says(50)
	s.hears(200)
}

// lasts goes through states, stays in the last of them for part of the limit, and
// leaves it.
func lasts(to tcp.State, path ...tcp.State) func(int) *scene {
	return func(percent int) *scene {
		s := begin()
		s.answered()
		for i := 1; i < len(path); i++ {
			s.State(s.c, path[i-1], path[i], conntest.By(s.c.Task))
		}
		s.Wait(scaled(limits.After, percent))
		s.State(s.c, path[len(path)-1], to)
		return s
	}
}

// pick is a whole number below or above a limit that must be reached.
func pick(percent int, limit uint32) uint32 {
	if percent < 100 {
		return limit - 1
	}
	return max(limit*uint32(percent)/100, limit)
}

// told is which rules are told of a story, as the client's host sees it.
func told(t *testing.T, s *scene, l diagnose.Limits) (rules []string) {
	t.Helper()
	e := diagnose.New(diagnose.Options{Limits: l}, func(v *diagnose.Verdict) error {
		for _, f := range v.Findings {
			rules = append(rules, f.Rule.Name)
		}
		if len(v.Evidence) == 0 {
			t.Errorf("%s without evidence", v.Findings[0].Rule.Name)
		}
		return nil
	})
	table := conn.New(conn.Options{TellOlder: true})
	last := int64(0)
	for _, ev := range s.Events {
		if !s.sees(ev.Netns) {
			continue
		}
		last = ev.Time
		if err := table.Tell(ev, e.Take); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // what stands is looked at after a while
		last += int64(15 * time.Millisecond)
		if err := e.Pass(last); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(); err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestRules: names are unique, everything is said, and what covers exists.
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for i := range diagnose.Rules {
		r := &diagnose.Rules[i]
		if r.Name == "" || seen[r.Name] || r.Says == "" || r.Next == "" || r.Place == diagnose.PlaceUnknown {
			t.Errorf("rule %d (%q) is not whole", i, r.Name)
		}
		seen[r.Name] = true
		if r != diagnose.RuleOf(r.Name) {
			t.Errorf("%s is not found", r.Name)
		}
	}
}
