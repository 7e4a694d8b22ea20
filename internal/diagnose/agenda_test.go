package diagnose

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAgenda: whatever is set, set anew and removed, the earliest comes first.
func TestAgenda(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]record, 500)
	var a agenda
	for range 20_000 {
		r := &all[random.IntN(len(all))]
		switch random.IntN(4) {
		case 0:
			a.remove(r)
		case 1:
			if first := a.first(); first != nil {
				a.remove(first)
			}
		default:
			a.set(r, random.Int64N(1000))
		}
		var dues []int64
		for i := range all {
			if r := &all[i]; r.listed {
				dues = append(dues, r.due)
			}
		}
		if len(dues) != len(a.due) {
			t.Fatalf("%d are listed, %d on the agenda", len(dues), len(a.due))
		}
		if first := a.first(); first != nil && first.due != slices.Min(dues) {
			t.Fatalf("the first is due at %d, the earliest at %d", first.due, slices.Min(dues))
		}
	}
}
