package bench

import (
	"fmt"
	"strings"
	"testing"
)

// TestCautions: what taxed the tools is told at once, once, and in the report before
// the table, the most lasting first; too many are counted.
func TestCautions(t *testing.T) {
	looks := [][]string{{"clock"}, {"clock"}, {"tracer", "clock"}}
	var told []string
	b := &bench{report: invented(t)}
	b.Tell = func(line string) { told = append(told, line) }
	b.Taxes = func() []string { return looks[b.report.Looks-1] }
	for range looks {
		b.look()
	}
	if got := strings.Join(told, "; "); got != "CAUTION: clock; CAUTION: tracer" {
		t.Errorf("told: %s", got)
	}
	const want = "CAUTION: clock (at 3 of 3 looks).\nCAUTION: tracer (at 1 of 3 looks).\n"
	var text strings.Builder
	if err := b.report.WriteText(&text); err != nil || !strings.Contains(text.String(), want+"\nFull speed") {
		t.Errorf("%v\n%s", err, &text)
	}
	for i := range 2 * mostCautions {
		b.report.Taxes = append(b.report.Taxes, Tax{What: fmt.Sprint(i), Looks: 1})
	}
	lines := strings.Split(strings.TrimSpace(b.report.cautions()), "\n")
	if len(lines) != mostCautions+1 || lines[mostCautions] != "CAUTION: 8 more like these, some of the time." {
		t.Errorf("%q", lines)
	}
}
