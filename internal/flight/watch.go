package flight

import (
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// Watch looks at every step for what is an incident. It is not safe for concurrent
// use.
type Watch struct {
	*Chosen
	steps  []Trigger         // those on that a step may fire
	again  map[uint64]uint32 // by conversation: segments sent again
	stuck  map[uint64]int64  // by stayKey: since when a socket that was told is stuck
	look   int64             // when stuck sockets are looked for again
	figure Incident
}

// mostCounted bounds the connections of which retransmissions are counted, and the
// stuck ones that are remembered: beyond, all are forgotten, and count anew.
const mostCounted = 1 << 15

// NewWatch returns a watch for the triggers chosen.
func NewWatch(c *Chosen) *Watch {
	w := &Watch{Chosen: c, again: map[uint64]uint32{}, stuck: map[uint64]int64{}}
	for _, t := range triggers {
		if t.fires != nil && c.on[t.Name] {
			w.steps = append(w.steps, t)
		}
	}
	return w
}

// Look returns the incident that a step is; nil: none. It is valid until the next
// call.
func (w *Watch) Look(s *conn.Step) *Incident {
	if !s.Selected || s.Event.Kind == tcp.KindPacket && w.Match == nil {
		return nil
	}
	for i := range w.steps {
		if t := &w.steps[i]; t.fires(w, s) {
			w.figure = incident(t.Name, s.Event.Time, s.Conn, s.Flow)
			return &w.figure
		}
	}
	return nil
}

func incident(why string, at int64, c *conn.Conn, f tcp.Flow) Incident {
	i := Incident{Why: why, Time: at, Conn: c, Flow: f}
	if c != nil {
		i.Number = c.Number
	}
	return i
}

func (w *Watch) connectFailed(s *conn.Step) bool {
	switch ev := s.Event; ev.Kind {
	case tcp.KindConnectFailed:
		return true
	case tcp.KindState:
		return ev.Old == tcp.SynSent && ev.New == tcp.Close && (ev.Errno != 0 || s.Unsent) ||
			ev.Inferred && ev.Old == tcp.SynRecv && s.From == conn.GroundNoSynAck
	}
	return false
}

// timeout: a timer ends the connection with ETIMEDOUT, or with what an ICMP error
// has said meanwhile (tcp_write_err).
func (w *Watch) timeout(s *conn.Step) bool {
	ev := s.Event
	if ev.Kind != tcp.KindState || ev.New != tcp.Close {
		return false
	}
	switch unix.Errno(ev.Errno) {
	case unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH:
		return true
	}
	return ev.Inferred && ev.Old == tcp.SynRecv && s.From == conn.GroundNoSynAck
}

// reset: what refuses a connection, and what answers a segment for nobody, is none.
func (w *Watch) reset(s *conn.Step) bool {
	c := s.Conn
	switch s.Event.Kind {
	case tcp.KindReceiveReset:
		return c != nil && c.Socket && c.State != tcp.SynSent
	case tcp.KindSendReset:
		return c != nil && c.Socket && s.Event.Cookie != 0
	}
	return false
}

func (w *Watch) retransmits(s *conn.Step) bool {
	ev := s.Event
	switch {
	case s.Conn == nil:
		return false
	case ev.Kind == tcp.KindState && ev.New == tcp.Close:
		if len(w.again) > 0 && (s.Conn.Peer == nil || s.Conn.Peer.Closed != 0) {
			delete(w.again, s.Conn.Number)
		}
		return false
	case ev.Kind != tcp.KindRetransmit && ev.Kind != tcp.KindSynAckAgain, ev.Errno < 0:
		return false
	}
	if len(w.again) >= mostCounted {
		clear(w.again)
	}
	w.again[s.Conn.Number]++
	return w.again[s.Conn.Number] == w.Retransmits+1
}

func (w *Watch) matches(s *conn.Step) bool {
	return s.Event.Kind == tcp.KindPacket && w.Match != nil && w.Match(&s.Event.Packet)
}

// lookInterval is how often stuck sockets are looked for.
const lookInterval = time.Second

// passing are the states in which no connection should stay.
var passing = [...]bool{
	tcp.SynSent: true, tcp.SynRecv: true, tcp.FinWait1: true, tcp.FinWait2: true,
	tcp.CloseWait: true, tcp.LastAck: true, tcp.Closing: true, tcp.BoundInactive: false,
}

// stayKey is how a socket that is stuck is remembered: by its cookie, or where it has
// none, a request socket, by its conversation.
func stayKey(c *conn.Conn) uint64 {
	if c.Cookie != 0 {
		return c.Cookie
	}
	return ^c.Number
}

// stays is since when c is in its state: of what was open before the trace it is only
// known that it has been so since.
func stays(c *conn.Conn) int64 { return max(c.Since, c.Opened) }

// Stuck calls happens for each open or half-open connection that is in a passing state
// for too long at time now, once for each stay, now and then.
func (w *Watch) Stuck(now int64, t *conn.Table, happens func(*Incident) error) error {
	if !w.On(Stuck) || now < w.look {
		return nil
	}
	w.look = now + int64(min(lookInterval, w.Chosen.Stuck/4+1))
	var first error
	look := func(c *conn.Conn) {
		since := stays(c)
		if first != nil || c.Number == 0 || int(c.State) >= len(passing) || !passing[c.State] || now-since <= int64(w.Chosen.Stuck) {
			return
		}
		if told, ok := w.stuck[stayKey(c)]; ok && told == since {
			return
		}
		if c.Peer != nil && w.stuck[stayKey(c.Peer)] == stays(c.Peer) {
			return // the file of the one is that of the other
		}
		if len(w.stuck) >= mostCounted {
			clear(w.stuck)
		}
		w.stuck[stayKey(c)] = since
		w.figure = incident(Stuck, now, c, c.Flow)
		first = happens(&w.figure)
	}
	t.Each(look)
	t.HalfOpen(look)
	return first
}
