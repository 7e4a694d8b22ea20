package conn

import (
	"net/netip"
	"time"

	"tcpstory/internal/tcp"
)

// kernel places everything but packets and gaps.
func (t *Table) kernel(s *Step) {
	ev := s.Event
	t.wheel.learn(ev.Time, ev.Timer)
	if ev.Kind == tcp.KindSocket && t.cookies.Find(ev.Cookie) != nil {
		return // the ring has told of it already
	}
	c := t.socketOf(ev)
	if c == nil {
		s.Flow = ev.Flow
		s.Selected = t.matches(ev.Flow)
		return
	}
	c = t.requester(c, ev)
	t.touch(c, ev.Time)
	t.handsOn = t.opt.Whose != nil && ev.Task.Known() && t.opt.Whose(c)
	news := t.learnProcess(c, ev)
	switch ev.Kind {
	case tcp.KindState:
		t.transition(s, c)
	case tcp.KindSocket:
		t.existed(c, ev)
		t.startsSmall(c, ev)
		t.remembers(c, ev)
	default:
		if c.State == tcp.StateUnknown && c.Socket {
			c.State = ev.New
		}
		t.sign(c, ev)
	}
	if tellsStarts(ev) {
		t.meet(c, ev)
	}
	s.Conn, s.Flow = c, c.Flow
	s.Selected = t.selects(c) && news
}

// sign is for what tells something of a small socket.
func (t *Table) sign(c *Conn, ev *tcp.Event) {
	switch ev.Kind {
	case tcp.KindSynAckAgain:
		t.synAckAgain(c, ev)
	case tcp.KindSendReset:
		t.resetSent(c, ev)
	case tcp.KindDrop:
		t.thrownAway(c, ev)
	}
}

// socketOf finds or makes the connection of a kernel event; nil if the event does
// not say enough.
func (t *Table) socketOf(ev *tcp.Event) *Conn {
	if ev.Kind == tcp.KindConnectFailed {
		return t.attempt(ev)
	}
	return t.socket(ev)
}

func (t *Table) socket(ev *tcp.Event) *Conn {
	if ev.Cookie != 0 {
		if c := t.cookies.Find(ev.Cookie); c != nil && (c.Netns == ev.Netns || ev.Netns == 0) {
			return t.sameSocket(c, ev)
		} else if c == nil {
			return t.newSocket(ev)
		}
	}
	return t.byTuple(ev)
}

// sameSocket returns c, or a new connection where the same socket, or a new one
// with the same key, begins again.
func (t *Table) sameSocket(c *Conn, ev *tcp.Event) *Conn {
	if begins(ev) && c.State != tcp.StateUnknown && !c.grows(ev) && !c.isHalfOpen() {
		t.end(c, ev.Time)
		t.cookies.Remove(c.Cookie, c)
		return t.newSocket(ev)
	}
	c.learnStarts(ev)
	t.learn(c, ev.Flow, false)
	return c
}

// grows reports the child of a request socket that somebody has asked for its
// cookie (ss does): the child inherits it.
func (c *Conn) grows(ev *tcp.Event) bool {
	return c.State == tcp.NewSynRecv && ev.Old == tcp.Listen
}

func (t *Table) newSocket(ev *tcp.Event) *Conn {
	c := t.create(ev)
	c.Socket = true
	c.Older = t.isOlder(ev)
	c.Cookie = ev.Cookie
	t.cookies.Put(c.Cookie, c)
	c.learnStarts(ev)
	t.learn(c, ev.Flow, opens(ev))
	return c
}

// byTuple serves events without a cookie: resets and drops without a socket,
// and sockets of kernels that give none.
func (t *Table) byTuple(ev *tcp.Event) *Conn {
	if !complete(ev.Flow) {
		return nil
	}
	c, _ := t.index.find(ev.Netns, ev.Flow)
	state := ev.Kind == tcp.KindState
	switch {
	case state && (c == nil || !c.Socket || begins(ev)):
		return t.newSocket(ev)
	case c != nil:
		c.learnStarts(ev)
		return c
	case !t.matches(ev.Flow):
		return nil
	}
	c = t.create(ev)
	t.learn(c, ev.Flow, false)
	return c
}

// begins reports the first transition of a socket's life.
func begins(ev *tcp.Event) bool {
	return opens(ev) || ev.Kind == tcp.KindState &&
		(ev.Old == tcp.Close && ev.New == tcp.Listen || ev.Old == tcp.Listen && ev.New == tcp.SynRecv)
}

// opens reports the active open: no packet of the connection can be older.
func opens(ev *tcp.Event) bool {
	return ev.Kind == tcp.KindState && ev.Old == tcp.Close && ev.New == tcp.SynSent
}

// transition moves c to its new state and tells how long it was in the old one.
func (t *Table) transition(s *Step, c *Conn) {
	ev := s.Event
	if c.stands {
		t.supersede(c, ev.Time)
	}
	since := c.Since
	if c.State == ev.Old && since != 0 {
		s.InStateKnown = true
		s.InState = time.Duration(max(0, ev.Time-since)) // ring order is not quite time order
		s.HalfOpen = c.embryo
	}
	if ev.Old != ev.New {
		c.Since = ev.Time
	} else if !s.InStateKnown {
		c.Since = 0
	}
	switch {
	case opens(ev):
		c.learnRole(RoleClient)
	case ev.New == tcp.Listen:
		c.Role = RoleListener
		t.doors.open(c)
	case ev.Old == tcp.Listen && ev.New == tcp.Close:
		c.Role = RoleListener
	case ev.Old == tcp.Listen && ev.New == tcp.SynRecv:
		c.learnRole(RoleServer)
		if c.Since = 0; c.embryo { // the child is made at the third ACK; SYN_RECV began with the request socket
			c.Since = since
		}
	}
	c.embryo = c.embryo && ev.New == tcp.SynRecv
	c.State = ev.New
	if ev.New == tcp.Established {
		t.await(c, ev.Time)
	}
	if ev.New == tcp.Close {
		s.Unsent = c.endsUnsent(ev)
		t.closes(s, c)
	}
}

// learn completes c's tuple when f does. fresh: the connection begins here, so
// that whatever has the tuple now is an older one.
func (t *Table) learn(c *Conn, f tcp.Flow, fresh bool) {
	switch {
	case c.tuple.linked || complete(c.Flow):
		return
	case !complete(f):
		if !c.Flow.Local.IsValid() || f.Local.Port() != 0 {
			c.Flow = f
		}
		return
	}
	c.Flow = f
	if fresh {
		t.forgetStale(f)
	}
	if older := t.index.link(&c.tuple, c, f); older != nil {
		t.replace(older, c, fresh)
	}
	t.pair(c, f, fresh)
}

// replace ends an older connection whose tuple c has now.
func (t *Table) replace(older, c *Conn, fresh bool) {
	if older.Socket {
		if older.isHalfOpen() {
			t.ends(older, c.Opened, GroundReuse)
		}
		t.end(older, max(c.Opened, older.last)) // its CLOSE was missed, or is to come
		t.succeed(older, c)
		return
	}
	t.succeed(older.predecessor(), c)
	if !fresh {
		t.inherit(c, older)
	}
	t.drop(older)
}

// inherit makes c, a socket, of what its packets have told before.
func (t *Table) inherit(c, o *Conn) {
	if c.differs(o) {
		return
	}
	c.Number, c.Role, c.Opened, c.Resumed = o.Number, o.Role, o.Opened, c.Resumed || o.Resumed
	c.out, c.in, c.stamp = o.out, o.in, o.stamp
	if o.iss.known {
		c.iss = o.iss
	}
	if o.irs.known {
		c.irs = o.irs
	}
	if p := o.Peer; p != nil {
		guessed := p.guessed
		t.marry(c, p)
		p.guessed = guessed
	}
	if o.wire.linked {
		f := o.Alias
		t.index.unlink(&o.wire)
		t.alias(c, f)
	}
	t.adopt(c, o)
}

// forgetStale drops what packets alone told of an earlier use of the tuple.
func (t *Table) forgetStale(f tcp.Flow) {
	for _, f := range [...]tcp.Flow{f, f.Reverse()} {
		for n := t.index[keyOf(f)]; n != nil; {
			next := n.next
			if !n.conn.Socket {
				t.drop(n.conn)
			}
			n = next
		}
	}
}

// openEnded turns the unspecified address, which a listener has, into an unknown
// one.
func openEnded(a netip.AddrPort) netip.AddrPort {
	if a.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.Addr{}, a.Port())
	}
	return a
}
