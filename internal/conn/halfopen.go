package conn

import (
	"time"

	"tcpstory/internal/tcp"
)

// A half-open connection is a request socket of the listener. It comes with the
// SYN-ACK and goes with the third ACK, for which the kernel traces the child;
// with a RST; or when its timer has fired so often that it is not worth another
// SYN-ACK (reqsk_timer_handler): tcp_synack_retries times, fewer when the queue is
// crowded, and at once when the listener is closed. So that in all of these cases
// the end is known by the timer that fires and no SYN-ACK that follows.
const (
	firstTimeout = time.Second            // TCP_TIMEOUT_INIT
	seenAsAgain  = 100 * time.Millisecond // no request socket repeats its first SYN-ACK so soon
	halfWindow   = 1 << 16                // most that a SYN-ACK can offer
	unsure       = 10 * time.Minute       // how long another sign is waited for where silence proves nothing
)

// synAckLeft is for a SYN-ACK that a request socket sends.
func (t *Table) synAckLeft(c *Conn, ev *tcp.Event) {
	switch {
	case c.isHalfOpen(): // sent again, of which tcp_retransmit_synack tells
		return
	case c.Socket && !c.gone() && c.State != tcp.NewSynRecv: // the child was quicker
		return
	}
	if b := c.predecessor(); b != nil {
		t.ends(b, ev.Time, GroundReuse)
	}
	t.halfOpens(c, ev.Time, GroundSynAck)
	c.expects, c.sent = ev.Packet.Ack, ev.Packet.Seq+1
	t.follow(c, ev.Time, t.wheel.after(ev.Time, firstTimeout), GroundNoSynAck)
}

// synAckAgain is for tcp_retransmit_synack, which tells the request socket's next
// time-out. It comes right behind the SYN-ACK, if that is seen.
func (t *Table) synAckAgain(c *Conn, ev *tcp.Event) {
	switch {
	case c.isHalfOpen():
		if ev.Time-c.Since < int64(seenAsAgain) {
			c.Since = 0 // what seemed to be the first SYN-ACK was this one
		}
	case c.Socket && !c.gone():
		return // a child by TCP Fast Open
	default:
		t.halfOpens(c, ev.Time, GroundSynAckAgain)
		c.Since = 0
	}
	end := t.wheel.fires(ev.Timer)
	if end == 0 {
		end = t.wheel.after(ev.Time, firstTimeout<<min(ev.Count, 7))
	}
	c.answered = false
	t.follow(c, ev.Time, end, GroundNoSynAck)
}

// halfOpens infers a request socket.
func (t *Table) halfOpens(c *Conn, at int64, from Ground) {
	if c.gone() { // its end was inferred before its time
		c.Closed = 0
		t.touch(c, at)
	}
	c.learnRole(RoleServer)
	t.infer(c, tcp.Listen, tcp.SynRecv, at, from)
}

// requester is the connection that a repeated SYN-ACK is about: a new one, where
// the tuple was an ended connection's.
func (t *Table) requester(c *Conn, ev *tcp.Event) *Conn {
	if !c.gone() || ev.Kind != tcp.KindSynAckAgain {
		return c
	}
	n := t.create(ev)
	t.learn(n, ev.Flow, false)
	if b := n.predecessor(); b != nil {
		t.ends(b, ev.Time, GroundReuse)
	}
	return n
}

// miss is for lost events, when a repeated SYN-ACK may be among them.
func (t *Table) miss(ev *tcp.Event) {
	if ev.Cause == tcp.GapRingFull || ev.Hook == "tcp_retransmit_synack" {
		t.gap = ev.Time
	}
}

// halfHears is for a segment that arrives at a request socket (tcp_check_req).
func (t *Table) halfHears(c *Conn, ev *tcp.Event) {
	seg := &ev.Packet.Segment
	known := c.sent != 0
	switch {
	case c.why == GroundReset:
	case known && seg.Flags.Has(tcp.ACK) && seg.Ack != c.sent: // the listener's business
	case known && uint32(seg.Seq-c.expects) >= halfWindow:
	case seg.Flags.Has(tcp.RST):
		t.changes(c, ev, ev.Time, GroundReset)
	case seg.Flags.Has(tcp.ACK) && !seg.Flags.Has(tcp.SYN):
		c.answered = true
		c.undo, c.undone = c.due, seg.Seq
	}
}
