package render

import (
	"strings"
	"testing"

	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
)

// TestVerdictAnew: what is told anew is told in full, and says so; an update says by
// which number the conversation was told of before.
func TestVerdictAnew(t *testing.T) {
	for _, c := range []struct {
		v    diagnose.Verdict
		want string
	}{
		{diagnose.Verdict{Fresh: true}, "#5 10.0.0.1.40000 > 10.0.0.5.5432\n  loss, on the way\n    lost\n    next: look\n"},
		{diagnose.Verdict{Fresh: true, Episode: 1}, "#5 10.0.0.1.40000 > 10.0.0.5.5432\n  loss, on the way, again\n    lost\n    next: look\n"},
		{diagnose.Verdict{Episode: 1, Update: 1, Formerly: []uint64{7}}, "#5 (was #7) 10.0.0.1.40000 > 10.0.0.5.5432\n  loss, on the way, update\n    lost\n"},
	} {
		c.v.End = &diagnose.End{Number: 5, Flow: conntest.Flow("10.0.0.1:40000", "10.0.0.5:5432")}
		c.v.Findings = []diagnose.Finding{{Rule: diagnose.RuleOf("loss"), Place: diagnose.OnTheWay, Certainty: diagnose.Sure, Text: "lost", Next: "look"}}
		var out strings.Builder
		w := NewVerdicts(NewWriter(&out, "a text", false), func() int { return 0 })
		if err := w.Verdict(&c.v); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, text, _ := strings.Cut(out.String(), " "); text != c.want {
			t.Errorf("%q, want %q", text, c.want)
		}
	}
}
