package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Tax is what made traced events dearer while it was measured, for every tool.
type Tax struct {
	What  string `json:"what"`
	Looks int    `json:"looks"` // how often it was there, of Report.Looks
}

// look notes what taxes tracing now, and tells of what is new: whoever watches can
// stop. None of the tools may be running: they would tax themselves.
func (b *bench) look() {
	if b.Taxes == nil {
		return
	}
	b.report.Looks++
	for _, what := range b.Taxes() {
		i := slices.IndexFunc(b.report.Taxes, func(t Tax) bool { return t.What == what })
		if i < 0 {
			b.Tell("CAUTION: " + what)
			b.report.Taxes, i = append(b.report.Taxes, Tax{What: what}), len(b.report.Taxes)
		}
		b.report.Taxes[i].Looks++
	}
}

// mostCautions is how many taxes have a line of their own.
const mostCautions = 6

// cautions are lines about what spoils the figures, the most lasting first.
func (r *Report) cautions() string {
	var b strings.Builder
	if n, all := r.disturbed(); n > 0 {
		fmt.Fprintf(&b, "CAUTION: %d of %d runs lost more than %g %% of the CPU time to other processes.\n", n, all, disturbance*100)
	}
	taxes := slices.Clone(r.Taxes)
	slices.SortStableFunc(taxes, func(a, b Tax) int { return cmp.Compare(b.Looks, a.Looks) })
	for _, t := range taxes[:min(len(taxes), mostCautions)] {
		fmt.Fprintf(&b, "CAUTION: %s (at %d of %d looks).\n", t.What, t.Looks, r.Looks)
	}
	if more := len(taxes) - mostCautions; more > 0 {
		fmt.Fprintf(&b, "CAUTION: %d more like these, some of the time.\n", more)
	}
	return b.String()
}
