package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"testing"
	"time"
)

// withheld follows for how long the threads of some processes were ready to run and
// had no CPU, which is the kernel's own account (the second number in
// /proc/PID/task/TID/schedstat). On a machine that is busy with other things a
// promise about time can only be judged beside it. Of threads that waited at the same
// time the one counts that waited longest: no second holds more than a second.
type withheld struct {
	mu      sync.Mutex
	samples []wait // in order
	last    map[string]int64
}

// wait is the sum so far at a time, both nanoseconds.
type wait struct{ at, sum int64 }

// sampleEvery is far less than anything that is judged by it.
const sampleEvery = 50 * time.Millisecond

// followWaits follows processes until the test ends.
func followWaits(t *testing.T, pids ...int) *withheld {
	w := &withheld{last: map[string]int64{}}
	stop, stopped := make(chan struct{}), make(chan struct{})
	w.sample(pids)
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(sampleEvery); ; {
			select {
			case <-tick.C:
				w.sample(pids)
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return w
}

func (w *withheld) sample(pids []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, most := time.Now().UnixNano(), int64(0)
	for _, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, file := range files {
			var ran, waited int64
			text, _ := os.ReadFile(file) // empty: the thread has ended
			if n, _ := fmt.Sscan(string(text), &ran, &waited); n == 2 {
				most = max(most, waited-w.last[file])
				w.last[file] = waited
			}
		}
	}
	if n := len(w.samples); n > 0 {
		before := w.samples[n-1]
		w.samples = append(w.samples, wait{now, before.sum + min(most, now-before.at)})
		return
	}
	w.samples = []wait{{at: now}} // how long they had waited by then is nobody's excuse
}

// between is for how long they waited between two times.
func (w *withheld) between(from, to int64) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := sort.Search(len(w.samples), func(i int) bool { return w.samples[i].at > from })
	last := sort.Search(len(w.samples), func(i int) bool { return w.samples[i].at >= to })
	return w.samples[min(last, len(w.samples)-1)].sum - w.samples[max(first-1, 0)].sum
}
