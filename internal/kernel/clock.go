package kernel

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock turns CLOCK_MONOTONIC into wall time. Both follow one timekeeper, so
// their offset changes only when somebody steps the clock; it is taken again
// every second to notice that.
type clock struct {
	offset int64 // wall = monotonic + offset, ns
	next   int64 // monotonic time of the next look, ns
}

// brackets is how many mono/real/mono readings are tried for the narrowest.
const brackets = 5

func (c *clock) wall(mono int64) int64 {
	if mono >= c.next {
		c.measure()
		c.next = mono + int64(time.Second)
	}
	return mono + c.offset
}

// measure takes the offset, and returns the width of the bracket that it lies in, ns.
func (c *clock) measure() (best int64) {
	best = 1 << 62
	for range brackets {
		before, real, after := nanos(unix.CLOCK_MONOTONIC), nanos(unix.CLOCK_REALTIME), nanos(unix.CLOCK_MONOTONIC)
		if width := after - before; width < best {
			best, c.offset = width, real-(before+width/2)
		}
	}
	return best
}

// tick is how long a jiffy is: what the coarse clocks resolve to (KTIME_LOW_RES).
func tick() time.Duration {
	var ts unix.Timespec
	if unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &ts) != nil || ts.Nano() <= 0 {
		return defaultTick
	}
	return time.Duration(ts.Nano())
}

// defaultTick is CONFIG_HZ=250, as Debian has it.
const defaultTick = 4 * time.Millisecond

func nanos(clock int32) int64 {
	var ts unix.Timespec
	if unix.ClockGettime(clock, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
