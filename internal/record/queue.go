package record

import (
	"math/bits"
	"time"

	"tcpstory/internal/tcp"
)

// unit is the blocks of one event, and what is needed to find out which packet a
// kernel event goes with.
type unit struct {
	blocks   []byte
	packet   int // where the packet's block, which is still open, begins; -1: there is none
	outgoing bool
	loopback bool
	time     int64
	netns    uint32
	flow     tcp.Flow
	ports    uint32 // of flow, for a quick look
	fact     []byte // for a packet to come; empty: none
}

// Packets wait in a queue until what the kernel says of them has come.
const (
	mostWaiting = 64               // units: as many as queue.facts has bits
	together    = time.Millisecond // what goes with a packet follows, or comes before, within this time
	keepUnit    = 4096             // bytes that a free unit keeps for its next use
)

// queue keeps the last units in their order. Units are used again.
type queue struct {
	units [mostWaiting]unit
	head  int
	n     int
	facts uint64 // which places hold a unit whose fact waits, a bit each
}

func (q *queue) at(i int) *unit { return &q.units[(q.head+i)%mostWaiting] }

// push makes room for a unit at the end; the caller has made sure that it fits.
func (q *queue) push(ev *tcp.Event, n *Note) *unit {
	u := q.at(q.n)
	q.n++
	u.blocks, u.fact = u.blocks[:0], u.fact[:0]
	u.packet, u.outgoing, u.loopback = -1, n.Outgoing, ev.Packet.Loopback
	u.time, u.netns, u.flow, u.ports = ev.Time, ev.Netns, n.Flow, portsOf(n.Flow)
	return u
}

// pop takes the first unit out and returns its blocks, valid until the next push.
func (q *queue) pop() []byte {
	u := q.at(0)
	q.facts &^= 1 << q.head
	q.head, q.n = (q.head+1)%mostWaiting, q.n-1
	if u.packet >= 0 {
		u.blocks = closePacket(u.blocks, u.packet)
	}
	b := u.blocks
	if cap(u.blocks) > keepUnit {
		u.blocks = nil
	}
	return b
}

func portsOf(f tcp.Flow) uint32 { return uint32(f.Local.Port())<<16 | uint32(f.Remote.Port()) }

// precedes: a kernel event that the packet it goes with follows (doc/ORDER.md): a
// process opens or closes, a segment is sent again, a reset is sent.
func precedes(ev *tcp.Event) bool {
	switch ev.Kind {
	case tcp.KindState:
		return ev.New == tcp.SynSent || ev.New == tcp.FinWait1 || ev.New == tcp.LastAck || ev.New == tcp.Close && ev.Task.Known() && ev.Errno == 0
	case tcp.KindRetransmit, tcp.KindSynAckAgain, tcp.KindSendReset:
		return ev.Errno == 0
	}
	return false
}

// follows: a kernel event that the packet it goes with precedes: what arrived
// changed the state, was a reset, was thrown away.
func follows(ev *tcp.Event) bool {
	switch ev.Kind {
	case tcp.KindState:
		return !ev.Inferred && ev.Errno != timedOut
	case tcp.KindReceiveReset:
		return true
	case tcp.KindSocketError:
		return ev.Errno != timedOut
	case tcp.KindDrop:
		return ev.Packet.Dir != tcp.DirOut
	}
	return false
}

// timedOut is ETIMEDOUT: a timer's doing, no packet's.
const timedOut = 110

// arrived finds the last packet that came in for u's end, shortly before u.
func (q *queue) arrived(u *unit) *unit {
	for i := q.n - 2; i >= 0; i-- {
		p := q.at(i)
		if u.time-p.time > int64(together) {
			return nil
		}
		if p.packet >= 0 && p.isInFor(u) {
			return p
		}
	}
	return nil
}

// isInFor reports whether the packet p came in for u's end. On loopback a packet
// is its sender's, and the other end's in reverse.
func (p *unit) isInFor(u *unit) bool {
	if p.netns != u.netns {
		return false
	}
	if p.loopback {
		return p.flow == u.flow.Reverse() && p.outgoing
	}
	return p.ports == u.ports && !p.outgoing && p.flow == u.flow
}

// announce has the fact of the last unit wait for its packet.
func (q *queue) announce(fact []byte) {
	u := q.at(q.n - 1)
	u.fact = append(u.fact, fact...)
	q.facts |= 1 << ((q.head + q.n - 1) % mostWaiting)
}

// announced appends to the packet u the facts that were waiting for it, in their order.
func (q *queue) announced(u *unit) {
	for waiting := bits.RotateLeft64(q.facts, -q.head); waiting != 0; waiting &= waiting - 1 {
		i := bits.TrailingZeros64(waiting)
		f := q.at(i)
		if u.time-f.time <= int64(together) && f.ports == u.ports && f.netns == u.netns && f.flow == u.flow {
			u.blocks = appendOption(u.blocks, optComment, f.fact)
			q.facts &^= bits.RotateLeft64(1<<i, q.head)
		}
	}
}
