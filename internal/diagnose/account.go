package diagnose

import (
	"net/netip"

	"tcpstory/internal/conn"
)

// tally says how well a counter of the namespace accounts for what a listener left
// without an answer: the counter belongs to all listeners, and is read late.
type tally struct {
	counted  uint32 // of the connection's segments: those that a reading was held against
	matched  uint32 // those that the counter has moved for
	readings uint32 // in so many of its readings
	off      bool   // some reading had moved by more, or by less
}

// binds reports whether the counter can be about this connection only: segment by
// segment, in readings of its own, it has moved for this listener and nobody else.
// One that only moved at the time might be another listener's.
func (t *tally) binds(l *Limits) bool { return !t.off && t.matched >= l.Syns && t.readings >= l.Syns }

// certainty of what rests on the counter alone.
func (t *tally) certainty(l *Limits) Certainty {
	if t.binds(l) {
		return Sure
	}
	return Probably
}

// overflows and drops are the tallies of ListenOverflows and TCPReqQFullDrop.
func overflows(r *record) *tally { return &r.overflow }
func drops(r *record) *tally     { return &r.dropped }

// account holds a counter that moved by so much against all that was not answered
// in its namespace since it was last read.
func (e *Engine) account(netns uint32, by uint64, now int64, of func(*record) *tally) {
	if by == 0 {
		return
	}
	var fresh uint64
	var at netip.AddrPort
	alone := true
	e.waiting(netns, func(r *record) {
		n := of(r).fresh(r)
		if n == 0 {
			return
		}
		alone = alone && (fresh == 0 || at == r.Flow.Local) && now-r.asked <= int64(countersLate)
		fresh, at = fresh+uint64(n), r.Flow.Local
	})
	e.waiting(netns, func(r *record) {
		t := of(r)
		n := t.fresh(r)
		if n == 0 {
			return
		}
		t.counted += n
		if t.off = t.off || !alone || fresh != by; !t.off {
			t.matched += n
			t.readings++
		}
	})
}

// waiting calls f for each connection that a listener of the namespace may have left
// without an answer. Each is watched: its SYN has woken it.
func (e *Engine) waiting(netns uint32, f func(*record)) {
	for _, d := range e.watched.due {
		r := d.r
		if r.Netns == netns && r.Role == conn.RoleServer && !r.born && r.saw.synIn > 0 {
			f(r)
		}
	}
}

// fresh is how many of r's segments no reading was held against yet.
func (t *tally) fresh(r *record) uint32 { return max(r.unanswered(), t.counted) - t.counted }

// unanswered is how many segments of the client's a listener should have taken: its
// SYNs, or, once one was answered, what ends the handshake.
func (r *record) unanswered() uint32 {
	if r.saw.synAckOut > 0 {
		return r.saw.ackIn
	}
	return r.saw.synIn
}
