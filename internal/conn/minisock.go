package conn

import (
	"time"

	"tcpstory/internal/tcp"
)

// timeWaitLen is how long TIME_WAIT lasts (TCP_TIMEWAIT_LEN), and an orphan's
// FIN_WAIT2 unless somebody has set it (net.ipv4.tcp_fin_timeout, TCP_LINGER2).
const timeWaitLen = 60 * time.Second

// finWait2Window is what a minisock in FIN_WAIT2 certainly takes for its window.
const finWait2Window = 1 << 16

// closes is for a →CLOSE.
func (t *Table) closes(s *Step, c *Conn) {
	ev := s.Event
	s.Remains = c.remains(ev)
	t.end(c, ev.Time)
	if s.Remains != tcp.TimeWait && s.Remains != tcp.FinWait2 {
		return
	}
	c.State = s.Remains
	if c.State == ev.Old { // FIN_WAIT2 goes on
		if c.Since = 0; s.InStateKnown {
			c.Since = ev.Time - int64(s.InState)
		}
	}
	t.standsIn(c, ev)
}

// remains is what the kernel has left of a connection whose socket it closes. It
// is told with the event; where it is not, packets tell: TIME_WAIT is certain when
// both FINs are acknowledged. The peer's is only acknowledged when it was taken in
// order, and that ACK leaves before the hand-over is traced.
func (c *Conn) remains(ev *tcp.Event) tcp.State {
	switch {
	case ev.Minisock != tcp.StateUnknown:
		return ev.Minisock
	case !handsOver(ev):
		return tcp.StateUnknown
	case c.in.acked && c.out.acked:
		return tcp.TimeWait
	}
	c.handed = ev.Old == tcp.FinWait2
	return tcp.StateUnknown
}

// handsOver reports whether a →CLOSE is the hand-over to a timewait minisock,
// which waits for the peer's FIN first where the socket was an orphan in
// FIN_WAIT2. Nothing else leads to CLOSE from these states without an error or a
// process that aborts.
func handsOver(ev *tcp.Event) bool {
	return (ev.Old == tcp.FinWait2 || ev.Old == tcp.Closing) && ev.Errno == 0 && !ev.Task.Known()
}

// standsIn follows c's minisock from an event on that tells of it.
func (t *Table) standsIn(c *Conn, ev *tcp.Event) {
	if !t.selects(c) {
		return
	}
	c.before = nil // it was there before c had a socket
	if c.expects, c.rfc1337 = ev.Expects, ev.RFC1337; c.expects == 0 {
		c.expects = c.in.end
	}
	end := t.wheel.fires(ev.Timer)
	if end == 0 {
		end = t.wheel.after(ev.Time, timeWaitLen)
	}
	t.follow(c, ev.Time, end, GroundTimer)
}

// startsSmall is for a request socket or a minisock that existed when the trace
// began.
func (t *Table) startsSmall(c *Conn, ev *tcp.Event) {
	switch ev.New {
	case tcp.NewSynRecv:
		c.learnRole(RoleServer)
		c.State = tcp.SynRecv
		end, why := t.wheel.fires(ev.Timer), GroundNoSynAck
		if end == 0 {
			end, why = ev.Time+int64(unsure), GroundNone
		}
		t.follow(c, ev.Time, end, why)
	case tcp.TimeWait:
		if ev.Minisock == tcp.FinWait2 {
			c.State = ev.Minisock
		}
		t.end(c, ev.Time)
		t.standsIn(c, ev)
	}
}

// miniSays is for a segment that leaves c.
func (t *Table) miniSays(c *Conn, ev *tcp.Event) {
	switch {
	case !c.handed && (!c.stands || c.State != tcp.FinWait2):
	case ev.Packet.Flags.Has(tcp.RST):
		t.resetSent(c, ev)
	case c.in.acked && (c.out.acked || c.stands): // the peer's FIN has come, and was taken
		since := c.Since
		if c.handed {
			since = 0
		}
		c.handed, c.State, c.Since, c.expects = false, tcp.FinWait2, since, c.in.end
		t.infer(c, tcp.FinWait2, tcp.TimeWait, ev.Time, GroundFIN)
		t.follow(c, ev.Time, t.wheel.after(ev.Time, timeWaitLen), GroundTimer)
	}
}

// miniHears is for a segment that arrives at a minisock (tcp_timewait_state_process):
// a RST in its place ends it, and whatever acknowledges makes TIME_WAIT begin again.
func (t *Table) miniHears(c *Conn, ev *tcp.Event) {
	seg := &ev.Packet.Segment
	reset := seg.Flags.Has(tcp.RST)
	switch {
	case c.why == GroundReset:
	case c.State == tcp.FinWait2:
		if reset && seg.Seq-c.expects < finWait2Window {
			t.changes(c, ev, ev.Time, GroundReset)
		}
	case reset:
		if seg.Seq == c.expects && !c.rfc1337 {
			t.changes(c, ev, ev.Time, GroundReset)
		}
	case seg.Flags.Has(tcp.ACK):
		t.changes(c, ev, t.wheel.after(ev.Time, timeWaitLen), GroundTimer)
	}
}

// resetSent is for a RST that what stands for c answers with. A minisock in
// FIN_WAIT2 does so when data comes, a request socket when its SYN was repeated
// with another number, and both end with it.
func (t *Table) resetSent(c *Conn, ev *tcp.Event) {
	switch {
	case c.isHalfOpen() && ev.Kind == tcp.KindSendReset && ev.Reason == "INVALID_SYN",
		c.stands && c.State == tcp.FinWait2:
		t.ends(c, ev.Time, GroundResetSent)
	}
	c.handed = false
}
