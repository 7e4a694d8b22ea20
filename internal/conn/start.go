package conn

import "tcpstory/internal/tcp"

// start is where one direction's sequence numbers begin: the number of its SYN
// (RFC 9293's ISS and IRS).
type start struct {
	seq   uint32
	known bool
}

func (s *start) set(seq uint32) { *s = start{seq, true} }

func (s *start) learn(seq uint32) {
	if !s.known {
		s.set(seq)
	}
}

func (s start) same(o start) bool { return s.known && o.known && s.seq == o.seq }

// slack is how far the two ends may seem to disagree about one direction. What
// goes before the handshake's end (TCP Fast Open: data on the SYN, an answer to
// it) lies in front of what the kernel calls the first number.
const slack = 1 << 16

func (s start) apart(o start) bool {
	return s.known && o.known && s.seq-o.seq+slack > 2*slack
}

// learnStarts takes what the kernel says of a connection's first numbers, at
// →ESTABLISHED. What its SYNs told is exact and stays; where both cannot be true,
// those were not its SYNs.
func (c *Conn) learnStarts(ev *tcp.Event) {
	if !tellsStarts(ev) {
		return
	}
	c.settled = true
	for _, l := range [...]struct {
		to *start
		at uint32
	}{{&c.iss, ev.ISN - 1}, {&c.irs, ev.PeerISN - 1}} {
		if !l.to.known || l.to.apart(start{l.at, true}) {
			l.to.set(l.at)
		}
	}
}

func tellsStarts(ev *tcp.Event) bool {
	return ev.Kind == tcp.KindState && (ev.ISN != 0 || ev.PeerISN != 0)
}

// shakesHands reports whether a SYN on c's tuple can be c's own: none is any more
// once its socket is connected.
func (c *Conn) shakesHands() bool {
	switch c.State {
	case tcp.StateUnknown, tcp.SynSent, tcp.SynRecv, tcp.NewSynRecv:
		return true
	}
	return !c.Socket
}

// synStarts learns from a SYN or SYN-ACK, until the kernel has spoken. Of what
// this end sends the latest holds: a socket may connect again, and a server that
// forgot a half-open connection answers the next SYN by another number. Of what it
// receives the first SYN holds, and the latest SYN-ACK that answers its own SYN:
// others may be anybody's.
func (c *Conn) synStarts(seg *tcp.Segment, outgoing bool) {
	ack := seg.Flags.Has(tcp.ACK)
	switch {
	case c.settled:
	case outgoing && ack:
		c.iss.set(seg.Seq)
		c.irs.learn(seg.Ack - 1)
	case outgoing:
		c.iss.set(seg.Seq)
	case !ack:
		c.irs.learn(seg.Seq)
	case !c.iss.apart(start{seg.Ack - 1, true}):
		c.irs.set(seg.Seq)
		c.iss.learn(seg.Ack - 1)
	}
}

// twins reports the proof that c and p are the ends of one conversation: what one
// sends first is what the other receives first, both ways. Address translation
// leaves these 64 bits alone; the kernel chooses each half at random.
func (c *Conn) twins(p *Conn) bool { return c.iss.same(p.irs) && c.irs.same(p.iss) }

// differs reports the proof that o, of the same tuple, was another use of it.
func (c *Conn) differs(o *Conn) bool { return c.iss.apart(o.iss) || c.irs.apart(o.irs) }

// unlike reports the proof that o is no sighting of the same conversation, from
// this side or from the other.
func (c *Conn) unlike(o *Conn) bool {
	if c.Flow == o.Flow {
		return c.differs(o)
	}
	return c.strangers(o)
}

// strangers reports the proof of the contrary. A SYN proxy, which passes on the
// client's number and puts its own in place of the server's, leaves one direction
// and the tuple: that is one conversation still.
func (c *Conn) strangers(p *Conn) bool {
	if !c.iss.apart(p.irs) && !c.irs.apart(p.iss) {
		return false
	}
	return !c.iss.same(p.irs) && !c.irs.same(p.iss) || c.Flow != p.Flow.Reverse()
}
