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
	counter, rescued *ebpf.Variable
	told             uint32
	undecided        *ebpf.Variable
	toldUndecided    uint64
	programs         []watched
	due              int64 // CLOCK_MONOTONIC of the next look at the programs, ns
}

// watched is a program whose calls the kernel may skip.
type watched struct {
	name    string
	program *ebpf.Program
	twin    bool   // a second program takes most of them over
	misses  uint64 // at the latest look
	told    uint64
}

func newLosses(coll *ebpf.Collection) losses {
	l := losses{counter: coll.Variables[traceVarLost], rescued: coll.Variables[traceVarRescued], undecided: coll.Variables[traceVarUndecided]}
	for i := range hooks {
		h := &hooks[i]
		p := coll.Programs[h.program]
		if p == nil || h.site == onWalk || h.program == traceProgSetStateTwin || h.program == traceProgLifeStateTwin {
			continue // a skipped twin has lost nothing: the first program ran
		}
		l.programs = append(l.programs, watched{name: h.at, program: p, twin: h.program == traceProgSetState || h.program == traceProgLifeState})
	}
	for i := range l.programs { // skipped while the others were being attached: before the trace began
		l.programs[i].told = l.skipped(&l.programs[i], true)
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

// lookDue is look, but only once in lossInterval; mono is now.
func (l *losses) lookDue(mono int64) (tcp.Gap, bool) {
	if mono < l.due {
		return tcp.Gap{}, false
	}
	g, ok := l.look(false)
	if !ok {
		l.due = mono + int64(lossInterval)
	}
	return g, ok
}

// look finds a loss that no record tells of: one a call, the caller calls again.
// ended says that the programs are detached: the counts stand still.
func (l *losses) look(ended bool) (tcp.Gap, bool) {
	var n uint64
	if l.undecided.Get(&n) == nil && n > l.toldUndecided {
		g := tcp.Gap{Cause: tcp.GapUndecided, Lost: n - l.toldUndecided}
		l.toldUndecided = n
		return g, true
	}
	return l.recursion(ended)
}

// recursion returns the next program whose calls the kernel skipped because
// the program was already running on that CPU (struct bpf_prog_stats.misses).
func (l *losses) recursion(ended bool) (tcp.Gap, bool) {
	for i := range l.programs {
		w := &l.programs[i]
		if lost := l.skipped(w, ended); lost > w.told {
			n := lost - w.told
			w.told = lost
			return tcp.Gap{Cause: tcp.GapRecursion, Lost: n, Hook: w.name}, true
		}
	}
	return tcp.Gap{}, false
}

// skipped is how many calls were lost in all. The twin counts a moment after the
// kernel counted the miss: while they run, the misses of the look before are
// held against the rescues of now, so that nothing rescued is told as lost.
func (l *losses) skipped(w *watched, ended bool) uint64 {
	stats, err := w.program.Stats()
	if err != nil {
		return w.told
	}
	misses := stats.RecursionMisses
	if !w.twin {
		return misses
	}
	if !ended {
		misses, w.misses = w.misses, misses
	}
	var rescued uint64
	if l.rescued.Get(&rescued) != nil || rescued > misses {
		return w.told
	}
	return misses - rescued
}
