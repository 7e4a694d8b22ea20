package life

import (
	"math/bits"
	"time"
)

// Sketch counts durations so that percentiles can be told: in buckets that are a
// sixteenth of a power of two wide, so that one is off by 1/32 (3.2 %) at most. It
// needs the same memory whatever it counts. The zero value is ready for use.
type Sketch struct {
	n       uint64
	buckets [sketchOctaves * sketchSteps]uint32
}

const (
	sketchSteps   = 16
	sketchOctaves = 40 // up to 2^43 µs, a hundred days, and all above it
)

// Add counts d; what is Unknown is not counted.
func (s *Sketch) Add(d time.Duration) {
	if d < 0 {
		return
	}
	s.n++
	s.buckets[bucketOf(uint64(d/time.Microsecond))]++
}

// Count is how many were counted.
func (s *Sketch) Count() uint64 { return s.n }

// bucketOf: below 16 µs each has its own; then the four bits behind the first.
func bucketOf(us uint64) int {
	if us < sketchSteps {
		return int(us)
	}
	shift := bits.Len64(us) - 5
	return min((shift+1)*sketchSteps+int(us>>shift)-sketchSteps, sketchOctaves*sketchSteps-1)
}

// middleOf is the middle of a bucket, µs.
func middleOf(bucket int) float64 {
	if bucket < sketchSteps {
		return float64(bucket)
	}
	shift := bucket/sketchSteps - 1
	width := uint64(1) << shift
	low := uint64(bucket%sketchSteps+sketchSteps) << shift
	return float64(low) + float64(width-1)/2
}

// Percentile is the value that p percent are not above; Unknown of none.
func (s *Sketch) Percentile(p float64) time.Duration {
	if s.n == 0 {
		return Unknown
	}
	rank := uint64(p / 100 * float64(s.n))
	if float64(rank) < p/100*float64(s.n) || rank == 0 {
		rank++
	}
	var sum uint64
	for i, n := range s.buckets {
		if sum += uint64(n); sum >= rank {
			return time.Duration(middleOf(i) * float64(time.Microsecond))
		}
	}
	return Unknown
}

// Octaves are how many were counted in each power of two, from the lowest that
// has any to the highest: the first begins at first, and each is twice the one before.
func (s *Sketch) Octaves() (first time.Duration, counts []uint64) {
	var all [sketchOctaves + 4]uint64
	low, high := -1, 0
	for i, n := range s.buckets {
		if n == 0 {
			continue
		}
		o := bits.Len64(uint64(middleOf(i)))
		all[o] += uint64(n)
		if low < 0 {
			low = o
		}
		high = o
	}
	if low < 0 {
		return 0, nil
	}
	if low > 0 {
		first = time.Microsecond << (low - 1)
	}
	return first, all[low : high+1]
}
