package conn

import (
	"time"

	"tcpstory/internal/tcp"
)

// Ground says what an inferred transition follows from.
type Ground uint8

// The grounds.
const (
	GroundNone        Ground = iota
	GroundSynAck             // a request socket's SYN-ACK has left: it is there
	GroundSynAckAgain        // likewise, for the second time or later
	GroundFIN                // an orphan's minisock has acknowledged the other end's FIN
	GroundTimer              // the minisock's time is over
	GroundNoSynAck           // the request socket's timer has fired, and no SYN-ACK left: it has given up
	GroundReset              // a RST came that ends it
	GroundResetSent          // a RST left with which it ends
	GroundReuse              // another connection has taken the tuple
)

var groundNames = [...]string{
	GroundNone: "unknown", GroundSynAck: "SYN-ACK", GroundSynAckAgain: "SYN-ACK again", GroundFIN: "FIN",
	GroundTimer: "timer", GroundNoSynAck: "no SYN-ACK", GroundReset: "RST", GroundResetSent: "RST sent", GroundReuse: "reuse",
}

// String returns the stable word that all views and the docs use.
func (g Ground) String() string {
	if int(g) < len(groundNames) {
		return groundNames[g]
	}
	return groundNames[GroundNone]
}

// patience is how long after its time an end is told. A SYN-ACK that disproves it
// may be late on a busy CPU, a drop follows its segment at once, and another CPU's
// events may be on their way. The transition is told with its own time.
var patience = [...]int64{
	GroundNone:        0,
	GroundSynAck:      0,
	GroundSynAckAgain: 0,
	GroundFIN:         0,
	GroundTimer:       int64(time.Millisecond),
	GroundNoSynAck:    int64(200 * time.Millisecond),
	GroundReset:       int64(time.Millisecond),
	GroundResetSent:   0,
	GroundReuse:       0,
}

// Patience is how long after a transition's own time it is told at the earliest.
func (g Ground) Patience() time.Duration { return time.Duration(patience[g]) }

// inference is a transition that is to be told.
type inference struct {
	conn     *Conn
	old, new tcp.State
	at       int64 // when, ns since 1970
	since    int64 // when old was entered; 0 unknown
	from     Ground
}

// infer takes c from one state to another.
func (t *Table) infer(c *Conn, from, to tcp.State, at int64, ground Ground) {
	t.inferred = append(t.inferred, inference{conn: c, old: from, new: to, at: at, since: c.Since, from: ground})
	c.State, c.Since = to, at
}

// ends infers the end of what stands for c.
func (t *Table) ends(c *Conn, at int64, ground Ground) {
	old := c.State
	t.rests(c, at)
	t.infer(c, old, tcp.Close, at, ground)
}

// rests is for c when nothing stands for it any more.
func (t *Table) rests(c *Conn, at int64) {
	t.vanish(c)
	if c.gone() {
		t.ended.append(c)
	} else if c.Socket {
		t.end(c, at)
	}
}

// Tell applies ev and gives write all steps in their places: what is inferred up to
// ev's time, ev's own, and what follows from it. The first error of write is
// returned at once. A Step is valid during the call only.
func (t *Table) Tell(ev *tcp.Event, write func(*Step) error) error {
	if err := t.Infer(ev.Time, write); err != nil {
		return err
	}
	if err := write(t.Apply(ev)); err != nil {
		return err
	}
	return t.Infer(ev.Time, write)
}

// Infer gives write the transitions that the kernel does not trace and that are
// certain at time now (nanoseconds, the events' clock): for when no event comes.
// What it tells depends on nothing but the events so far, and it does not allocate.
func (t *Table) Infer(now int64, write func(*Step) error) error {
	t.clock = max(t.clock, now)
	for t.busy(now) {
		s := t.infers(now)
		if s == nil {
			return nil
		}
		if err := write(s); err != nil {
			return err
		}
	}
	return nil
}

// busy reports whether infers has anything to do: mostly it has not.
func (t *Table) busy(now int64) bool {
	return len(t.inferred) > 0 || t.spent != nil || t.dues.any(now)
}

// infers returns the next inferred transition, or nil. The Step is valid until the
// next call, or the next Apply.
func (t *Table) infers(now int64) *Step {
	t.bury()
	for len(t.inferred) == 0 {
		if !t.dues.any(now) {
			return nil
		}
		t.lapse(t.dues.first())
	}
	i := t.inferred[0]
	t.inferred = t.inferred[:copy(t.inferred, t.inferred[1:])]
	return t.present(&i)
}

// lapse is for c when what stands for it is due to end. Nothing follows from the
// silence of a request socket where a SYN-ACK may be among what was lost, nor when
// it was answered: then it may wait for data (TCP_DEFER_ACCEPT).
func (t *Table) lapse(c *Conn) {
	end := c.due - patience[c.why]
	switch {
	case c.why == GroundNone:
		t.unended++
		t.rests(c, end)
		c.State, c.Since = tcp.StateUnknown, 0
	case c.why == GroundNoSynAck && (c.answered || t.gap >= c.armed):
		t.follow(c, end, end+int64(unsure), GroundNone)
	default:
		t.ends(c, end, c.why)
	}
}

// present makes a Step of an inference.
func (t *Table) present(i *inference) *Step {
	c, s, ev := i.conn, &t.told, &t.toldEvent // whose other fields stay zero
	ev.Kind, ev.Inferred = tcp.KindState, true
	ev.Time, ev.Old, ev.New = i.at, i.old, i.new
	ev.Cookie, ev.Netns, ev.Flow = c.Cookie, c.Netns, c.Flow
	*s = Step{Event: ev, Conn: c, Flow: c.Flow, From: i.from, Selected: t.selects(c)}
	if i.since != 0 && i.old != tcp.Listen {
		s.InStateKnown, s.InState = true, time.Duration(max(0, i.at-i.since))
	}
	if i.new == tcp.Close && i.old != tcp.SynRecv {
		t.spent = c
	}
	t.settle(s)
	return s
}

// bury forgets the connection whose minisock's end was told last.
func (t *Table) bury() {
	if c := t.spent; c != nil {
		t.spent = nil
		t.drop(c)
	}
}

// Unfollowed returns how many half-open connections, TIME_WAITs and orphans were
// given up for want of room, or where nothing could tell, before their end.
func (t *Table) Unfollowed() uint64 { return t.unended }
