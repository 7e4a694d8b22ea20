package jury

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// fault keeps the first of each wording, digits apart, so that one kind does not
// hide the others.
func (rep *Report) fault(e *End, told []Claim, wrong bool, text string) {
	alike := func(f Fault) bool { return wording(f.Text) == wording(text) }
	if len(rep.Faults) < mostFaults && !slices.ContainsFunc(rep.Faults, alike) {
		rep.Faults = append(rep.Faults, Fault{wrong, text, story(e, told)})
	}
}

func wording(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}

// String is the figures in one line.
func (rep *Report) String() string {
	return fmt.Sprintf("%d ends, %d events, %d with an owner; wrong %d, late %d, late for want of a CPU %d, unknown at the end %d, unseen %d, hidden by the machine %d",
		rep.Ends, rep.Events, rep.Named, rep.Wrong, rep.Late, rep.Slow, rep.Unknown, rep.Unseen, rep.Hidden)
}

// story is what was done with the socket beside what was told of it.
func story(e *End, told []Claim) string {
	type line struct {
		at   int64
		text string
	}
	var lines []line
	for _, r := range e.records {
		took := "did not return"
		if r.To < never {
			took = time.Duration(r.To - r.From).String()
		}
		lines = append(lines, line{r.From, fmt.Sprintf("%d/%d (%s) %v = %d, %s", r.PID, r.TID, r.Comm, r.Act, r.Result, took)})
	}
	for _, c := range told {
		text := fmt.Sprintf("\ttold %s %s→%s", c.Kind, c.OldState, c.NewState)
		if c.PID != 0 {
			text += fmt.Sprintf(" by %d/%d (%s)", c.PID, c.TID, c.Comm)
		}
		if pid, comm := c.owner(); pid != 0 {
			text += fmt.Sprintf(" owner %d (%s) %s", pid, comm, c.OwnerVia)
		}
		lines = append(lines, line{c.Time, fmt.Sprintf("%s, read %v later", text, time.Duration(c.At-c.Time))})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "socket %d, %d to %d", e.Cookie, e.Local, e.Remote)
	for _, l := range lines {
		fmt.Fprintf(&b, "\n%10s %s", stamp(e, l.at), l.text)
	}
	return b.String()
}

// stamp is a time as the socket's own.
func stamp(e *End, at int64) string {
	return time.Duration(at - e.began()).Round(time.Microsecond).String()
}
