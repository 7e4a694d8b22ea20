package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// disturbance is the share of the machine's CPU time that other processes may
// take from a run. The tracers see the whole host: others' connections cost
// them, too.
const disturbance = 0.06

func (r Run) disturbed() bool { return r.Others > disturbance }

// loadCPU is the CPU time of the load's process.
func (r Run) loadCPU() time.Duration {
	return time.Duration(r.CPUPerConn * float64(r.Conns) * float64(time.Microsecond))
}

// watch observes what the machine's CPUs are used for.
type watch struct{ busy, total, own time.Duration }

func beginWatch() watch {
	busy, total := machineCPU()
	return watch{busy: busy, total: total, own: selfCPU()}
}

// others is the share of all CPU time since the beginning that went neither
// to this process nor to those that took known.
func (w watch) others(known time.Duration) float64 {
	now := beginWatch()
	rest := now.busy - w.busy - (now.own - w.own) - known
	return max(0, share(float64(rest), float64(now.total-w.total)))
}

// lull is how long others must leave the machine alone to call it quiet.
const lull = 300 * time.Millisecond

// awaitQuiet returns after a lull, or when its patience ends.
func awaitQuiet(ctx context.Context, patience time.Duration) error {
	since, w := time.Now(), beginWatch()
	err := await(ctx, patience, func() bool {
		if time.Since(since) < lull {
			return false
		}
		quiet := w.others(0) <= disturbance
		since, w = time.Now(), beginWatch()
		return quiet
	})
	if errors.Is(err, errSlow) {
		return nil
	}
	return err
}

func selfCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// machineCPU is the CPU time of the whole machine since it started: what it
// was busy, and in all; zero if unknown.
func machineCPU() (busy, total time.Duration) {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return parseCPU(line)
}

// parseCPU reads the first line of /proc/stat: hundredths of a second as user,
// nice, system, idle, iowait, irq, softirq, steal; guests are within user.
func parseCPU(line []byte) (busy, total time.Duration) {
	words := bytes.Fields(line)
	for i, word := range words[min(1, len(words)):min(9, len(words))] {
		n, err := strconv.ParseInt(string(word), 10, 64)
		if err != nil {
			return 0, 0
		}
		d := time.Duration(n) * 10 * time.Millisecond
		total += d
		if idle := i == 3 || i == 4; !idle {
			busy += d
		}
	}
	return busy, total
}
