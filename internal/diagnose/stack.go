package diagnose

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// countersLate is how late the counters of a namespace may be told.
const countersLate = 1500 * time.Millisecond

// mostStacks bounds of how many namespaces something is known.
const mostStacks = 1 << 12

// stack is what is known of a namespace's network stack.
type stack struct {
	heard    int64  // when its counters were told last
	ports    uint32 // how many local ports connect() may take; 0 unknown
	overflow moved  // ListenOverflows
	dropped  moved  // TCPReqQFullDrop
	cookies  moved  // TCPReqQFullDoCookies
}

// moved is a counter: when it was last found to have moved, and by how much in all.
type moved struct {
	at int64
	by uint32
}

func (m *moved) move(by uint64, now int64) {
	if by > 0 {
		m.at, m.by = now, m.by+uint32(by)
	}
}

// counters takes in what a namespace's counters have moved by.
func (e *Engine) counters(ev *tcp.Event) {
	s := e.stacks[ev.Netns]
	if s == nil {
		e.forgetStack()
		s = &stack{}
		e.stacks[ev.Netns] = s
	}
	s.heard = ev.Time
	c := ev.Stack
	if c == nil {
		return
	}
	e.account(ev.Netns, c.ListenOverflows, ev.Time, overflows)
	e.account(ev.Netns, c.ReqQFullDrop, ev.Time, drops)
	s.overflow.move(c.ListenOverflows, ev.Time)
	s.dropped.move(c.ReqQFullDrop, ev.Time)
	s.cookies.move(c.ReqQFullCookies, ev.Time)
	if c.LocalPorts != 0 && c.LocalPorts != s.ports {
		s.ports = c.LocalPorts
		for key, p := range e.piles {
			if key.netns == ev.Netns {
				e.measure(p, ev.Time)
			}
		}
	}
}

// forgetStack makes room for a namespace: containers come and go. Which of them are
// gone is not told; the half whose counters have not moved for longest is forgotten.
func (e *Engine) forgetStack() {
	if len(e.stacks) < mostStacks {
		return
	}
	heard := make([]int64, 0, mostStacks)
	for _, s := range e.stacks {
		heard = append(heard, s.heard)
	}
	slices.Sort(heard)
	middle := heard[len(heard)/2]
	maps.DeleteFunc(e.stacks, func(_ uint32, s *stack) bool { return s.heard <= middle })
}

// stack is what is known of x's namespace.
func (x *exam) stack() *stack {
	if s := x.e.stacks[x.r.Netns]; s != nil {
		return s
	}
	return &stack{}
}

// half reports an attempt that a listener of this host has not let become a
// connection, though nothing else has thrown it away.
func (x *exam) half() bool {
	r := x.r
	return r.Role == conn.RoleServer && !r.born && r.saw.synIn > 0 && r.saw.reset == noReset && r.saw.rstIn == 0 &&
		x.dropped(DroppedIn, tcp.SYN, handshake) == nil
}

func acceptQueue(x *exam) (f Finding, ok bool) {
	r := x.r
	if late := x.clue(func(c *Clue) bool { return c.Sight == DroppedIn && c.Reason == "TCP_LISTEN_OVERFLOW" }); late != nil && late.Count >= x.lim.Syns && r.Role == conn.RoleServer && !r.born {
		return Finding{Certainty: Sure, Standing: r.closed == 0, cites: of(Arrived, Left, DroppedIn, Overflowed, SynAckAgain), Text: fmt.Sprintf(
			"what ends the handshake for port %d arrived, and was thrown away %s (%s): the listener's queue of connections to accept is full", r.Flow.Local.Port(), times(late.Count), late.Reason)}, true
	}
	if !x.half() || r.saw.synAckOut > 0 && r.saw.ackIn == 0 {
		return f, false
	}
	if m := x.stack().overflow; m.at < r.saw.firstSyn || m.at == 0 {
		x.untilCounters()
		return f, false
	}
	if r.saw.synIn < x.lim.Syns && r.saw.ackIn < x.lim.Syns && !x.lasts(r.saw.firstSyn) {
		return f, false
	}
	x.overflowed("ListenOverflows", x.stack().overflow)
	f = Finding{Certainty: r.overflow.certainty(x.lim), Standing: true, cites: of(Arrived, Left, Overflowed, SynAckAgain)}
	f.Text = fmt.Sprintf("%s for port %d arrived and %s not answered: the listener's queue of connections to accept is full", plural(r.saw.synIn, "SYN"), r.Flow.Local.Port(), wasWere(r.saw.synIn))
	if r.saw.synAckOut > 0 {
		f.Text = fmt.Sprintf("%s that ends the handshake for port %d arrived %s and was not taken: the listener's queue of connections to accept is full", "an ACK", r.Flow.Local.Port(), times(r.saw.ackIn))
	}
	return f, true
}

// untilCounters has an attempt looked at again when the counters may be there.
func (x *exam) untilCounters() {
	const looks = 3
	for i := time.Duration(0); i < looks; i++ {
		if due := x.r.saw.firstSyn + int64(x.lim.After+i*countersLate); x.now < due {
			x.again(due)
			return
		}
	}
}

func wasWere(n uint32) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// overflowed keeps a counter as evidence, once.
func (x *exam) overflowed(name string, m moved) {
	if x.clue(func(c *Clue) bool { return c.Sight == Overflowed && c.Reason == name }) == nil {
		x.e.note(x.r, Clue{Sight: Overflowed, Time: m.at, Reason: name, Count: m.by})
	}
}

func synQueue(x *exam) (f Finding, ok bool) {
	r := x.r
	f = Finding{Certainty: Probably, cites: of(Arrived, Left, Overflowed, Moved)} // net.ipv4.tcp_syncookies=2 sends cookies always
	if m := x.stack().cookies; r.Role == conn.RoleServer && r.saw.bareSynAck > 0 && r.saw.firstSyn > 0 && m.at >= r.saw.firstSyn {
		x.overflowed("TCPReqQFullDoCookies", m)
		f.Text = fmt.Sprintf("the SYN for port %d was answered by a SYN cookie: too many connections are half open", r.Flow.Local.Port())
		return f, true
	}
	m := x.stack().dropped
	if !x.half() || r.saw.synAckOut > 0 || m.at < r.saw.firstSyn || m.at == 0 || r.saw.synIn < x.lim.Syns && !x.lasts(r.saw.firstSyn) {
		return f, false
	}
	x.overflowed("TCPReqQFullDrop", m)
	f.Standing, f.Certainty = true, r.dropped.certainty(x.lim)
	f.Text = fmt.Sprintf("%s for port %d arrived and %s not answered: too many connections are half open, and SYN cookies are off", plural(r.saw.synIn, "SYN"), r.Flow.Local.Port(), wasWere(r.saw.synIn))
	return f, true
}

// pile are the TIME_WAITs towards one destination, which hold local ports.
type pile struct {
	n     uint32
	early uint32 // of them, those whose FIN was seen before their minisock: the table takes them for orphans in FIN_WAIT2
	ports uint32
	told  bool
	one   End     // the last of them
	who   *record // for which a verdict is due; nil: none is
	since int64   // when it became too high
}

type pileKey struct {
	netns uint32
	from  netip.Addr
	to    netip.AddrPort
}

// defaultPorts is how many ports net.ipv4.ip_local_port_range leaves by default.
const defaultPorts = 60999 - 32768 + 1

// heap counts who enters and leaves TIME_WAIT at the end that chose its port.
func (e *Engine) heap(s *conn.Step) {
	ev := s.Event
	if ev.Kind != tcp.KindState && ev.Kind != tcp.KindSocket || s.Conn.Role == conn.RoleServer {
		return
	}
	key := pileKey{s.Conn.Netns, s.Flow.Local.Addr(), s.Flow.Remote}
	early := s.Remains == tcp.FinWait2 && e.hasFIN(s.Conn)
	switch {
	case early, s.Remains == tcp.TimeWait, ev.New == tcp.TimeWait:
		p := e.piles[key]
		if p == nil {
			if len(e.piles) >= mostAnswering {
				clear(e.piles)
			}
			p = &pile{}
			e.piles[key] = p
		}
		if p.n++; early {
			p.early++
		}
		p.one = endOf(s.Conn)
		e.measure(p, ev.Time)
	case ev.Old == tcp.TimeWait, ev.Old == tcp.FinWait2 && ev.Inferred && e.piles[key] != nil && e.piles[key].early > 0:
		if p := e.piles[key]; p != nil {
			if ev.Old == tcp.FinWait2 {
				p.early--
			}
			if p.n = max(p.n, 1) - 1; p.n == 0 && p.who == nil { // it may have been begun anew since
				delete(e.piles, key)
			}
		}
	}
}

// leastPile is a pile's least height, however few the ports.
const leastPile = 100

// hasFIN: the other end's FIN has arrived.
func (e *Engine) hasFIN(c *conn.Conn) bool {
	r := e.byCookie.Find(c.Cookie)
	return r != nil && r.saw.finIn > 0
}

// measure has a pile told of that is too high.
func (e *Engine) measure(p *pile, now int64) {
	p.ports = defaultPorts
	if s := e.stacks[p.one.Netns]; s != nil && s.ports != 0 {
		p.ports = s.ports
	}
	switch share := p.n * 100; {
	case share >= p.ports*e.lim.PortShare && p.n >= leastPile:
		e.high(p, now)
	case share*2 < p.ports*e.lim.PortShare:
		p.told = false
	}
}

// grown is how long a pile must not have grown to be told of.
const grown = time.Second

// high has a pile told of once, when it grows no more, or has grown for too long.
// It gets a record of its own, which stands for all of its connections.
func (e *Engine) high(p *pile, now int64) {
	if p.who == nil {
		if p.told {
			return
		}
		p.told, p.since, p.who = true, now, &record{pile: p, due: never, opened: now, closed: now}
	}
	p.who.End = p.one
	e.watched.set(p.who, min(now+int64(grown), p.since+int64(e.lim.After)))
}

// stall looks for a small segment that had to wait for the acknowledgement of the
// one before: it leaves at once when that has come.
func (e *Engine) stall(r *record, step *conn.Step, out bool) {
	s, n, now := &r.stalls, uint32(step.Event.Packet.PayloadLen), step.Event.Time
	if !clientSpeaks(r, out) {
		s.sent, s.ackAt = 0, 0
		return
	}
	if s.sent != 0 && s.ackAt > s.sent && now-s.ackAt < int64(atOnce) {
		if wait := s.ackAt - s.sent; wait >= e.leastStall(r, out) && wait <= int64(e.lim.StallMax) {
			if now-s.last >= int64(e.lim.Calm) {
				s.count, s.sum = 0, 0
			}
			s.count++
			s.sum += wait
			s.last = now
			e.noteSegment(r, step, out)
			if s.count == e.lim.Stalls {
				e.wake(r, now)
			}
		}
	}
	s.sent, s.ackAt = 0, 0
	if n < e.lim.Large {
		s.sent = now
	}
}

// leastStall is how long a segment must have waited, for the acknowledgement to have
// been delayed: the way there and back takes its time.
func (e *Engine) leastStall(r *record, out bool) int64 {
	if !out {
		return int64(e.lim.StallMin)
	}
	return int64(r.rtt + max(e.lim.StallMin, r.rtt/4))
}

// atOnce is how soon a segment that was waiting follows the acknowledgement.
const atOnce = 5 * time.Millisecond

// saysTwice reports an acknowledgement that says of some data that it came twice
// (RFC 2883): its first SACK block lies below what it acknowledges, or within the
// second.
func saysTwice(ev *tcp.Event) bool {
	blocks := option(&ev.Packet, 5)
	return len(blocks) >= 8 && duplicate(blocks, ev.Packet.Ack)
}

// mssOf is the maximum segment size that a SYN names; 0: none.
func mssOf(p *tcp.Packet) uint16 {
	if v := option(p, 2); len(v) == 2 {
		return uint16(v[0])<<8 | uint16(v[1])
	}
	return 0
}

// option is the value of a TCP option; nil: it is not there.
func option(p *tcp.Packet, kind byte) []byte {
	at, end := p.L4Offset+20, p.L4Offset+p.HeaderLen
	for end <= len(p.Frame) && at+1 < end {
		have, n := p.Frame[at], int(p.Frame[at+1])
		switch {
		case have == 0:
			return nil
		case have == 1:
			at++
			continue
		case n < 2 || at+n > end:
			return nil
		case have == kind:
			return p.Frame[at+2 : at+n]
		}
		at += n
	}
	return nil
}

func duplicate(blocks []byte, ack uint32) bool {
	number := func(i int) uint32 {
		b := blocks[i*4:]
		return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	if int32(number(1)-ack) <= 0 {
		return true
	}
	return len(blocks) >= 16 && int32(number(0)-number(2)) >= 0 && int32(number(1)-number(3)) <= 0
}
