package conn

import "tcpstory/internal/tcp"

// pair finds c's other end by the reverse of a tuple of c's, among this host's
// sockets. The same tuple may be in use in several network namespaces: the
// sequence numbers tell, else the own namespace goes first; where neither does
// and there are several, none is taken. fresh: c only begins to connect.
func (t *Table) pair(c *Conn, f tcp.Flow, fresh bool) {
	if c.Peer != nil && (c.Peer.Socket || !c.Socket) {
		return
	}
	var best *Conn
	bestRank, several := 0, false
	for n := t.index[keyOf(f.Reverse())]; n != nil; n = n.next {
		p := n.conn
		if !c.couldBe(p, fresh) {
			continue
		}
		switch rank := c.rank(p); {
		case rank > bestRank:
			best, bestRank, several = p, rank, false
		case rank == bestRank:
			several = true
		}
	}
	if best != nil && !several {
		t.marry(c, best)
	}
}

// couldBe reports whether nothing speaks against p being c's other end.
func (c *Conn) couldBe(p *Conn, fresh bool) bool {
	switch {
	case p == c, p.gone(), !p.free(c), c.strangers(p):
		return false
	case fresh: // nobody can have heard of c yet; but both may open at once
		return p.State == tcp.SynSent
	case c.settled && p.OlderThanTrace() && !p.iss.known: // c began in the trace, p before
		return false
	}
	return true
}

// rank says how much speaks for p: the numbers, the namespace, that it is a socket.
func (c *Conn) rank(p *Conn) (n int) {
	switch {
	case c.iss.same(p.irs) || c.irs.same(p.iss):
		n = 6
	case p.Netns == c.Netns:
		n = 4
	default:
		n = 2
	}
	if p.Socket {
		n++
	}
	return n
}

// free reports whether by may become p's other end: it has none, a dead one, or
// one that packets alone tell of while by is a socket.
func (p *Conn) free(by *Conn) bool {
	return p.Peer == nil || p.Peer.gone() || by.Socket && !p.Peer.Socket
}

// marry makes c and p each other's other end, and their numbers one.
func (t *Table) marry(c, p *Conn) {
	if c.Peer == p {
		return
	}
	for _, x := range [...]*Conn{c, p} {
		if x.Peer != nil {
			x.Peer.Peer = nil
		}
	}
	c.Peer, p.Peer = p, c
	c.guessed, p.guessed = false, false
	if c.Role == RoleUnknown {
		c.Role = p.Role.opposite()
	} else if p.Role == RoleUnknown {
		p.Role = c.Role.opposite()
	}
	t.unite(c, p)
}

// unite gives two ends the number that was there first.
func (t *Table) unite(c, p *Conn) {
	switch {
	case c.Number == p.Number:
	case c.Number == 0:
		c.Number = p.Number
	case p.Number == 0:
		p.Number = c.Number
	case c.Number < p.Number:
		p.Number = c.Number
		t.united++
	default:
		c.Number = p.Number
		t.united++
	}
}

// part takes c and its other end for two conversations after all. The one that
// came later gets another number.
func (t *Table) part(c *Conn) {
	p := c.Peer
	c.Peer, p.Peer = nil, nil
	if c.Number != p.Number {
		return
	}
	if c.Opened < p.Opened {
		c = p
	}
	c.Number = 0
}
