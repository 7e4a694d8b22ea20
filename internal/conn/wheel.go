package conn

import (
	"time"

	"tcpstory/internal/tcp"
)

// wheel knows when timers of the kernel's timer wheel fire (kernel/time/timer.c,
// since 4.8): at the end of a slot of the wheel, and the further ahead a timer is
// armed, the wider its slot. 60 s come to 60 to 62.05 s with 250 jiffies a second,
// and to as much as 64.1 s with 1000. The zero value knows of no jiffies: its
// timers fire on time.
type wheel struct {
	tick  int64  // of one jiffy, ns
	count uint32 // jiffies,
	base  int64  // and when that one began, ns since 1970
}

// lagging is how late the kernel may be in counting a jiffy: an idle CPU has to
// wake up first. More than that, and somebody has set the clock.
const lagging = int64(50 * time.Millisecond)

// learn takes the count of jiffies at some time.
func (w *wheel) learn(at int64, t tcp.Timer) {
	if t.Tick == 0 {
		return
	}
	began := w.base + w.tick*int64(int32(t.Now-w.count))
	if w.tick == 0 || at < began || at-began > lagging {
		began = at
	}
	w.tick, w.count, w.base = int64(t.Tick), t.Now, began
}

// fires is when a timer fires that was learnt last; 0: there is none.
func (w *wheel) fires(t tcp.Timer) int64 {
	if t.Tick == 0 {
		return 0
	}
	return w.base + w.tick*int64(int32(slotEnd(t.Now, t.Expires)-w.count))
}

// after is when a timer fires that is armed now, for d.
func (w *wheel) after(now int64, d time.Duration) int64 {
	if w.tick == 0 {
		return now + int64(d)
	}
	jiffies := w.count + uint32((now-w.base)/w.tick)
	end := slotEnd(jiffies, jiffies+uint32(int64(d)/w.tick))
	return w.base + w.tick*int64(int32(end-w.count))
}

// slotEnd is the jiffy in which a timer fires that was armed at now.
func slotEnd(now, expires uint32) uint32 {
	const levels, firstEnd, widens = 8, 63, 3 // LVL_DEPTH, LVL_START(1), LVL_CLK_SHIFT
	shift := 0
	for ahead := uint64(expires - now); shift < levels*widens && ahead >= firstEnd<<shift; {
		shift += widens
	}
	return (expires>>shift + 1) << shift
}
