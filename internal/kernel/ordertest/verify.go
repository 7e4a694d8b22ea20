package ordertest

import (
	"fmt"
	"time"

	"tcpstory/internal/tcp"
)

// Report is what the check of a stream found.
type Report struct {
	Rules       []Rule
	Held        []int          // per rule: transitions that stood on the right side of their packet
	Sockets     map[string]int // by plan and role
	Reused      int            // sockets left out, because two had the same tuple
	Transitions int
	Out, In     uint64 // segments seen as they left and as they arrived; one on loopback is both

	// MissingStates are transitions that lack in a path, and Excused sightings
	// that a rule asks for; each counts once.
	MissingStates, Excused int
	// MissingOut and MissingIn are sightings that lack where the packet left or
	// arrived although the other side has them.
	MissingOut, MissingIn int

	Faults     []string // the first few
	FaultCount int
	Again      int           // transitions from a state to itself
	Inversions uint64        // how often time steps back along the stream
	Widest     time.Duration // the largest such step
}

// Add sums two reports of the same rules up.
func (r *Report) Add(o *Report) {
	if r.Rules == nil {
		*r = *o
		return
	}
	for i := range r.Held {
		r.Held[i] += o.Held[i]
	}
	for k, n := range o.Sockets {
		r.Sockets[k] += n
	}
	r.Reused += o.Reused
	r.Transitions += o.Transitions
	r.Out += o.Out
	r.In += o.In
	r.MissingStates += o.MissingStates
	r.Excused += o.Excused
	r.MissingOut += o.MissingOut
	r.MissingIn += o.MissingIn
	r.Faults = append(r.Faults, o.Faults...)
	r.FaultCount += o.FaultCount
	r.Again += o.Again
	r.Inversions += o.Inversions
	r.Widest = max(r.Widest, o.Widest)
}

// maxFaults is how many faults are put into words.
const maxFaults = 20

type faults struct {
	told  []string
	count int
}

func (f *faults) add(format string, args ...any) {
	if f.count++; f.count <= maxFaults {
		f.told = append(f.told, fmt.Sprintf(format, args...))
	}
}

// Report holds every connection against its plan and the rules. Call it once,
// when the stream has ended.
func (c *Checker) Report() *Report {
	r := &Report{Rules: c.rules, Held: make([]int, len(c.rules)), Sockets: map[string]int{}, Out: c.out, In: c.in, Again: c.again}
	m, uses := missing{}, map[place]int{}
	for _, s := range c.socks {
		uses[s.at]++
	}
	for cookie, s := range c.socks {
		plan := c.planOf(s.at.flow)
		switch {
		case plan == nil || len(s.seen) == 0:
		case uses[s.at] > 1:
			r.Reused++
		default:
			c.verify(r, m, cookie, s, plan)
		}
	}
	c.sightings(r)
	r.Excused = len(m)
	r.Faults, r.FaultCount = c.faults.told, c.faults.count
	r.Inversions, r.Widest = c.clock.steps, time.Duration(c.clock.widest)
	return r
}

func (c *Checker) verify(r *Report, m missing, cookie uint64, s *socket, plan *Plan) {
	paths, role := plan.Server, "server"
	if c.isClient(s.at.flow) {
		paths, role = plan.Client, "client"
	}
	r.Sockets[plan.Name+" "+role]++
	r.Transitions += len(s.seen)
	steps, gone, ok := best(paths, s.seen)
	if !ok {
		c.faults.add("%s: socket %d goes no path of the plan:%s", plan.Name, cookie, c.story(s))
		return
	}
	r.MissingStates += gone
	for i, step := range steps {
		c.hold(r, m, s, &s.seen[i], step, plan)
	}
}

// hold holds one transition against every rule that covers it.
func (c *Checker) hold(r *Report, m missing, s *socket, t *transition, step *Step, plan *Plan) {
	for i := range c.rules {
		rule := &c.rules[i]
		if !rule.covers(step) {
			continue
		}
		p := c.ends[s.at].find(rule.Packet)
		switch {
		case p == nil && rule.Maybe:
		case p == nil:
			m.note(s.at, rule.Packet)
		case (p.number < t.seq) != rule.Before:
			c.faults.add("%s: %s is broken by transition %d and packet %d (calls skipped: %v):%s",
				plan.Name, rule.Text, t.seq, p.number, c.lost, c.story(s))
		default:
			r.Held[i]++
		}
	}
}

// missing are the sightings that nobody made: each once, however many rules
// ask for it.
type missing map[sighting]bool

// sighting is a packet by its sign: who sent it, and where it was not seen. On
// loopback the two ends lack the same one.
type sighting struct {
	netns uint32
	from  tcp.Flow
	sign  Sign
}

func (m missing) note(at place, p Packet) {
	s := sighting{at.netns, at.flow, p.Sign}
	if !p.Out {
		s.from = at.flow.Reverse()
	}
	m[s] = true
}
