package conn

import "tcpstory/internal/tcp"

// callers remembers who sent a SYN lately, by its number: ends that opened a
// connection, and sightings of a SYN on its way through. It finds the other end
// where address translation hides it: sequence numbers pass through unchanged,
// unless somebody in between ends one connection and opens another (a proxy, a SYN
// proxy), and then there are two.
//
// It is a cache of fixed size: what is pushed out is found later, by better
// evidence, or not at all. Entries are never taken out. They are held against the
// Conn's own numbers, which a Conn that is used again does not have.
type callers [1 << callerBits][callerWays]caller

const (
	callerBits = 12
	callerWays = 4 // one cache line
)

type caller struct {
	seq  uint32
	conn *Conn
}

func (x *callers) of(seq uint32) *[callerWays]caller {
	return &x[seq*2654435769>>(32-callerBits)] // the golden ratio: numbers of one moment lie close together
}

// add remembers c by the number of its SYN, in front of the others.
func (x *callers) add(c *Conn, seq uint32) {
	set, e := x.of(seq), caller{seq, c}
	for i := range set {
		if set[i] == e {
			return
		}
	}
	copy(set[1:], set[:callerWays-1])
	set[0] = e
}

// find returns the latest caller with that number, other than b, that still waits
// for an answer or, where twin is set, is proven to be b's other end; nil: none.
func (x *callers) find(seq uint32, b *Conn, twin bool) *Conn {
	for _, e := range x.of(seq) {
		if e.seq != seq || e.conn == nil || e.conn == b {
			continue
		}
		syn, _, answered := e.conn.call()
		if syn.same(start{seq, true}) && (twin && b.twins(e.conn) || !twin && !answered) {
			return e.conn
		}
	}
	return nil
}

// call describes the SYN that c sent, or passed on: its number, its tuple on the
// wire, and whether it was answered.
func (c *Conn) call() (syn start, wire tcp.Flow, answered bool) {
	switch {
	case !c.Socket:
		return c.irs, c.Flow.Reverse(), c.iss.known
	case c.wire.linked:
		return c.iss, c.Alias, c.irs.known
	}
	return c.iss, c.Flow, c.irs.known
}

// handshake looks for c's other end when its SYN or SYN-ACK is seen.
//
// What proves that a SYN here is the one that left there? Its number alone, 32
// bits, does not: a busy host could be wrong once a day. So one more thing must
// fit, while the caller still waits for an answer:
//
//   - the time stamp (TSval), to which Linux adds 32 bits of its own for each pair
//     of addresses: no translation changes it, and it tells even where both ends
//     are translated. Where both SYNs have one, it must be the same.
//   - without time stamps one end, address and port: where only the source or only
//     the destination is translated, the other is left.
//
// A SYN-ACK tells the same of a SYN that was not seen here: it acknowledges its
// number and echoes its stamp. Where nothing more fits, c is the caller's suitor
// until the SYN-ACK arrives there. Then the numbers of both directions, 64 bits,
// must fit; and as these, or at →ESTABLISHED the kernel's own, become known, they
// also take back what was a mistake.
func (t *Table) handshake(c *Conn, p *tcp.Packet, outgoing bool) {
	if c.Peer != nil && c.strangers(c.Peer) {
		t.part(c)
	}
	if c.Peer != nil && (c.Peer.Socket || !c.Socket) {
		return
	}
	value, echo := p.Timestamps()
	switch answer := p.Flags.Has(tcp.ACK); {
	case outgoing && !answer && c.Socket:
		c.stamp = value
		t.callers.add(c, c.iss.seq)
	case outgoing && !answer:
		t.reached(c, p.Seq, p.Flow, value)
	case outgoing:
		t.reached(c, p.Ack-1, p.Flow.Reverse(), echo)
	case !answer:
		if !t.reached(c, p.Seq, p.Flow, value) && !c.Socket {
			c.stamp = value
			t.callers.add(c, p.Seq)
		}
	case c.suitor != nil && c.twins(c.suitor):
		t.join(c, c.suitor)
	}
}

// reached joins b, which a SYN reached, to its caller, if there is one that still
// waits, and enough fits.
func (t *Table) reached(b *Conn, seq uint32, wire tcp.Flow, stamp uint32) bool {
	c := t.callers.find(seq, b, false)
	if c == nil {
		return false
	}
	_, left, _ := c.call()
	stamped := c.stamp != 0 && stamp != 0
	switch {
	case stamped && c.stamp == stamp:
		t.join(c, b)
	case !stamped && (left.Local == wire.Local || left.Remote == wire.Remote):
		t.join(c, b)
		c.guessed = c.guessed || c.Peer == b
	default:
		c.suitor = b
	}
	return true
}

// join makes c, who called, and b one conversation. b is c's other end unless it
// is a sighting of the SYN on its way out again, on a host that passes it on.
func (t *Table) join(c, b *Conn) {
	if c.Socket && (b.Socket || b.Role == RoleServer) && c.free(b) && b.free(c) {
		t.marry(c, b)
		return
	}
	t.unite(c, b)
}

// meet looks for c's other end when the kernel tells c's first numbers, at
// →ESTABLISHED: an end that was called looks for who called. The caller comes
// first: its third ACK makes the other end.
func (t *Table) meet(c *Conn, ev *tcp.Event) {
	if p := c.Peer; p != nil && (c.strangers(p) || (c.guessed || p.guessed) && !c.twins(p)) {
		t.part(c)
	}
	if c.Peer != nil && c.Peer.Socket && c.twins(c.Peer) {
		return
	}
	bothOpen := c.Role == RoleClient && ev.Old == tcp.SynRecv
	if (c.Role != RoleClient || bothOpen) && t.recall(c) || c.Role == RoleServer {
		return
	}
	t.callers.add(c, c.iss.seq)
}

// recall makes one of c and whoever is proven to have called it.
func (t *Table) recall(c *Conn) bool {
	p := t.callers.find(c.irs.seq, c, true)
	if p != nil {
		t.marry(p, c)
	}
	return p != nil
}
