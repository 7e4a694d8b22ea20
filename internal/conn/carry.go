package conn

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tcpstory/internal/tcp"
)

// Carry gives f, as events for another table, all that this one knows: names first,
// then every end that can still be selected, the ended ones before the open ones.
// A table that is told these first tells the rest of the story as this one does. It
// is called between two events, each with all that Tell says of it. Events are valid
// during the call only. The first error of f is returned at once.
func (t *Table) Carry(f func(*tcp.Event) error) error {
	for _, inum := range slices.Sorted(maps.Keys(t.places.namespaces)) {
		if p := t.places.namespaces[inum]; *p != (tcp.Place{}) {
			if err := f(&tcp.Event{Kind: tcp.KindPlace, Time: t.clock, Netns: inum, Place: p}); err != nil {
				return err
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.places.cgroups)) {
		if p := t.places.cgroups[id]; *p != (tcp.Place{}) {
			if err := f(&tcp.Event{Kind: tcp.KindPlace, Time: t.clock, Cgroup: id, Place: p}); err != nil {
				return err
			}
		}
	}
	if err := f(t.itself()); err != nil {
		return err
	}
	ids := t.carried()
	var known tcp.Known
	var ev tcp.Event
	for _, c := range slices.SortedFunc(maps.Keys(ids), func(a, b *Conn) int { return cmp.Compare(ids[a], ids[b]) }) {
		c.carry(&known, &ev, ids)
		if ev.Time = t.clock; c.Cookie != 0 && t.cookies.Find(c.Cookie) == c {
			known.Marks |= tcp.MarkCookie
		}
		if err := f(&ev); err != nil {
			return err
		}
	}
	return nil
}

// itself is what the table knows besides its connections.
func (t *Table) itself() *tcp.Event {
	known := &tcp.Known{Number: t.numbered, Since: t.gap, Due: t.wheel.base}
	if t.missed {
		known.Marks = tcp.MarkMissed
	}
	return &tcp.Event{Kind: tcp.KindKnown, Time: t.clock, Known: known, Timer: tcp.Timer{Tick: time.Duration(t.wheel.tick), Now: t.wheel.count}}
}

// Before is what the table knew before a time besides its connections, as an event for
// another one that is told what happened since, and not all of what happened before.
func (t *Table) Before(at int64) *tcp.Event {
	ev := t.itself()
	ev.Time, ev.Known.Number, ev.Known.Marks = at, 0, tcp.MarkMissed
	if ev.Known.Since >= at {
		ev.Known.Since = 0 // that gap is told
	}
	return ev
}

// carried numbers the ends that are told, in the order in which they are forgotten.
func (t *Table) carried() map[*Conn]uint32 {
	ids := make(map[*Conn]uint32, t.Len())
	for _, l := range [...]*list{&t.ended, &t.dues.waiting, &t.dues.others, &t.loose, &t.live} {
		for c := l.first; c != nil; c = c.next {
			if !c.PassedOver() {
				ids[c] = uint32(len(ids) + 1)
			}
		}
	}
	return ids
}

// carry writes c down.
func (c *Conn) carry(k *tcp.Known, ev *tcp.Event, ids map[*Conn]uint32) {
	*ev = tcp.Event{
		Kind: tcp.KindKnown, Cookie: c.Cookie, Netns: c.Netns, Flow: c.Flow, New: c.State, Cgroup: c.Cgroup,
		Task: c.Task, Via: c.Via, ISN: c.iss.seq, PeerISN: c.irs.seq, Expects: c.expects, Known: k,
	}
	*k = tcp.Known{
		ID: ids[c], Peer: ids[c.Peer], Before: ids[c.predecessor()], Suitor: ids[c.suitor], Number: c.Number,
		Role: uint8(c.Role), Why: uint8(c.why),
		Since: c.Since, Opened: c.Opened, Closed: c.Closed, Last: c.last, Due: c.due, Armed: c.armed, Undo: c.undo, Undone: c.undone,
		Stamp: c.stamp, OutEnd: c.out.end, InEnd: c.in.end, Sent: c.sent, Opener: c.Opener, Alias: c.Alias,
	}
	for _, m := range c.marks() {
		if *m.is {
			k.Marks |= m.mark
		}
	}
	if !c.OlderThanTrace() {
		k.Marks &^= tcp.MarkOlder
	}
	if c.tuple.linked {
		k.Marks |= tcp.MarkTuple
	}
	if c.wire.linked {
		k.Marks |= tcp.MarkAlias
	}
}

// mark is one that is a field of a Conn.
type mark struct {
	mark tcp.Marks
	is   *bool
}

func (c *Conn) marks() [16]mark {
	return [...]mark{
		{tcp.MarkSocket, &c.Socket}, {tcp.MarkOlder, &c.Older}, {tcp.MarkISN, &c.iss.known}, {tcp.MarkPeerISN, &c.irs.known},
		{tcp.MarkSettled, &c.settled}, {tcp.MarkGuessed, &c.guessed}, {tcp.MarkUnsent, &c.unsent},
		{tcp.MarkStands, &c.stands}, {tcp.MarkEmbryo, &c.embryo}, {tcp.MarkAnswered, &c.answered}, {tcp.MarkHanded, &c.handed},
		{tcp.MarkRFC1337, &c.rfc1337}, {tcp.MarkOut, &c.out.sent}, {tcp.MarkOutAcked, &c.out.acked},
		{tcp.MarkIn, &c.in.sent}, {tcp.MarkInAcked, &c.in.acked},
	}
}

// restoring finds the ends that were told by their IDs, while they are told: until the
// first event of another kind.
type restoring struct {
	ends    map[uint32]*Conn
	suitors map[uint32]*Conn // who waits for an end that is still to be told
}

func newRestoring() restoring {
	return restoring{ends: map[uint32]*Conn{}, suitors: map[uint32]*Conn{}}
}

// restore takes in what another table has carried over.
func (t *Table) restore(ev *tcp.Event) {
	k := ev.Known
	switch {
	case k == nil:
		return
	case k.ID == 0:
		t.numbered, t.gap, t.missed = max(t.numbered, k.Number), max(t.gap, k.Since), t.missed || k.Marks.Has(tcp.MarkMissed)
		if ev.Timer.Tick != 0 && t.wheel.tick == 0 {
			t.wheel = wheel{tick: int64(ev.Timer.Tick), count: ev.Timer.Now, base: k.Due}
		}
		t.back = newRestoring()
		return
	case t.back.ends == nil || k.Marks.Has(tcp.MarkCookie) && t.cookies.Find(ev.Cookie) != nil:
		return // files behind one another: it is known already
	}
	if c, _ := t.index.find(ev.Netns, ev.Flow); c != nil && k.Marks.Has(tcp.MarkTuple) && !c.gone() {
		return // likewise
	}
	c := t.create(ev)
	c.uncarry(k, ev)
	c.Home = at(t.places.cgroups, ev.Cgroup)
	t.findable(c, k)
	t.place(c, k)
	t.relate(c, k)
}

// uncarry is carry's reverse.
func (c *Conn) uncarry(k *tcp.Known, ev *tcp.Event) {
	c.Number, c.Cookie, c.Flow, c.State, c.Cgroup, c.Task, c.Via = k.Number, ev.Cookie, ev.Flow, ev.New, ev.Cgroup, ev.Task, ev.Via
	c.Since, c.Opened, c.Closed, c.last = k.Since, k.Opened, k.Closed, k.Last
	c.armed, c.undo, c.undone = k.Armed, k.Undo, k.Undone
	c.stamp, c.out.end, c.in.end, c.sent, c.expects = k.Stamp, k.OutEnd, k.InEnd, k.Sent, ev.Expects
	c.Opener, c.Alias, c.iss.seq, c.irs.seq = k.Opener, k.Alias, ev.ISN, ev.PeerISN
	if int(k.Role) < len(roleNames) {
		c.Role = Role(k.Role)
	}
	for _, m := range c.marks() {
		*m.is = k.Marks.Has(m.mark)
	}
	c.Resumed = true
}

// findable puts c where events find it.
func (t *Table) findable(c *Conn, k *tcp.Known) {
	if k.Marks.Has(tcp.MarkCookie) {
		t.cookies.Put(c.Cookie, c)
	}
	if k.Marks.Has(tcp.MarkTuple) {
		t.index.link(&c.tuple, c, c.Flow)
	}
	if k.Marks.Has(tcp.MarkAlias) {
		t.index.link(&c.wire, c, c.Alias)
	}
	if c.Role == RoleListener && !c.gone() {
		t.doors.open(c)
	}
}

// place puts c into its list, where it is the latest.
func (t *Table) place(c *Conn, k *tcp.Known) {
	c.stands = c.stands && int(k.Why) < len(patience)
	switch {
	case !c.gone():
		t.touch(c, c.last)
	case !c.stands:
		t.ended.append(c)
	}
	if c.stands {
		t.arm(c, k.Due, Ground(k.Why))
	}
}

// relate joins c to those that were told before, and remembers it for those to come.
func (t *Table) relate(c *Conn, k *tcp.Known) {
	b := &t.back
	if p := b.ends[k.Peer]; p != nil && p.list != nil && p.Peer == nil {
		c.Peer, p.Peer = p, c
	}
	if o := b.ends[k.Before]; o != nil && o.list != nil {
		c.before = o
	}
	if s := b.ends[k.Suitor]; s != nil && s.list != nil {
		c.suitor = s
	} else if k.Suitor > k.ID {
		b.suitors[k.Suitor] = c
	}
	if w := b.suitors[k.ID]; w != nil && w.list != nil {
		w.suitor = c
	}
	if syn, _, _ := c.call(); syn.known && c.shakesHands() || c.Role == RoleClient && c.Peer == nil {
		t.callers.add(c, syn.seq)
	}
	b.ends[k.ID] = c
}
