package bench

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		xs   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.xs); got != c.want {
			t.Errorf("median %v = %v, want %v", c.xs, got, c.want)
		}
	}
}

// TestBootstrapCovers: the interval holds the median of what the pairs are
// drawn from about as often as it says, and it is no wider than it must be.
func TestBootstrapCovers(t *testing.T) {
	const trials, n = 400, 11
	held, width := 0, 0.0
	seed := uint64(1)
	for range trials {
		xs := make([]float64, n)
		for i := range xs {
			seed = seed*6364136223846793005 + 1442695040888963407
			xs[i] = float64(seed>>11) / (1 << 53) // uniform: the median is 0.5
		}
		e := medianOf(xs)
		if e.Low > e.Value || e.Value > e.High {
			t.Fatalf("%+v does not hold its own median", e)
		}
		if e.Low <= 0.5 && 0.5 <= e.High {
			held++
		}
		width += (e.High - e.Low) / trials
	}
	if held < trials*90/100 || held == trials {
		t.Errorf("the interval held the median %d times of %d", held, trials)
	}
	if width > 0.6 {
		t.Errorf("the interval is %.2f wide on average, of 1", width)
	}
}

// TestQuotient: figures of the same pair stay together, so what a noisy pair
// adds to both cancels out.
func TestQuotient(t *testing.T) {
	e := quotientOf([]float64{1, 20, 3, 400, 5}, []float64{4, 80, 12, 1600, 20})
	if math.Abs(e.Value-0.25) > 1e-9 || math.Abs(e.Low-0.25) > 1e-9 || math.Abs(e.High-0.25) > 1e-9 {
		t.Errorf("a quarter in every pair is estimated as %+v", e)
	}
	if e := quotientOf(nil, []float64{1}); e != (Estimate{}) {
		t.Errorf("nothing was measured, yet %+v", e)
	}
}
