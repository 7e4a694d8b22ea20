package jury

import (
	"fmt"
	"slices"
	"time"
)

// Bounds are how much time the tracer has.
type Bounds struct {
	Margin int64 // around a hand-over both processes are right; clocks may differ
	Known  int64 // from a process's first read or write to its name
	Held   int64 // from the beginning of holding, where nobody acts, to its name
	Stale  int64 // how long a holder may be told after he has given it away, where nobody has acted since
	End    int64 // how long after the end the owner may still become known

	// Withheld is for how long, in all, the machine had no CPU for what the tracer and
	// its reader had to do between two times, nanoseconds. So much later may a
	// name come: it could not be known sooner. nil: there was always one.
	Withheld func(from, to int64) int64
}

// inTime reports whether something that was due so long after a time was in time.
func (b *Bounds) inTime(since, within, at int64) bool {
	late := at - (min(since, never-within) + within)
	return late <= 0 || b.Withheld != nil && late <= b.Withheld(since, at)
}

// Promised is what tcpstory promises.
var Promised = Bounds{
	Margin: int64(5 * time.Millisecond),
	Known:  int64(time.Second),
	Held:   int64(1250 * time.Millisecond),
	Stale:  int64(time.Second),
	End:    int64(200 * time.Millisecond),
}

// bench is one trial.
type bench struct {
	*Truth
	Bounds
}

// wrong says what is wrong with a claim, or nothing.
func (b *bench) wrong(e *End, c *Claim) string {
	if told := c.LocalPort; told != 0 && e.Local != 0 && told != e.Local {
		return fmt.Sprintf("local port %d: it is %d", told, e.Local)
	}
	if told := c.RemotePort; told != 0 && e.Remote != 0 && told != e.Remote {
		return fmt.Sprintf("remote port %d: it is %d", told, e.Remote)
	}
	if pid, comm := c.owner(); pid != 0 {
		if text := b.wrongOwner(e, c.Time, pid); text != "" {
			return text
		}
		if from := b.since(e, c, pid); !b.called(pid, comm, from, c.Time+b.Margin) {
			return fmt.Sprintf("owner %d is called %q: it is not", pid, comm)
		}
		if text := b.wrongVia(e, c, pid); text != "" {
			return text
		}
	}
	if c.PID != 0 {
		return b.wrongDoer(e, c)
	}
	return ""
}

// wrongOwner: a process that acted since the last act that settles the matter is
// right, and where nobody who acted holds the socket any more, one that does.
func (b *bench) wrongOwner(e *End, at int64, pid uint32) string {
	if e.Listener() {
		if e.involves(pid) {
			return ""
		}
		return fmt.Sprintf("owner %d: it never had the listener", pid)
	}
	s, floor := e.settled(at-b.Margin), int64(always)
	if s != nil {
		floor = s.From
	}
	for i := range e.records {
		if r := &e.records[i]; r.PID == pid && e.acts(r) && r.overlaps(floor, at+b.Margin) {
			return ""
		}
	}
	if s == nil || !e.heldBy(s.PID, at, at) {
		if e.heldBy(pid, max(floor, at-b.Stale), at+b.Margin) {
			return ""
		}
	}
	return b.why(e, s, pid)
}

// why puts a wrong owner into words.
func (b *bench) why(e *End, s *Record, pid uint32) string {
	switch {
	case b.otherEnds(e, pid):
		return fmt.Sprintf("owner %d: that is the other end's", pid)
	case !e.involves(pid):
		return fmt.Sprintf("owner %d: it never had the socket", pid)
	case s == nil:
		return fmt.Sprintf("owner %d: it does not hold the socket", pid)
	}
	return fmt.Sprintf("owner %d: since then %d acted (%v)", pid, s.PID, s.Act)
}

// otherEnds reports whether the process had the connection's other end only.
func (b *bench) otherEnds(e *End, pid uint32) bool {
	if e.involves(pid) {
		return false
	}
	for _, o := range b.ends {
		if o.Local == e.Remote && o.Remote == e.Local && o.Server != e.Server && o.involves(pid) {
			return true
		}
	}
	return false
}

// since is the earliest time at which the tracer may have read the owner's name:
// when it first acted or, if it was found holding, when it began to hold.
func (b *bench) since(e *End, c *Claim, pid uint32) int64 {
	i := slices.IndexFunc(e.records, func(r Record) bool {
		return r.PID == pid && (c.byTable() && takes[r.Act] || !takes[r.Act] && acts[r.Act] || r.Act == Connect || r.Act == Listen)
	})
	if i < 0 || e.Listener() {
		return always
	}
	return e.records[i].From - b.Margin
}

func (b *bench) wrongVia(e *End, c *Claim, pid uint32) string {
	want := vias[c.OwnerVia]
	if want == nil || e.Listener() {
		return ""
	}
	for i := range e.records {
		if r := &e.records[i]; r.PID == pid && slices.Contains(want, r.Act) && r.From <= c.Time+b.Margin {
			return ""
		}
	}
	return fmt.Sprintf("owner %d by %s: it did not", pid, c.OwnerVia)
}

// wrongDoer: whoever is told to have done something did it then, by that thread.
func (b *bench) wrongDoer(e *End, c *Claim) string {
	if c.found() {
		return "" // it did nothing; wrongOwner has looked
	}
	from, to := c.Time-b.Margin, c.Time+b.Margin
	if !b.called(c.PID, c.Comm, from, to) {
		return fmt.Sprintf("process %d is called %q: it is not", c.PID, c.Comm)
	}
	if e.Listener() {
		return ""
	}
	want, known := doers[c.NewState]
	for i := range e.records {
		r := &e.records[i]
		switch {
		case r.PID != c.PID || c.TID != 0 && r.TID != c.TID || !r.overlaps(from, to):
		case e.acts(r) && (!known || slices.Contains(want, r.Act)):
			return ""
		}
	}
	return fmt.Sprintf("process %d, thread %d: it did nothing of the kind then", c.PID, c.TID)
}
