package conn

import "tcpstory/internal/tcp"

// small is what stands for an end of a connection before it has a socket and
// after it has had one: the request socket of a half-open connection
// (Conn.State is SynRecv), or a timewait minisock (FinWait2, TimeWait). No
// tracepoint tells of their transitions; the table infers them.
type small struct {
	stands   bool   // there is one
	embryo   bool   // SYN_RECV began with the request socket: its beginning is inferred
	answered bool   // half-open: the third ACK has come, but the connection was not opened yet
	handed   bool   // the kernel may have handed over to a minisock; it did not say
	rfc1337  bool   // a RST does not end TIME_WAIT
	why      Ground // what its end will follow from
	expects  uint32 // the next sequence number of the other end; 0 unknown
	sent     uint32 // half-open: what the third ACK has to acknowledge; 0 unknown

	due   int64 // when its end is told, ns since 1970
	armed int64 // when due was set
	place int32 // in the heap, counted from 1; 0: not there

	undone uint32 // the last segment that has moved due,
	undo   int64  // and what due was before; 0: none has

	before *Conn // had the tuple, and may be in TIME_WAIT still: see predecessor
}

// isHalfOpen reports a request socket, isMinisock a timewait minisock.
func (c *Conn) isHalfOpen() bool { return c.stands && c.State == tcp.SynRecv }
func (c *Conn) isMinisock() bool { return c.stands && c.State != tcp.SynRecv }

// follow sets when the end of what stands for c is told: some time after it has
// come, and what it follows from.
func (t *Table) follow(c *Conn, now, end int64, why Ground) {
	c.stands, c.armed, c.undo = true, now, 0
	t.arm(c, end+patience[why], why)
}

// changes is follow for a segment that the kernel may yet throw away.
func (t *Table) changes(c *Conn, ev *tcp.Event, end int64, why Ground) {
	before := c.due
	t.follow(c, ev.Time, end, why)
	c.undo, c.undone = before, ev.Packet.Seq
}

// thrownAway takes back what a segment has changed that came no further than a
// firewall. Reasons of TCP's own come behind the small sockets.
func (t *Table) thrownAway(c *Conn, ev *tcp.Event) {
	if !c.stands || c.undo == 0 || ev.Packet.Dir != tcp.DirIn || ev.Packet.Seq != c.undone || !beforeTCP[ev.Reason] {
		return
	}
	why := GroundTimer
	if c.isHalfOpen() {
		why, c.answered = GroundNoSynAck, false
	}
	t.follow(c, c.armed, c.undo-patience[why], why)
}

// beforeTCP are the reasons for which the kernel drops a segment that was seen to
// arrive before TCP has looked at it.
var beforeTCP = map[string]bool{
	"NETFILTER_DROP": true, "TC_INGRESS": true, "XDP": true, "XFRM_POLICY": true,
	"IP_CSUM": true, "IP_INHDR": true, "IP_RPFILTER": true, "IP_LOCALNET": true, "TCP_CSUM": true, "PKT_TOO_SMALL": true,
	"CPU_BACKLOG": true,
}

// supersede ends what is small in favour of a transition that the kernel traces:
// the child of a half-open connection, or a socket that the walk over what exists
// has met in its minisock, after which the ring tells how it came to that.
func (t *Table) supersede(c *Conn, now int64) {
	embryo := c.isHalfOpen() && c.Since != 0
	if c.isMinisock() {
		c.Closed, c.Since = 0, 0
	}
	t.vanish(c)
	c.embryo = embryo
	t.touch(c, now)
}

// vanish forgets what stands for c.
func (t *Table) vanish(c *Conn) {
	t.disarm(c)
	c.small = small{}
}

// adopt gives c, which has a cookie, what packets alone had told of o.
func (t *Table) adopt(c, o *Conn) {
	if !o.stands || c.stands {
		return
	}
	c.State, c.Since = o.State, o.Since
	t.disarm(o)
	c.small, o.stands = o.small, false
	t.arm(c, c.due, c.why)
}

// succeed is for a connection in TIME_WAIT whose tuple c takes: a socket cannot
// have it at the same time; of packets it is not known yet.
func (t *Table) succeed(older, c *Conn) {
	switch {
	case older == nil || older == c || !older.isMinisock():
	case c.Socket:
		t.ends(older, c.Opened, GroundReuse)
	default:
		c.before = older
	}
}

// predecessor is whom c has the tuple from, if that one is in TIME_WAIT; nil: it is
// not, or was forgotten, and its Conn may be another connection's by now.
func (c *Conn) predecessor() *Conn {
	b := c.before
	if b == nil || b == c || !b.isMinisock() || b.Flow != c.Flow || b.Netns != c.Netns {
		return nil
	}
	return b
}
