package diagnose

import "slices"

// A connection may live for weeks, and be in trouble on Monday and again on Thursday.
// An episode of a trouble ends when it was gone for Limits.Calm: its last word is said,
// what was counted of it is forgotten, and the next time it is told of anew.

// course says how a trouble that comes and goes is followed. Rules that rest on the same
// counts share one; a rule without one speaks once of a connection.
type course struct {
	last   func(*exam) int64 // when it was so last, ns
	forget func(*record)     // what was counted of it
	stands bool              // Finding.Standing says that it is so now, not only that it may be again
	rules  uint64            // whose it is
}

// The courses of the rules in stuck.
var (
	slowness = &course{stands: true, last: func(x *exam) int64 { return x.r.waited.last },
		forget: func(r *record) {
			r.slow, r.waited, r.settled = 0, wait{}, r.in.ended|r.out.ended != 0
			r.unreadSaid = r.unreadSaid || r.readAt != 0
		}}
	ownClosures = &course{stands: true, last: func(x *exam) int64 { return x.r.in.closed.at },
		forget: func(r *record) { r.in.closed = closure{} }}
	peerClosures = &course{stands: true, last: func(x *exam) int64 { return x.r.out.closed.at },
		forget: func(r *record) { r.out.closed = closure{} }}
	stalling = &course{last: func(x *exam) int64 { return x.r.stalls.last },
		forget: func(r *record) { r.stalls.count, r.stalls.sum = 0, 0 }}
	losing   = &course{last: lossLast, forget: func(r *record) { r.saw.losses = losses{} }}
	dropping = &course{last: dropLast, forget: func(r *record) {
		r.file.drop(of(DroppedIn), never)
		r.saw.unexplained = 0
	}}
	refusing = &course{last: func(x *exam) int64 { return x.r.saw.untakenAt },
		forget: func(r *record) { r.saw.untaken = 0 }}
)

func lossLast(x *exam) int64 {
	if x.r.saw.row > 0 {
		return x.now // it is sent again until it is acknowledged
	}
	return x.r.saw.lossTo
}

func dropLast(x *exam) (last int64) {
	x.clue(func(c *Clue) bool {
		if c.Sight == DroppedIn && (c.Reason == "" || dropWords[c.Reason].host) {
			last = max(last, c.Last)
		}
		return false
	})
	return last
}

// gone is a trouble whose episode is over.
type gone struct {
	r *record
	c *course
}

// follow looks how lately f was so.
func (x *exam) follow(c *course, f *Finding) {
	if f.last = c.last(x); c.stands && f.Standing {
		f.last = x.now
	}
	switch over := f.last + int64(x.lim.Calm); {
	case x.over:
	case c.stands && x.r.unclear():
		x.e.wake(x.r, x.now+int64(x.lim.Calm))
	case x.now >= over:
		f.Standing, f.gone = false, true
		x.e.gone = append(x.e.gone, gone{x.r, c})
	default:
		x.e.wake(x.r, over)
	}
}

// news reports something to say of f beyond its first and its last word: at the end of
// its episode, or of the connection, what came since; or that it goes on again, and has
// for as long as would have ended it.
func (f *Finding) news(t *told, now int64, l *Limits) bool {
	switch {
	case f.Rule.course == nil || t.final&f.bit() == 0:
		return false
	case f.Standing:
		return f.since > t.at && now-f.since >= int64(l.Calm)
	}
	return (f.gone || f.of.closed != 0) && f.last > t.at
}

// endEpisodes is for what a look has found gone, or finds no more. live are the rules of
// which either end has something that is not over.
func (e *Engine) endEpisodes(r *record, live uint64, now int64) {
	t, calm := r.told, int64(e.lim.Calm)
	var over uint64
	for _, g := range e.gone {
		g.c.forget(g.r)
		e.forgetClues(g.r, now-calm)
		over |= g.c.rules
	}
	e.gone = e.gone[:0]
	if t == nil {
		return
	}
	switch missing := t.rules & comeAndGo &^ live &^ over; { // nothing was counted of it
	case missing == 0:
	case r.unclear() || r.peer != nil && r.peer.unclear():
		e.wake(r, now+calm)
	case now-t.at >= calm:
		over |= missing
		e.forgetClues(r, now-calm)
	default:
		e.wake(r, t.at+calm)
	}
	t.end(endable(t.rules&over, live))
}

// endable leaves out rules of whose course another is live, and those that explain a
// live one: it would be said now.
func endable(over, live uint64) uint64 {
	for i := range Rules {
		if r := &Rules[i]; over&(1<<i) != 0 && live&(r.course.rules|r.covers) != 0 {
			over &^= 1 << i
		}
	}
	return over
}

// comeAndGo are the rules that have courses; opening are those of a connection that
// does not come about, or not at once.
var comeAndGo, opening uint64

// end has rules told of anew, as of an episode of its own where nothing else goes on.
func (t *told) end(rules uint64) {
	if rules == 0 {
		return
	}
	t.rules &^= rules
	t.final &^= rules
	t.counted &^= rules
	if t.rules&^opening == 0 { // what was said of its beginning is over by itself
		t.updates, t.shown = -1, false
		t.episode++
	}
}

// forgetClues gives back evidence that is older than a time, where nothing stands that
// it may be about.
func (e *Engine) forgetClues(r *record, before int64) {
	if r.file == nil || !r.open() || r.in.zero != 0 || r.out.zero != 0 {
		return
	}
	if r.file.drop(^sights(0), before); r.file.n == 0 {
		e.shelve(r)
	}
}

// drop takes clues out that were not seen since a time.
func (d *dossier) drop(which sights, before int64) {
	if d == nil {
		return
	}
	kept := slices.DeleteFunc(d.clues[:d.n], func(c Clue) bool { return which.has(c.Sight) && c.Last <= before })
	d.n = len(kept)
}
