package conn

import "tcpstory/internal/tcp"

// packet places a packet.
func (t *Table) packet(s *Step) {
	p := &s.Event.Packet
	switch {
	case p.IsTCP:
		t.segment(s)
	case p.IsQuote:
		t.quote(s)
	default:
		s.Flow, s.Selected = p.Flow, p.Asked
		s.Outgoing = p.Dir == tcp.DirOut || p.Loopback
	}
}

// segment places a TCP segment: by the sender's cookie where it is known, else
// by namespace and tuple.
func (t *Table) segment(s *Step) {
	ev := s.Event
	p := &ev.Packet
	s.Selected = p.Asked
	if c := t.sender(ev); c != nil {
		s.Outgoing = true
		s.Translated = t.alias(c, p.Flow)
		t.seen(s, c)
		return
	}
	if t.halfOpen(s) {
		return
	}
	c, n := t.ownEnd(s)
	if c == nil || restarts(c, ev, s.Outgoing) {
		if !p.Asked {
			s.Flow = p.Flow
			return
		}
		f := p.Flow
		if !s.Outgoing {
			f = f.Reverse()
		}
		c, n = t.sighting(s, c, f), nil
	}
	s.Translated = n == &c.wire
	t.seen(s, c)
}

// sender finds or makes the connection whose cookie an outgoing packet carries.
func (t *Table) sender(ev *tcp.Event) *Conn {
	p := &ev.Packet
	if ev.Cookie == 0 || p.Dir != tcp.DirOut && !p.Loopback {
		return nil
	}
	c := t.cookies.Find(ev.Cookie)
	fresh := c == nil
	if fresh {
		c = t.create(ev)
		c.Socket, c.Cookie, c.Older = true, ev.Cookie, ev.Starting
		t.cookies.Put(c.Cookie, c)
		c.learnSyn(&p.Segment, true)
	}
	t.learn(c, ev.Flow, false)
	if fresh && c.irs.known && (c.Peer == nil || !c.Peer.Socket) {
		t.recall(c)
	}
	if c.State == tcp.StateUnknown {
		c.State = ev.New
	}
	return c
}

// ownEnd finds this host's end of a packet by its tuple, and sets s.Outgoing.
func (t *Table) ownEnd(s *Step) (*Conn, *node) {
	ev := s.Event
	p := &ev.Packet
	s.Outgoing = p.Loopback || p.Dir == tcp.DirOut
	if s.Outgoing {
		return t.index.find(ev.Netns, p.Flow)
	}
	if p.Dir == tcp.DirUnknown {
		if c, n := t.index.find(ev.Netns, p.Flow); c != nil {
			s.Outgoing = true
			return c, n
		}
	}
	c, n := t.index.find(ev.Netns, p.Flow.Reverse())
	if c == nil && p.Dir == tcp.DirUnknown {
		s.Outgoing = true // neither end is known: the first sender counts as one
	}
	return c, n
}

// restarts reports a SYN that opens another connection than c on c's tuple, or
// the answer to one: where both ends are one sighting, the SYN was the other's.
func restarts(c *Conn, ev *tcp.Event, outgoing bool) bool {
	seg := &ev.Packet.Segment
	switch {
	case !seg.Flags.Has(tcp.SYN) || c.isHalfOpen(): // one request socket at a time
		return false
	case seg.Flags.Has(tcp.ACK):
		return c.gone() && ev.New == tcp.NewSynRecv
	case c.Socket:
		return c.gone()
	}
	syn := c.irs
	if outgoing {
		syn = c.iss
	}
	return !syn.known || syn.seq != seg.Seq
}

// sighting makes a connection of packets alone, in place of an older use of the
// tuple, if there was one.
func (t *Table) sighting(s *Step, older *Conn, f tcp.Flow) *Conn {
	var before *Conn
	if older != nil && !older.Socket {
		if p := older.Peer; p != nil && !p.Socket {
			t.drop(p)
		}
		before = older.predecessor()
		t.drop(older)
	}
	c := t.create(s.Event)
	c.learnSyn(&s.Event.Packet.Segment, s.Outgoing)
	t.learn(c, f, false)
	t.succeed(before, c)
	return c
}

// seen joins the packet to c and learns from it.
func (t *Table) seen(s *Step, c *Conn) {
	t.touch(c, s.Event.Time)
	p := &s.Event.Packet
	if p.Flags.Has(tcp.SYN) && c.shakesHands() {
		c.learnSyn(&p.Segment, s.Outgoing)
		if c.Role == RoleServer {
			t.livesBehind(c)
		}
		if p.Loopback && c.Peer != nil {
			c.Peer.learnSyn(&p.Segment, false)
		}
		t.handshake(c, p, s.Outgoing)
	}
	if s.Outgoing {
		t.says(c, s.Event)
		if p.Loopback {
			t.arrivesAt(t.otherEnd(c, s.Event), s.Event)
		}
	} else {
		t.arrivesAt(c, s.Event)
	}
	s.Conn, s.Flow = c, c.Flow
}

// otherEnd is where a packet arrives that is seen once only.
func (t *Table) otherEnd(c *Conn, ev *tcp.Event) *Conn {
	if c.Peer != nil {
		return c.Peer
	}
	p, _ := t.index.find(ev.Netns, ev.Packet.Flow.Reverse())
	return p
}

// arrivesAt is for the end that gets a segment.
func (t *Table) arrivesAt(c *Conn, ev *tcp.Event) {
	if c == nil {
		return
	}
	c.receives(&ev.Packet.Segment)
	if b := c.predecessor(); b != nil { // it may be for that one still
		t.arrivesAt(b, ev)
	}
	switch {
	case c.isHalfOpen():
		t.halfHears(c, ev)
	case c.isMinisock():
		t.miniHears(c, ev)
	}
}

// says is for the end that has sent a segment.
func (t *Table) says(c *Conn, ev *tcp.Event) {
	c.sends(&ev.Packet.Segment)
	switch {
	case t.opt.PacketsOnly:
	case ev.New == tcp.NewSynRecv && ev.Packet.Flags.Has(tcp.SYN|tcp.ACK):
		t.synAckLeft(c, ev)
	case c.stands || c.handed:
		t.miniSays(c, ev)
	default:
		if b := c.predecessor(); b != nil {
			t.says(b, ev)
		}
	}
}

// learnSyn takes the roles, and what marks this use of the tuple, from a SYN.
func (c *Conn) learnSyn(seg *tcp.Segment, outgoing bool) {
	if !seg.Flags.Has(tcp.SYN) {
		return
	}
	c.synStarts(seg, outgoing)
	if seg.Flags.Has(tcp.ACK) == outgoing {
		c.learnRole(RoleServer)
	} else {
		c.learnRole(RoleClient)
	}
}

// quote places an ICMP error by the flow that it quotes: the flow of the segment
// that could not be delivered, as its sender saw it.
func (t *Table) quote(s *Step) {
	ev := s.Event
	p := &ev.Packet
	ours := p.Quoted
	if p.Dir == tcp.DirOut && !p.Loopback {
		ours = ours.Reverse() // this host complains about what it was sent
	}
	s.Flow, s.Outgoing = ours, p.Dir == tcp.DirOut
	c, n := t.index.find(ev.Netns, ours)
	if c == nil {
		s.Selected = p.Asked || t.matches(ours)
		return
	}
	t.touch(c, ev.Time)
	s.Conn, s.Flow, s.Translated = c, c.Flow, n == &c.wire
	s.Selected = p.Asked || t.selects(c)
}
