package jury

import (
	"cmp"
	"math"
	"slices"
)

// Truth is what the processes did, by socket.
type Truth struct {
	ends  map[uint64]*End
	names map[uint32][]naming
}

// naming is a name that a process has from a time on; earlier than from it may,
// and later than to it does have it.
type naming struct {
	from, to int64
	comm     string
}

// End is one socket: an end of a connection, or a listener.
type End struct {
	Cookie        uint64
	Local, Remote uint16
	Server        bool
	listens       bool
	records       []Record // by From
	holds         map[uint32][]span
	begun, latest latest // of all acts: From, and To
	last          int64  // when the last copy was closed; the far future if it was not
}

// span is a time, both ends included.
type span struct{ from, to int64 }

func (s span) overlaps(from, to int64) bool { return s.to >= from && s.from <= to }

const (
	never  = math.MaxInt64
	always = math.MinInt64
)

// NewTruth reads the log. It takes the records over and reorders them.
func NewTruth(records []Record) *Truth {
	t := &Truth{ends: map[uint64]*End{}, names: map[uint32][]naming{}}
	slices.SortStableFunc(records, func(a, b Record) int { return cmp.Compare(a.From, b.From) })
	gone := goneAt(records)
	for _, r := range records {
		if r.To == 0 {
			r.To = firstAfter(gone[r.PID], r.From)
		}
		switch {
		case r.Act == Name:
			t.names[r.PID] = append(t.names[r.PID], naming{r.From, r.To, r.Comm})
		case r.Cookie != 0:
			t.end(&r).records = append(t.end(&r).records, r)
		}
	}
	for _, e := range t.ends {
		e.learn()
	}
	return t
}

// goneAt are the times at which processes had ended: a PID may be used again.
func goneAt(records []Record) map[uint32][]int64 {
	gone := map[uint32][]int64{}
	for _, r := range records {
		if r.Act == Gone {
			gone[r.PID] = append(gone[r.PID], r.To)
		}
	}
	return gone
}

func firstAfter(times []int64, at int64) int64 {
	for _, t := range times {
		if t >= at {
			return t
		}
	}
	return never
}

func (t *Truth) end(r *Record) *End {
	e := t.ends[r.Cookie]
	if e == nil {
		e = &End{Cookie: r.Cookie, Server: r.Server, holds: map[uint32][]span{}}
		t.ends[r.Cookie] = e
	}
	e.listens = e.listens || r.Act == Listen
	e.Local, e.Remote = max(e.Local, r.Local), max(e.Remote, r.Remote)
	return e
}

// learn follows each process's copy of the socket. Threads share theirs.
func (e *End) learn() {
	for _, r := range e.records {
		e.begun.add(r.PID, r.From)
		e.latest.add(r.PID, r.To)
		held := e.holds[r.PID]
		open := len(held) > 0 && held[len(held)-1].to == never
		switch {
		case takes[r.Act] && !open:
			e.holds[r.PID] = append(held, span{r.From, never})
		case leaves[r.Act] && open:
			held[len(held)-1].to = r.To
		}
	}
	e.last = always
	for _, held := range e.holds {
		e.last = max(e.last, held[len(held)-1].to)
	}
}

// Open is how many ends of connections somebody still holds.
func (t *Truth) Open() (n int) {
	for _, e := range t.ends {
		if !e.listens && e.last == never {
			n++
		}
	}
	return n
}

// Listener reports whether the socket listens.
func (e *End) Listener() bool { return e.listens }

// began is the first that was done with the socket.
func (e *End) began() int64 { return e.records[0].From }

// heldBy reports whether the process may hold the socket in a span of time.
func (e *End) heldBy(pid uint32, from, to int64) bool {
	return slices.ContainsFunc(e.holds[pid], func(s span) bool { return s.overlaps(from, to) })
}

// involves reports whether the process ever held the socket.
func (e *End) involves(pid uint32) bool { return e.holds[pid] != nil }

// settles reports an act that a tracer cannot overlook: from its end on, its
// process is the user. A close counts where it was certainly the last.
func (e *End) settles(r *Record) bool {
	switch r.Act {
	case Connect, Listen, Shutdown:
		return r.Result == 0
	case Read:
		return r.Result >= 0
	case Write:
		return r.Result > 0
	case Close, Exit:
		return r.To >= e.latest.apartFrom(r.PID)
	}
	return false
}

// acts reports an act that may be the user's. A close is one where it may have
// been that of the last copy: nobody else has done anything afterwards.
func (e *End) acts(r *Record) bool {
	return acts[r.Act] && (!leaves[r.Act] || r.To >= e.begun.apartFrom(r.PID))
}

// latest is the latest of some times, and the latest of another process than that.
type latest struct {
	pid       uint32
	at, other int64
}

func (l *latest) add(pid uint32, at int64) {
	switch {
	case pid == l.pid:
		l.at = max(l.at, at)
	case at > l.at:
		*l = latest{pid, at, l.at}
	default:
		l.other = max(l.other, at)
	}
}

// apartFrom is the latest time of all processes but one.
func (l *latest) apartFrom(pid uint32) int64 {
	if pid == l.pid {
		return l.other
	}
	return l.at
}

// settled is the latest settling act that had ended by a time; nil: none had.
func (e *End) settled(by int64) (last *Record) {
	for i := range e.records {
		r := &e.records[i]
		if r.To <= by && (last == nil || r.To > last.To) && e.settles(r) {
			last = r
		}
	}
	return last
}

// called reports whether comm was the process's name at some time of a span.
func (t *Truth) called(pid uint32, comm string, from, to int64) bool {
	names := t.names[pid]
	for i, n := range names {
		since, until := n.from, int64(never)
		if i == 0 {
			since = always
		}
		if i+1 < len(names) {
			until = names[i+1].to
		}
		if n.comm == comm && since <= to && until >= from {
			return true
		}
	}
	return false
}
