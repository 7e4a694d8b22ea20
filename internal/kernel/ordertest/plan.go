package ordertest

import (
	"fmt"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Step is one transition as it must be seen.
type Step struct {
	Old, New tcp.State
	Cause    Cause // an errno's name is also what sk_err must be; any other word means 0
}

// Path is every transition of one socket, in order.
type Path []Step

// Plan is how connections to one server port live and end. Each end goes one
// of its paths. No path: that end has no socket.
type Plan struct {
	Name           string
	Client, Server []Path
}

// Open is how every connection begins at its two ends.
var (
	clientOpens = Path{{Old: tcp.Close, New: tcp.SynSent}, {Old: tcp.SynSent, New: tcp.Established}}
	serverOpens = Path{{Old: tcp.Listen, New: tcp.SynRecv}, {Old: tcp.SynRecv, New: tcp.Established}}
)

// Then continues a path by states; the last transition has the cause.
func (p Path) Then(last Cause, states ...tcp.State) Path {
	out := append(Path(nil), p...)
	for _, s := range states {
		out = append(out, Step{Old: out[len(out)-1].New, New: s})
	}
	out[len(out)-1].Cause = last
	return out
}

// ClientPath is a connection of which the client, once it is established, goes
// through the states; the last transition has the cause.
func ClientPath(last Cause, states ...tcp.State) Path { return clientOpens.Then(last, states...) }

// ServerPath is the same for the server's socket.
func ServerPath(last Cause, states ...tcp.State) Path { return serverOpens.Then(last, states...) }

// errno is what sk_err holds at the step.
func (s *Step) errno() int32 {
	switch s.Cause {
	case CauseAny, CauseHeld, CauseOrphan, CauseAbort:
		return 0
	}
	for e := unix.Errno(1); e < 134; e++ {
		if unix.ErrnoName(e) == string(s.Cause) {
			return int32(e)
		}
	}
	panic(fmt.Sprintf("%q is no cause", s.Cause))
}

func (s *Step) is(t *transition) bool {
	return s.Old == t.old && s.New == t.new && s.errno() == t.errno
}

// align lays the transitions seen along the path: steps[i] is the step of
// seen[i]. ok is false if they are not the path's with perhaps some missing.
func (p Path) align(seen []transition) (steps []*Step, ok bool) {
	at := 0
	for i := range seen {
		for at < len(p) && !p[at].is(&seen[i]) {
			at++
		}
		if at == len(p) {
			return nil, false
		}
		steps = append(steps, &p[at])
		at++
	}
	return steps, true
}

// best is the alignment along the path of which least is missing.
func best(paths []Path, seen []transition) (steps []*Step, missing int, ok bool) {
	for _, p := range paths {
		s, fits := p.align(seen)
		if fits && (!ok || len(p)-len(seen) < missing) {
			steps, missing, ok = s, len(p)-len(seen), true
		}
	}
	return steps, missing, ok
}
