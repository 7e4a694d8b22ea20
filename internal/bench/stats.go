package bench

import (
	"math/rand/v2"
	"slices"
)

// Estimate is a figure with the interval that holds it in 95 of 100 benchmarks.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// resamples is how often a bootstrap draws; the tails then hold 50 draws each.
const resamples = 2000

// bootstrap estimates a statistic of n pairs by drawing n of them, with
// repetition, again and again. The statistic is given the numbers of the pairs
// that were drawn. The draws are the same in every call.
func bootstrap(n int, statistic func(pairs []int) float64) Estimate {
	pairs := make([]int, n)
	for i := range pairs {
		pairs[i] = i
	}
	e := Estimate{Value: statistic(pairs)}
	rng := rand.New(rand.NewPCG(1, 1))
	drawn := make([]float64, resamples)
	for k := range drawn {
		for i := range pairs {
			pairs[i] = rng.IntN(n)
		}
		drawn[k] = statistic(pairs)
	}
	slices.Sort(drawn)
	e.Low, e.High = drawn[resamples*25/1000], drawn[resamples*975/1000-1]
	return e
}

// medianOf estimates the median of a figure that each pair has.
func medianOf(xs []float64) Estimate {
	if len(xs) == 0 {
		return Estimate{}
	}
	return bootstrap(len(xs), func(pairs []int) float64 { return median(pick(xs, pairs)) })
}

// quotientOf estimates how many times the median of b the median of a is; the
// two were measured in the same pairs.
func quotientOf(a, b []float64) Estimate {
	n := min(len(a), len(b))
	if n == 0 {
		return Estimate{}
	}
	return bootstrap(n, func(pairs []int) float64 { return median(pick(a, pairs)) / median(pick(b, pairs)) })
}

// excessOf estimates by how much the median of a is more than limit times that of b;
// the two were measured in the same pairs. Unlike a quotient it bears a b near 0.
func excessOf(a, b []float64, limit float64) Estimate {
	n := min(len(a), len(b))
	if n == 0 {
		return Estimate{}
	}
	return bootstrap(n, func(pairs []int) float64 { return median(pick(a, pairs)) - limit*median(pick(b, pairs)) })
}

func pick(xs []float64, which []int) []float64 {
	out := make([]float64, len(which))
	for i, k := range which {
		out[i] = xs[k]
	}
	return out
}

// median of an unsorted slice, which it sorts; 0 of none.
func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	slices.Sort(xs)
	mid := len(xs) / 2
	if len(xs)%2 == 1 {
		return xs[mid]
	}
	return (xs[mid-1] + xs[mid]) / 2
}
