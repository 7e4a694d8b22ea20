package life

import (
	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// Chronicle makes lines of the steps of a recorded story, which tell of states
// only: what the kernel's socket counted is unknown. The zero value is ready for
// use; it is for one goroutine.
type Chronicle struct {
	past map[*conn.Conn]*past
	line Line
}

// past is what was told of a connection that has not ended.
type past struct {
	opened int64 // conn.Conn.Opened: a Conn is used again
	life   tcp.Life
}

// Take takes a step in, and gives out the line of a connection that it ends. The
// line is valid during the call.
func (c *Chronicle) Take(s *conn.Step, give func(*Line) error) error {
	if s.Event.Kind != tcp.KindState || s.Conn == nil || s.Conn.Role == conn.RoleListener {
		return nil
	}
	p := c.past[s.Conn]
	if p == nil || p.opened != s.Conn.Opened {
		if c.past == nil {
			c.past = map[*conn.Conn]*past{}
		}
		p = &past{opened: s.Conn.Opened}
		p.forgotten(s)
		c.past[s.Conn] = p
	}
	if s.Event.New != tcp.Close {
		p.moves(s)
		return nil
	}
	delete(c.past, s.Conn)
	half := s.Event.Inferred && s.Event.Old == tcp.SynRecv
	if s.Event.Inferred && !half {
		return nil // a minisock's end; the socket's was told
	}
	if half {
		p.life.Flags |= tcp.LifeIn | tcp.LifeHalf
		if s.From == conn.GroundReset {
			p.life.Flags |= tcp.LifeReset
		}
	}
	c.fill(s, p)
	return give(&c.line)
}

// forgotten is for a connection that a flight recorder has seen begin, of which its file
// has no more than that.
func (p *past) forgotten(s *conn.Step) {
	if !s.Conn.Witnessed || s.Event.Old != tcp.Established || !s.InStateKnown {
		return
	}
	l := &p.life
	l.Established, l.Flags = s.Event.Time-int64(s.InState), tcp.LifeWasOpen
	switch s.Conn.Role {
	case conn.RoleClient:
		l.Began = s.Conn.Opened
		l.Flags |= tcp.LifeOut
	case conn.RoleServer:
		l.Began = l.Established
		l.Flags |= tcp.LifeIn | tcp.LifeGuessed
	}
}

func (p *past) moves(s *conn.Step) {
	l, at := &p.life, s.Event.Time
	switch s.Event.New {
	case tcp.SynSent:
		*l = tcp.Life{Began: at, Flags: tcp.LifeOut}
	case tcp.SynRecv:
		if l.Flags.Has(tcp.LifeOut) || l.Flags.Has(tcp.LifeIn) {
			break // both ends at once; or the half-open connection was told
		}
		*l = tcp.Life{Began: at, Flags: tcp.LifeIn}
	case tcp.Established:
		l.Established = at
		if l.Flags.Has(tcp.LifeIn) && s.HalfOpen && s.InStateKnown {
			l.Began = at - int64(s.InState)
		} else if l.Flags.Has(tcp.LifeIn) {
			l.Flags |= tcp.LifeGuessed // SYN_RECV is traced when the handshake ends
		}
	case tcp.FinWait1:
		l.Shut = at
		l.Flags |= tcp.LifeFINFirst
	case tcp.CloseWait:
		l.Shut = at
	case tcp.FinWait2, tcp.Closing, tcp.LastAck:
		l.ShutToo = at
	}
	if s.Event.New != tcp.SynSent && s.Event.New != tcp.SynRecv {
		l.Flags |= tcp.LifeWasOpen
	}
}

// fill makes the line as if the kernel had told the life, without its counters.
func (c *Chronicle) fill(s *conn.Step, p *past) {
	ev := *s.Event
	if ev.Minisock != tcp.StateUnknown || s.Remains != tcp.StateUnknown {
		p.life.Flags |= tcp.LifeMinisock
	}
	if ev.Old != tcp.SynSent && ev.Old != tcp.SynRecv {
		p.life.Flags |= tcp.LifeWasOpen
	}
	ev.Life, ev.Counters = &p.life, &tcp.Counters{}
	l, from := &c.line, s.Conn
	l.Fill(&ev)
	l.Cookie, l.Netns, l.Cgroup, l.Flow = from.Cookie, from.Netns, from.Cgroup, s.Flow
	l.Task, l.Via = from.Task, from.Via
	l.Older = from.OlderThanTrace() || l.Older && !from.Witnessed
	l.Nobody, l.HasCounts = false, false
	l.TX, l.RX, l.Idle, l.FirstByte = Unknown, Unknown, Unknown, Unknown
	l.Retransmits, l.BytesRetrans, l.SegsIn, l.SegsOut = Unknown, Unknown, Unknown, Unknown
	l.Direction, l.Inferred = map[conn.Role]Direction{conn.RoleClient: DirOut, conn.RoleServer: DirIn}[from.Role], false
}
