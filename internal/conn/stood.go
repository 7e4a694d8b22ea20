package conn

import "tcpstory/internal/tcp"

// Then is how an end stood at an earlier time than now.
type Then struct {
	State  tcp.State
	Since  int64 // when it came to that, ns since 1970; 0 unknown
	Small  bool  // a request socket or a timewait minisock stood for it
	Embryo bool  // State is SynRecv, and began with the request socket

	Due int64  // Small: when its end was to be told,
	Why Ground // and what that would follow from
}

// Stands is how c stands now.
func (c *Conn) Stands() Then {
	return Then{State: c.State, Since: c.Since, Small: c.stands, Embryo: c.embryo, Due: c.due, Why: c.why}
}

// Stood writes down, for another table, how c stood at an earlier time, with what is
// true of then as well: tuples, first numbers, role, who opened it and when. That
// table is to be told what happened since. ids numbers the ends that it is told of.
// ev and k are overwritten; the event's time is for the caller to set.
func (c *Conn) Stood(then Then, ids map[*Conn]uint32, ev *tcp.Event, k *tcp.Known) {
	marks := tcp.MarkStands | tcp.MarkEmbryo | tcp.MarkUnsent | tcp.MarkHanded | tcp.MarkAnswered | bothAcked&^ackedIn(then.State)
	if then == c.Stands() {
		marks = tcp.MarkUnsent
	}
	c.carry(k, ev, ids)
	ev.Kind, ev.New = tcp.KindSocket, then.State
	k.Number, k.Since = 0, then.Since
	k.Marks &^= marks
	for _, m := range [...]mark{{tcp.MarkStands, &then.Small}, {tcp.MarkEmbryo, &then.Embryo}} {
		if *m.is {
			k.Marks |= m.mark
		}
	}
	k.Due, k.Why, k.Undo = 0, 0, 0
	switch {
	case !then.Small:
		return
	case then.State == tcp.SynRecv:
		ev.New = tcp.NewSynRecv
	default:
		ev.New, ev.Minisock = tcp.TimeWait, then.State
	}
	k.Due, k.Why = then.Due, uint8(then.Why)
}

// Over writes down, for another table, c that has ended before what that is to be told of
// happened: as Carry does it, but for its number. It is not said that it existed: nobody
// knows whether a socket in CLOSE still does. Otherwise it is as Stood.
func (t *Table) Over(c *Conn, ids map[*Conn]uint32, ev *tcp.Event, k *tcp.Known) {
	c.carry(k, ev, ids)
	if k.Number = 0; c.Cookie != 0 && t.cookies.Find(c.Cookie) == c {
		k.Marks |= tcp.MarkCookie
	}
}

const bothAcked = tcp.MarkOutAcked | tcp.MarkInAcked

// ackedIn are the FINs that were acknowledged before a state began. That one was sent
// is of no consequence before it was acknowledged.
func ackedIn(s tcp.State) tcp.Marks {
	switch s {
	case tcp.FinWait2:
		return tcp.MarkOutAcked
	case tcp.CloseWait, tcp.Closing, tcp.LastAck:
		return tcp.MarkInAcked
	case tcp.TimeWait:
		return bothAcked
	}
	return 0
}

// remembered are the marks that a socket which stood has from Known. Others follow
// from its state.
const remembered = tcp.MarkISN | tcp.MarkPeerISN | tcp.MarkSettled | tcp.MarkGuessed | tcp.MarkEmbryo | tcp.MarkAnswered | tcp.MarkRFC1337 |
	tcp.MarkOut | tcp.MarkIn | bothAcked

// remembers is for a socket of which more is known than that it stood.
func (t *Table) remembers(c *Conn, ev *tcp.Event) {
	k := ev.Known
	if k == nil {
		return
	}
	c.Witnessed, c.Since = !k.Marks.Has(tcp.MarkOlder), k.Since
	if k.Opened != 0 {
		c.Opened = k.Opened
	}
	if k.Opener.Known() {
		c.Opener = k.Opener
	}
	if int(k.Role) < len(roleNames) {
		c.learnRole(Role(k.Role))
	}
	c.stamp, c.out.end, c.in.end, c.iss.seq, c.irs.seq = k.Stamp, k.OutEnd, k.InEnd, ev.ISN, ev.PeerISN
	for _, m := range c.marks() {
		if remembered.Has(m.mark) {
			*m.is = k.Marks.Has(m.mark)
		}
	}
	if k.Marks.Has(tcp.MarkAlias) && complete(k.Alias) {
		c.Alias = k.Alias
		t.index.link(&c.wire, c, c.Alias)
	}
	if c.stands && k.Due != 0 && int(k.Why) < len(patience) {
		c.sent, c.expects, c.armed = k.Sent, ev.Expects, k.Armed
		t.arm(c, k.Due, Ground(k.Why))
	}
	if k.ID != 0 {
		if t.back.ends == nil {
			t.back = newRestoring()
		}
		t.relate(c, k)
	}
}
