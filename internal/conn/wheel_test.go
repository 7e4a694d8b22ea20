package conn

import (
	"math/rand/v2"
	"testing"
	"time"

	"tcpstory/internal/tcp"
)

// TestSlotEnd compares with kernel/time/timer.c, calc_wheel_index, level by level.
func TestSlotEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	starts := [...]uint32{0, 63, 504, 4032, 32256, 258048, 2064384, 16515072} // LVL_START(n)
	for range 200_000 {
		now, ahead := r.Uint32(), r.Uint32N(20_000_000)
		expires, level := now+ahead, 0
		for level+1 < len(starts) && ahead >= starts[level+1] {
			level++
		}
		grain := uint32(1) << (3 * level)
		want := (expires/grain + 1) * grain
		if got := slotEnd(now, expires); got != want {
			t.Fatalf("armed at %d for %d: fires at %d, want %d", now, ahead, got, want)
		}
	}
}

// TestTimersFireAtTheEndOfASlot: 60 s in jiffies of every CONFIG_HZ.
func TestTimersFireAtTheEndOfASlot(t *testing.T) {
	for hz, most := range map[int64]time.Duration{100: 5120 * time.Millisecond, 250: 2048 * time.Millisecond, 300: 1707 * time.Millisecond, 1000: 4096 * time.Millisecond} {
		tick := time.Second / time.Duration(hz)
		boot := time.Now().UnixNano()
		jiffies := func(at int64) uint32 { return uint32((at - boot) / int64(tick)) }
		var w wheel
		w.learn(boot+12345, tcp.Timer{Tick: tick, Now: jiffies(boot + 12345)})
		for step := range int64(2000) {
			now := boot + step*1_037_000
			lasts := time.Duration(w.after(now, time.Minute) - now)
			if lasts <= time.Minute-tick || lasts > time.Minute+most+tick {
				t.Fatalf("%d Hz: TIME_WAIT lasts %v", hz, lasts)
			}
			told := tcp.Timer{Tick: tick, Now: jiffies(now), Expires: jiffies(now) + uint32(time.Minute/tick)}
			w.learn(now, told)
			if d := time.Duration(w.fires(told) - now - int64(lasts)); d.Abs() > tick {
				t.Fatalf("%d Hz: told and reckoned differ by %v", hz, d)
			}
		}
	}
}

// TestWheelLearns: jiffies that wrap, are counted late, or a clock that is set.
func TestWheelLearns(t *testing.T) {
	const tick = 4 * time.Millisecond
	var w wheel
	if got := w.after(1000, time.Second); got != 1000+int64(time.Second) {
		t.Errorf("without a jiffy a second ends after %v", time.Duration(got-1000))
	}
	at := func(jiffies uint32, now int64) { w.learn(now, tcp.Timer{Tick: tick, Now: jiffies}) }
	at(0xffffffff, 3_000_000)
	at(0, 7_000_000)
	at(1, 9_000_000) // that jiffy has begun earlier than the ones before seemed to
	if w.base != 9_000_000 {
		t.Errorf("jiffy 1 began at %d", w.base)
	}
	at(2, 15_000_000) // late
	if w.base != 13_000_000 {
		t.Errorf("jiffy 2 began at %d", w.base)
	}
	at(3, int64(time.Hour))
	if w.base != int64(time.Hour) {
		t.Errorf("the clock was set, and jiffy 3 began at %d", w.base)
	}
}
