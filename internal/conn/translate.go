package conn

import "tcpstory/internal/tcp"

// alias remembers the wire's tuple where address translation has changed it, so
// that the answers, which carry it too, find c. It reports whether it has.
func (t *Table) alias(c *Conn, wire tcp.Flow) bool {
	if !c.tuple.linked || wire == c.Flow {
		return false
	}
	if c.wire.linked && wire == c.Alias {
		return true
	}
	c.Alias = wire
	older := t.index.link(&c.wire, c, wire)
	if older != nil && older != c && !older.Socket {
		t.drop(older)
	}
	t.pair(c, wire, false)
	if c.verdict == passedOver {
		c.verdict = undecided
	}
	return true
}

// halfOpen places a packet of a handshake whose request socket, which has no
// cookie, has told its own tuple because the wire shows another: a SYN-ACK that
// leaves, or the SYN that it answers. It reports whether it was one.
func (t *Table) halfOpen(s *Step) bool {
	ev := s.Event
	p, own, wire := &ev.Packet, ev.Flow, ev.Packet.Flow
	if ev.Cookie != 0 || !complete(own) {
		return false
	}
	outgoing := p.Loopback || p.Dir == tcp.DirOut
	if !outgoing {
		wire = wire.Reverse()
	}
	if own == wire || !p.Asked {
		return false
	}
	s.Outgoing = outgoing
	c, _ := t.index.find(ev.Netns, own)
	if c == nil || c.gone() || restarts(c, ev, outgoing) {
		c = t.unmask(s, c, own, wire)
	}
	s.Translated = t.alias(c, wire)
	t.seen(s, c)
	return true
}

// unmask gives what was known by the wire's tuple its own, or makes a connection.
func (t *Table) unmask(s *Step, older *Conn, own, wire tcp.Flow) *Conn {
	c, n := t.index.find(s.Event.Netns, wire)
	if c == nil || c.Socket || n == &c.wire || restarts(c, s.Event, s.Outgoing) {
		return t.sighting(s, older, own)
	}
	t.index.unlink(&c.tuple)
	c.Flow, c.verdict = tcp.Flow{}, undecided
	t.learn(c, own, false)
	return c
}
