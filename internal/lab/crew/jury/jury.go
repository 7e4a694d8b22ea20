package jury

import (
	"cmp"
	"fmt"
	"slices"
)

// Ports are one end's port and the other's.
type Ports struct{ Local, Remote uint16 }

// Fault is one thing that the tracer got wrong, or did not tell in time.
type Fault struct {
	Wrong bool
	Text  string
	Story string // of the socket, line by line
}

// mostFaults are kept; all are counted.
const mostFaults = 8

// Report is the outcome.
type Report struct {
	Ends      int // of connections, either side
	Listeners int
	Events    int // told of them
	Named     int // of these with an owner
	Strangers int // events of sockets that nobody has written down

	Wrong   int // events with a wrong process, name, thread or port
	Late    int // owners not told in time
	Slow    int // owners told later than promised, because the machine had no CPU (Bounds.Withheld)
	Unknown int // ends of which the owner was not known at the end
	Unseen  int // ends of which nothing was told
	Hidden  int // ends late, unknown or unseen, of which the machine hid an event from the tracer

	Faults []Fault
}

// Judge hears everything that was told of the truth's sockets. Of the hidden
// connections an event was not to be seen: nothing excuses a wrong owner, but
// theirs may be unknown.
func Judge(t *Truth, claims []Claim, bounds Bounds, hidden []Ports) *Report {
	b, rep := &bench{t, bounds}, &Report{}
	told := map[uint64][]Claim{}
	for _, c := range claims {
		switch {
		case c.Cookie == 0: // a gap, or of no socket
		case t.ends[c.Cookie] == nil:
			rep.Strangers++
		default:
			told[c.Cookie] = append(told[c.Cookie], c)
		}
	}
	for _, e := range t.inOrder() {
		b.try(rep, e, told[e.Cookie], slices.Contains(hidden, Ports{e.Local, e.Remote}))
	}
	return rep
}

func (t *Truth) inOrder() (list []*End) {
	for _, e := range t.ends {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *End) int { return cmp.Compare(a.began(), b.began()) })
	return list
}

// try judges one socket.
func (b *bench) try(rep *Report, e *End, told []Claim, hidden bool) {
	rep.Events += len(told)
	for i := range told {
		if pid, _ := told[i].owner(); pid != 0 {
			rep.Named++
		}
		if text := b.wrong(e, &told[i]); text != "" {
			rep.Wrong++
			rep.fault(e, told, true, fmt.Sprintf("event of %s: %s", stamp(e, told[i].Time), text))
		}
	}
	if e.Listener() {
		rep.Listeners++
		return
	}
	rep.Ends++
	late, slow := b.late(e, told)
	rep.Slow += slow
	unknown := b.unknown(e, told)
	switch {
	case hidden && (len(late) > 0 || unknown):
		rep.Hidden++
		return
	case len(told) == 0:
		rep.Unseen++
	case unknown:
		rep.Unknown++
		rep.fault(e, told, false, "unknown at its end")
	}
	rep.Late += len(late)
	for _, text := range late {
		rep.fault(e, told, false, text)
	}
}

// unknown reports whether the owner was not known at the end, shortly after it
// at the latest.
func (b *bench) unknown(e *End, told []Claim) bool {
	end := e.last
	for _, c := range told {
		if c.NewState == "CLOSE" && c.Kind == "state" {
			end = max(min(end, never-b.End), c.Time)
		}
	}
	known := false
	for i := range told {
		if told[i].Time <= min(end, never-b.End)+b.End {
			pid, _ := told[i].owner()
			known = pid != 0
		}
	}
	return !known
}

// closedAt is when the socket was closed, by its user or the kernel.
func closedAt(e *End, told []Claim) int64 {
	at := e.last
	for _, c := range told {
		if c.NewState == "CLOSE" {
			at = min(at, c.Time)
		}
	}
	return at
}

// due is a process whose name must be known so long after a time, unless the socket
// is closed before.
type due struct {
	pid           uint32
	since, within int64
	what          string
}

func (d *due) by() int64 { return min(d.since, never-d.within) + d.within }

// late are the owners that were not told in time, and how many were only because
// the machine had no CPU.
func (b *bench) late(e *End, told []Claim) (faults []string, slow int) {
	ideal := b.Bounds
	ideal.Withheld = nil
	for _, d := range append(b.actors(e), b.holders(e)...) {
		switch {
		case d.met(&ideal, e, told):
		case d.met(&b.Bounds, e, told):
			slow++
		default:
			faults = append(faults, fmt.Sprintf("owner %d is not told by %s: %s", d.pid, stamp(e, d.by()), d.what))
		}
	}
	return faults, slow
}

// met reports whether the name was told in time, or need not be.
func (d *due) met(b *Bounds, e *End, told []Claim) bool {
	if closed := closedAt(e, told); closed != never && b.inTime(d.since, d.within, closed) {
		return true
	}
	return slices.ContainsFunc(told, func(c Claim) bool {
		pid, _ := c.owner()
		return pid == d.pid && b.inTime(d.since, d.within, c.At)
	})
}

// actors are the processes that have read or written, each first once, and
// after which nobody else has within the time.
func (b *bench) actors(e *End) (list []due) {
	for i, r := range e.records {
		first := slices.IndexFunc(e.records, func(o Record) bool { return o.PID == r.PID && o.moves() }) == i
		by := min(r.To, never-b.Known) + b.Known
		if s := e.settled(by); r.moves() && first && s != nil && s.PID == r.PID {
			list = append(list, due{r.PID, r.To, b.Known, r.Act.String()})
		}
	}
	return list
}

// moves reports a read or write of some bytes.
func (r *Record) moves() bool { return (r.Act == Read || r.Act == Write) && r.Result > 0 }

// holders are those that alone hold the socket so long, while nobody has acted.
func (b *bench) holders(e *End) (list []due) {
	for pid, held := range e.holds {
		for _, s := range held {
			by := min(s.from, never-b.Held) + b.Held
			if s.to > by && e.settled(by) == nil && !b.shared(e, pid, s.from, by) {
				list = append(list, due{pid, s.from, b.Held, "hold"})
			}
		}
	}
	return list
}

func (b *bench) shared(e *End, pid uint32, from, to int64) bool {
	for other := range e.holds {
		if other != pid && e.heldBy(other, from+b.Margin, to) {
			return true
		}
	}
	return false
}
