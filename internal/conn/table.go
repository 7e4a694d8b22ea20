package conn

import (
	"net/netip"
	"time"

	"tcpstory/internal/tcp"
)

// What a Table keeps when Options do not say otherwise.
const (
	DefaultLinger   = 60 * time.Second // as long as TIME_WAIT lasts (TCP_TIMEWAIT_LEN)
	DefaultIdle     = 10 * time.Minute
	DefaultMaxEnded = 1 << 14
	DefaultMaxLoose = 1 << 16
	DefaultMax      = 1 << 18
)

// Options of a Table. The zero value means: everything is selected, and the
// defaults above.
type Options struct {
	// Filter says whether some packet of the flow could be asked for. Unknown
	// parts of the flow (a zero port, an invalid address) may be anything.
	Filter func(tcp.Flow) bool

	// Whose says whether a connection's process or cgroup is asked for; nil: all are.
	Whose func(*Conn) bool

	TellOlder bool // select the sockets that existed at start, as events of their own

	PacketsOnly bool // the kernel's states are not told: none is inferred either

	Linger   time.Duration // how long an ended connection is kept for late packets
	Idle     time.Duration // how long a conversation known from packets alone may be silent
	MaxEnded int           // most ended connections kept
	MaxLoose int           // most conversations known from packets alone
	Max      int           // most connections of any kind
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		v *int
		d int
	}{{&o.MaxEnded, DefaultMaxEnded}, {&o.MaxLoose, DefaultMaxLoose}, {&o.Max, DefaultMax}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if o.Linger == 0 {
		o.Linger = DefaultLinger
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	return o
}

// Step is an event in its place: what Table.Apply adds to it.
type Step struct {
	Event *tcp.Event
	Conn  *Conn    // nil: it belongs to no connection that is known
	Flow  tcp.Flow // the socket's own tuple as well as it is known by now; for packets without a connection, the packet's

	Selected     bool          // to be shown: the filter asked for the packet, or could match the connection
	Outgoing     bool          // packets: Conn sent it
	Translated   bool          // packets: the tuple on the wire is not the socket's (address translation)
	InStateKnown bool          // InState holds
	InState      time.Duration // state transitions: how long the socket was in Event.Old
	Unsent       bool          // inferred: this SYN_SENT→CLOSE is connect() giving up before a SYN left
	HalfOpen     bool          // InState counts from the half-open connection's beginning, which was inferred
	Remains      tcp.State     // →CLOSE, inferred: a timewait minisock goes on in TimeWait or (an orphan's) FinWait2; Close: TIME_WAIT was due, and there was no room for it
	From         Ground        // inferred transitions: what they follow from
}

// Table knows the connections. It is not safe for concurrent use.
type Table struct {
	opt     Options
	cookies ByCookie[Conn]
	index   index

	live  list // sockets, the longest silent first
	loose list // known from packets alone, likewise
	ended list // closed, the first closed first
	dues  dues // closed, and not at their end; and half-open ones
	free  *Conn

	lookout lookout
	places  places
	doors   doors
	callers callers

	wheel     wheel
	gap       int64       // when a SYN-ACK's repetition may have been lost last
	inferred  []inference // not told yet, in their order
	told      Step
	toldEvent tcp.Event
	spent     *Conn // what told is about, when nothing comes after

	step      Step
	numbered  uint64
	united    uint64 // numbers that turned out to be another conversation's
	forgotten uint64
	unended   uint64
	clock     int64 // how far what happened was told, ns since 1970
	back      restoring
	missed    bool // some events were lost
	handsOn   bool // with this event somebody takes over what was asked for
}

// New returns an empty table.
func New(o Options) *Table {
	return &Table{opt: o.withDefaults(), cookies: NewByCookie[Conn](), index: make(index), places: newPlaces(), doors: make(doors)}
}

// Apply finds ev's place; what follows from it is for Tell. The Step and what it
// points to are valid until the next Apply. ev.Packet must be decoded. It does not
// allocate once the table has grown to its working size.
func (t *Table) Apply(ev *tcp.Event) *Step {
	for t.busy(ev.Time) { // nobody has asked
		t.infers(ev.Time)
	}
	t.expire(ev.Time)
	t.handsOn = false
	if t.back.ends != nil && ev.Known == nil && ev.Kind != tcp.KindPlace {
		t.back = restoring{} // what is told together was told; the ends go on to be used for others
	}
	s := &t.step
	*s = Step{Event: ev}
	switch ev.Kind {
	case tcp.KindPacket:
		t.packet(s)
	case tcp.KindGap:
		s.Selected, t.missed = true, true
		t.miss(ev)
	case tcp.KindCounters: // of no connection
	case tcp.KindPlace:
		t.places.learn(ev)
	case tcp.KindKnown:
		t.restore(ev)
	default:
		t.kernel(s)
	}
	t.settle(s)
	return s
}

// settle decides at last whether s is shown, and numbers its conversation.
func (t *Table) settle(s *Step) {
	if t.opt.Whose != nil && s.Selected && s.Event.Kind != tcp.KindGap {
		s.Selected = t.isAskedFor(s) || t.handsOn
	}
	if s.Selected && s.Conn != nil && s.Conn.Number == 0 {
		t.number(s.Conn)
	}
}

// isAskedFor asks Whose; a packet on loopback belongs to both ends.
func (t *Table) isAskedFor(s *Step) bool {
	c := s.Conn
	return c != nil && (t.opt.Whose(c) || s.Event.Packet.Loopback && c.Peer != nil && t.opt.Whose(c.Peer))
}

// Numbered returns how many conversations have been given a number.
func (t *Table) Numbered() uint64 { return t.numbered - t.united }

// Len returns how many connections the table holds, ended ones included.
func (t *Table) Len() int { return t.live.n + t.loose.n + t.ended.n + t.dues.minisocks() }

// Forgotten returns how many connections were dropped before their end for want
// of room.
func (t *Table) Forgotten() uint64 { return t.forgotten }

// number gives c its number: its other end's, or the next.
func (t *Table) number(c *Conn) {
	if n := t.sharedNumber(c); n != 0 {
		c.Number = n
		return
	}
	t.numbered++
	c.Number = t.numbered
}

// sharedNumber looks for another end, or for another sighting on the way through
// this host (a router's two sides), that has a number already.
func (t *Table) sharedNumber(c *Conn) uint64 {
	if c.Peer != nil && c.Peer.Number != 0 {
		return c.Peer.Number
	}
	if c.Socket || !c.tuple.linked {
		return 0
	}
	for _, f := range [...]tcp.Flow{c.Flow, c.Flow.Reverse()} {
		for n := t.index[keyOf(f)]; n != nil; n = n.next {
			if o := n.conn; o.Number != 0 && !o.gone() && !c.unlike(o) {
				return o.Number
			}
		}
	}
	return 0
}

// selects reports whether c is to be shown, and remembers it once the tuple is
// complete.
func (t *Table) selects(c *Conn) bool {
	switch {
	case t.opt.Filter == nil || c.verdict == selected:
		return true
	case c.verdict == passedOver:
		return false
	}
	yes := t.matches(c.Flow) || c.wire.linked && t.matches(c.Alias)
	if complete(c.Flow) {
		c.verdict = passedOver
		if yes {
			c.verdict = selected
		}
	}
	return yes
}

// somebody is whom a listener is taken to wait for: a client with a port that no
// expression means by accident. With any port, "port 80" would select every
// listener of the host, since a client may come from port 80.
var somebody = netip.AddrPortFrom(netip.Addr{}, 65535)

// matches asks the filter about a flow.
func (t *Table) matches(f tcp.Flow) bool { return t.opt.Filter == nil || Matches(t.opt.Filter, f) }

// Matches asks a filter about a socket's flow: a listener's as that of a connection
// to it.
func Matches(filter func(tcp.Flow) bool, f tcp.Flow) bool {
	f = tcp.Flow{Local: openEnded(f.Local), Remote: openEnded(f.Remote)}
	if !f.Remote.Addr().IsValid() && f.Remote.Port() == 0 {
		f.Remote = somebody
	}
	return filter(f)
}
