package diagnose

import (
	"cmp"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// settle is how long after a connection's end the last word about it is said:
// the kernel tells of a RST that close() sends, and of errors, behind →CLOSE.
const settle = 200 * time.Millisecond

// What is kept is bounded: of more, those that nobody waits for are forgotten, and
// while there are too many of the others, new ones are not taken in. Of what has no
// socket (a scan, a flood of SYNs) each has evidence, and there may be any number.
const (
	mostRecords  = 1 << 18 // of sockets
	mostNameless = 1 << 14 // of what has none
	roomEvery    = time.Second
)

// Options of an Engine. The zero value means the published limits.
type Options struct {
	Limits Limits
	// NoPackets: the story has no packets: what only they can tell is unknown.
	NoPackets bool
	// Crowd is given how many verdicts were like others told before; these are still
	// given to tell, and say so. nil: none is marked.
	Crowd func(*Crowd) error
}

// Engine makes verdicts. It is not safe for concurrent use.
type Engine struct {
	lim       Limits
	noPackets bool

	byCookie  conn.ByCookie[record]
	byFlow    map[flowKey]*record
	watched   agenda
	found     []Finding        // by the present look; kept for its room
	exam      exam             // likewise
	gone      []gone           // likewise
	room      [2]int64         // when room was made last, for sockets and for what has none
	missed    uint64           // what found no room
	now       int64            // the latest time that was told
	gap       int64            // when something was lost last
	lost      uint64           // and how much in all, events
	answering map[address]bool // servers that are known to answer requests
	listening map[address]bool // listeners, each in its namespace: a process's
	stacks    map[uint32]*stack
	piles     map[pileKey]*pile
	crowds    crowds

	free     *record
	freeFile *dossier
	tell     func(*Verdict) error
	err      error
}

// flowKey is how an end without a cookie is known.
type flowKey struct {
	netns uint32
	flow  tcp.Flow
}

// New returns an Engine that gives its verdicts to tell, which must not keep them.
// The first error of tell is returned by the call during which it happened.
func New(o Options, tell func(*Verdict) error) *Engine {
	return &Engine{
		lim: o.Limits.withDefaults(), noPackets: o.NoPackets, tell: tell,
		byCookie: conn.NewByCookie[record](), byFlow: map[flowKey]*record{}, answering: map[address]bool{}, listening: map[address]bool{}, stacks: map[uint32]*stack{}, piles: map[pileKey]*pile{},
		crowds: crowds{tell: o.Crowd, limits: o.Limits.withDefaults().Alike, by: map[likeness]*crowd{}},
	}
}

// Take is given each step of a story in its order.
func (e *Engine) Take(s *conn.Step) error {
	ev := s.Event
	if err := e.Pass(ev.Time); err != nil {
		return err
	}
	switch {
	case ev.Kind == tcp.KindGap:
		e.gap = ev.Time
		e.lost += cmp.Or(ev.Lost, fewestLost)
	case ev.Kind == tcp.KindCounters:
		e.counters(ev)
	case s.Conn == nil:
	case s.Conn.Role == conn.RoleListener:
		e.learnsListener(s.Conn)
	default:
		e.step(s)
	}
	return e.err
}

// Pass tells that it is now (the events' clock, ns) though no event has come.
func (e *Engine) Pass(now int64) error {
	e.now = max(e.now, now)
	for r := e.watched.first(); r != nil && r.due <= now && e.err == nil; r = e.watched.first() {
		e.judge(r, r.due)
	}
	e.disperse(now)
	return e.err
}

// step takes in a step about a connection.
func (e *Engine) step(s *conn.Step) {
	ev := s.Event
	e.heap(s)
	r := e.recordOf(s.Conn, ev.Kind == tcp.KindConnectFailed || answersSegment(ev))
	if r == nil {
		return
	}
	if s.Event.Kind != tcp.KindPacket || r.Number != s.Conn.Number || r.Role != s.Conn.Role || r.saw.packets == 0 {
		e.identify(r, s)
	}
	r.begins(ev)
	if s.Event.Kind == tcp.KindPacket {
		e.packet(r, s)
	} else {
		e.kernel(r, s)
	}
}

// recordOf finds or makes c's record; nil: it is over, and said.
func (e *Engine) recordOf(c *conn.Conn, over bool) *record {
	if c.Cookie != 0 {
		if r := e.byCookie.Find(c.Cookie); r != nil {
			return r
		}
	}
	key := flowKey{c.Netns, c.Flow}
	switch r := e.byFlow[key]; {
	case r == nil, c.Cookie != 0 && r.Cookie != 0:
		return e.make(c, key, over)
	case c.Cookie != 0: // a child takes over what its request socket has met
		delete(e.byFlow, key)
		r.Cookie = c.Cookie
		e.byCookie.Put(r.Cookie, r)
		return r
	default:
		return r
	}
}

func (e *Engine) make(c *conn.Conn, key flowKey, over bool) *record {
	if c.Closed != 0 && !over {
		return nil
	}
	if !e.hasRoom(c.Cookie != 0) {
		e.missed++
		return nil
	}
	r := e.free
	if r == nil {
		r = new(record)
	} else {
		e.free, r.next = r.next, nil
	}
	r.due, r.opened = never, c.Opened
	r.gap, r.torn = e.gap, e.gap != 0
	r.Cookie, r.Netns, r.Flow = c.Cookie, c.Netns, c.Flow
	if c.Cookie != 0 {
		e.byCookie.Put(r.Cookie, r)
	} else {
		e.byFlow[key] = r
	}
	return r
}

// hasRoom reports room for one more record, or makes some.
func (e *Engine) hasRoom(socket bool) bool {
	if socket {
		return len(e.byCookie.All) < mostRecords || makeRoom(e, e.byCookie.All, mostRecords, &e.room[0])
	}
	return len(e.byFlow) < mostNameless || makeRoom(e, e.byFlow, mostNameless, &e.room[1])
}

// makeRoom forgets records that nobody waits for. It looks through all of them, and
// does so now and then.
func makeRoom[K comparable](e *Engine, all map[K]*record, most int, at *int64) bool {
	if e.now < *at+int64(roomEvery) {
		return false
	}
	*at = e.now
	for _, r := range all {
		if !r.listed {
			e.release(r)
		}
	}
	return len(all) < most
}

// Missed is how many events belonged to connections that were not looked at: there
// were too many at once.
func (e *Engine) Missed() uint64 { return e.missed }

// release forgets r and keeps it for its next use.
func (e *Engine) release(r *record) {
	e.watched.remove(r)
	if r.Cookie != 0 {
		e.byCookie.Remove(r.Cookie, r)
	} else if key := (flowKey{r.Netns, r.Flow}); e.byFlow[key] == r {
		delete(e.byFlow, key)
	}
	if p := r.peer; p != nil && p.peer == r {
		p.peer = nil
	}
	e.shelve(r)
	*r = record{next: e.free}
	e.free = r
}

// shelve gives r's evidence back.
func (e *Engine) shelve(r *record) {
	if f := r.file; f != nil {
		clear(f.clues[:f.n]) // the others are empty: most of it is cold by now
		f.n, f.lost, f.next = 0, 0, e.freeFile
		e.freeFile, r.file = f, nil
	}
}

// note keeps a clue.
func (e *Engine) note(r *record, c Clue) {
	if r.file == nil {
		f := e.freeFile
		if f == nil {
			f = new(dossier)
		} else {
			e.freeFile, f.next = f.next, nil
		}
		r.file = f
	}
	c.Role = r.Role
	r.file.add(c)
}

// identify takes over what is known of whose r is.
func (e *Engine) identify(r *record, s *conn.Step) {
	c := s.Conn
	cookie, state := r.Cookie, r.State
	if !acted(r.Via) && acted(c.Via) && r.readAt == 0 {
		r.readAt = s.Event.Time
	}
	r.held = r.held || c.Via == tcp.ViaHeld
	if r.peer != nil && c.Peer == nil && c.Number != r.Number && c.Number != 0 {
		r.part()
	}
	r.End = endOf(c)
	r.Cookie, r.State = cookie, state
	if p := c.Peer; p != nil && (r.peer == nil || r.peer.Cookie != p.Cookie || r.peer.Flow != p.Flow) {
		e.join(r, p)
	}
}

// endOf is what is known of whose c is.
func endOf(c *conn.Conn) End {
	return End{
		Number: c.Number, Cookie: c.Cookie, Netns: c.Netns, Role: c.Role, State: c.State, Older: c.Older || c.Resumed, Witnessed: !c.OlderThanTrace(), Flow: c.Flow,
		Task: c.Task, Via: c.Via, Namespace: c.Namespace, Home: c.Home, Cgroup: c.Cgroup,
	}
}

// join makes the records of two ends know each other.
func (e *Engine) join(r *record, c *conn.Conn) {
	p := e.byCookie.Find(c.Cookie)
	if c.Cookie == 0 {
		p = e.byFlow[flowKey{c.Netns, c.Flow}]
	}
	if p == nil || p == r {
		return
	}
	if r.peer != nil && r.peer.peer == r {
		r.peer.peer = nil
	}
	if p.peer != nil && p.peer.peer == p {
		p.peer.peer = nil
	}
	r.peer, p.peer = p, r
	r.told = r.told.unite(p.told)
	p.told = r.told
	if c.Number != 0 {
		p.Number = c.Number
	}
}

// part is for what was taken for the other end, and is another conversation's. What was
// said of both is not said of this one.
func (r *record) part() {
	if r.peer.peer == r {
		r.peer.peer = nil
	}
	r.peer, r.told = nil, nil
}

// wake has r looked at, at a time or before.
func (e *Engine) wake(r *record, at int64) {
	if !r.listed || at < r.due {
		e.watched.set(r, at)
	}
}

// rest has r looked at no more until something happens.
func (e *Engine) rest(r *record) { e.watched.remove(r) }

// End is for the end of the story: what has ended has its last word now, and so has
// what had stood long enough when time was told last.
func (e *Engine) End() error {
	last := e.now
	for r := e.watched.first(); r != nil && e.err == nil; r = e.watched.first() {
		if r.closed != 0 || r.due <= e.now {
			last = max(last, r.due)
			e.judge(r, r.due)
		} else {
			e.rest(r)
		}
	}
	e.endCrowds(last)
	return e.err
}
