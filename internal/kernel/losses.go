package kernel

import (
	"time"

	"github.com/cilium/ebpf"

	"tcpstory/internal/tcp"
)

// lossInterval is how often the programs are asked for calls that were skipped.
const lossInterval = 100 * time.Millisecond

// losses keeps what was already told, so that each loss is told once.
type losses struct {
	counter  *ebpf.Variable
	told     uint32
	programs []watched
	due      int64 // CLOCK_MONOTONIC of the next look at the programs, ns
}

// watched is a program with its last known recursion_misses.
type watched struct {
	name    string
	program *ebpf.Program
	misses  uint64
}

func newLosses(coll *ebpf.Collection) losses {
	l := losses{counter: coll.Variables[traceVarLost]}
	for _, h := range hooks {
		if p := coll.Programs[h.program]; p != nil {
			l.programs = append(l.programs, watched{name: h.tracepoint, program: p})
		}
	}
	return l
}

// ring returns how many more records found no room, given the low half of the
// counter that the latest record carries. Two CPUs may tell it out of order.
func (l *losses) ring(now uint32) uint64 {
	n := int32(now - l.told)
	if n <= 0 {
		return 0
	}
	l.told = now
	return uint64(n)
}

// total is the counter as it stands.
func (l *losses) total() uint32 {
	var n uint64
	if l.counter.Get(&n) != nil {
		return l.told
	}
	return uint32(n)
}

// recursionDue is recursion, but looks only once in lossInterval; mono is now.
func (l *losses) recursionDue(mono int64) (tcp.Gap, bool) {
	if mono < l.due {
		return tcp.Gap{}, false
	}
	g, ok := l.recursion()
	if !ok {
		l.due = mono + int64(lossInterval)
	}
	return g, ok
}

// recursion returns the next program whose calls the kernel skipped because
// the program was already running on that CPU (struct bpf_prog_stats.misses).
// One program a call; the caller calls again.
func (l *losses) recursion() (tcp.Gap, bool) {
	for i := range l.programs {
		w := &l.programs[i]
		stats, err := w.program.Stats()
		if err != nil || stats.RecursionMisses <= w.misses {
			continue
		}
		n := stats.RecursionMisses - w.misses
		w.misses = stats.RecursionMisses
		return tcp.Gap{Cause: tcp.GapRecursion, Lost: n, Hook: w.name}, true
	}
	return tcp.Gap{}, false
}
