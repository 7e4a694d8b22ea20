package ordertest

import (
	"tcpstory/internal/tcp"
)

// Checker collects events. It is for one goroutine.
type Checker struct {
	rules  []Rule
	plans  map[uint16]*Plan // by server port
	socks  map[uint64]*socket
	ends   map[place]*wire
	lost   map[string]uint64
	full   uint64
	again  int
	out    uint64
	in     uint64
	seq    uint64
	events [tcp.KindPlace + 1]uint64
	faults faults
	clock  clock
}

// place is one end of a connection: a namespace and its view of the flow. Where
// a tuple is used twice in one check, its packets cannot be told apart.
type place struct {
	netns uint32
	flow  tcp.Flow
}

// socket is what the state events of one cookie tell.
type socket struct {
	at   place
	seen []transition
}

type transition struct {
	seq      uint64
	old, new tcp.State
	errno    int32
}

// wire is the packets of one end, in and out.
type wire struct {
	in, out []segment
}

type segment struct {
	number   uint64 // in the stream
	seq, ack uint32
	payload  uint32
	flags    tcp.Flags
	id       uint16 // of IPv4
}

// New makes a checker for connections to the planned server ports; it ignores
// all others.
func New(rules []Rule, plans map[uint16]*Plan) *Checker {
	return &Checker{
		rules: rules, plans: plans,
		socks: map[uint64]*socket{}, ends: map[place]*wire{}, lost: map[string]uint64{},
	}
}

// Add takes the next event of the stream; packets must be decoded.
func (c *Checker) Add(ev *tcp.Event) {
	if ev.Seq <= c.seq {
		c.faults.add("event %d follows event %d", ev.Seq, c.seq)
	}
	c.seq = ev.Seq
	c.events[ev.Kind]++
	switch ev.Kind {
	case tcp.KindState:
		c.clock.tick(ev.Time)
		c.state(ev)
	case tcp.KindPacket:
		c.clock.tick(ev.Time)
		c.packet(ev)
	case tcp.KindPort:
		c.know(ev)
	case tcp.KindGap:
		if ev.Gap.Cause == tcp.GapRecursion {
			c.lost[ev.Gap.Hook] += ev.Gap.Lost
		} else {
			c.full += ev.Gap.Lost
		}
	}
}

// Events is how many events of a kind there were.
func (c *Checker) Events(k tcp.Kind) uint64 { return c.events[k] }

// Skipped is how many calls of a hook's program the kernel reported to have
// skipped, and Full how many records found no room.
func (c *Checker) Skipped(hook string) uint64 { return c.lost[hook] }

// Full is how many records found no room in the ring.
func (c *Checker) Full() uint64 { return c.full }

func (c *Checker) state(ev *tcp.Event) {
	c.know(ev)
	if ev.Old == ev.New { // close() after shutdown() says so once more
		c.again++
		return
	}
	s := c.socks[ev.Cookie]
	s.seen = append(s.seen, transition{ev.Seq, ev.Old, ev.New, ev.Errno})
}

// know learns which place a socket has, as soon as an event tells.
func (c *Checker) know(ev *tcp.Event) {
	s := c.socks[ev.Cookie]
	if s == nil {
		s = &socket{}
		c.socks[ev.Cookie] = s
	}
	at := place{ev.Netns, ev.Flow}
	switch {
	case ev.Flow.Local.Port() == 0 || ev.Flow.Remote.Port() == 0:
	case s.at == place{}:
		s.at = at
	case s.at != at:
		c.faults.add("event %d: socket %d is at %v, was at %v", ev.Seq, ev.Cookie, at, s.at)
	}
}

func (c *Checker) packet(ev *tcp.Event) {
	p := &ev.Packet
	if !p.IsTCP || c.planOf(p.Flow) == nil {
		return
	}
	left, arrived := p.Loopback || p.Dir == tcp.DirOut, p.Loopback || p.Dir == tcp.DirIn
	if ev.Cookie != 0 {
		c.know(ev)
	}
	s := segment{ev.Seq, p.Seq, p.Ack, uint32(p.PayloadLen), p.Flags, identification(p)}
	if left {
		c.out++
		e := c.end(place{ev.Netns, p.Flow})
		e.out = append(e.out, s)
	}
	if arrived {
		c.in++
		e := c.end(place{ev.Netns, p.Flow.Reverse()})
		e.in = append(e.in, s)
	}
}

func identification(p *tcp.Packet) uint16 {
	if p.IPOffset+6 > len(p.Frame) || p.Frame[p.IPOffset]>>4 != 4 {
		return 0
	}
	return uint16(p.Frame[p.IPOffset+4])<<8 | uint16(p.Frame[p.IPOffset+5])
}

func (c *Checker) end(at place) *wire {
	w := c.ends[at]
	if w == nil {
		w = &wire{}
		c.ends[at] = w
	}
	return w
}

func (c *Checker) planOf(f tcp.Flow) *Plan {
	if p := c.plans[f.Remote.Port()]; p != nil {
		return p
	}
	return c.plans[f.Local.Port()]
}

// isClient reports whether an end is the one that connected.
func (c *Checker) isClient(f tcp.Flow) bool { return c.plans[f.Remote.Port()] != nil }

// clock notes how far time steps back along the stream.
type clock struct {
	latest int64
	steps  uint64
	widest int64
}

func (c *clock) tick(now int64) {
	if now >= c.latest {
		c.latest = now
		return
	}
	c.steps++
	c.widest = max(c.widest, c.latest-now)
}
