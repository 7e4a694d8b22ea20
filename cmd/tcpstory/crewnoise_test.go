package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/lab"
)

// noise keeps the softirqs of all CPUs busy until the test ends, by connections
// between hosts that no tracer watches, and wants them to have been busy.
func noise(t *testing.T) {
	t.Helper()
	l := newLab(t, lab.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began, before := time.Now(), received(t)
	go func() {
		_, err := lab.Load(ctx, l.Host(lab.Client), lab.LoadOptions{
			Duration: time.Hour, Rate: noisePace, Bytes: 200, Workers: 2, Steer: true, Server: l.Host(lab.Server),
		})
		done <- err
	}()
	t.Cleanup(func() {
		after, seconds := received(t), time.Since(began).Seconds()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the noise has ended: %v", err)
		}
		for cpu := range after {
			rate := float64(after[cpu]-before[cpu]) / seconds
			t.Logf("CPU %d: %.0f receive softirqs a second", cpu, rate)
			if rate < leastNoise {
				t.Errorf("CPU %d has not been busy", cpu)
			}
		}
	})
}

// leastNoise is receive softirqs a second on each CPU.
const leastNoise = 1000

// received counts the receive softirqs of each CPU since boot.
func received(t *testing.T) (counts []uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/softirqs")
	if err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(string(text), "NET_RX:")
	row, _, _ = strings.Cut(row, "\n")
	for _, f := range strings.Fields(row) {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, n)
	}
	return counts
}
