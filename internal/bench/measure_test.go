package bench

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMeasure runs the real thing once, briefly. It asserts that there are
// figures, not which: this machine may do other things, too.
func TestMeasure(t *testing.T) {
	tracer := filepath.Join(t.TempDir(), "tcpstory")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", tracer, "tcpstory/cmd/tcpstory").CombinedOutput(); err != nil {
		t.Fatalf("build the tracer: %v\n%s", err, out)
	}
	tools, err := Select()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Measure(t.Context(), Options{
		Tracer: tracer, Tools: tools, Pairs: 1, Duration: 100 * time.Millisecond, Rate: 500,
	})
	if err != nil {
		t.Fatal(err)
	}
	silent := []string{DumpFile, StoryRecord, StoryFlight, StoryWhy} // on standard output
	prompt := 0
	for _, row := range r.Results() {
		if row.Load.Value <= 0 || row.PeakMiB <= 0 {
			t.Errorf("%s: load ×%v, %v MiB", row.Command, row.Load.Value, row.PeakMiB)
		}
		for _, g := range []Regime{row.Full, row.Paced} {
			if g.CPU.Value <= 0 || g.CPUPerEvent <= 0 || g.Told == 0 || g.LostShare > 1 {
				t.Errorf("%s: %+v", row.Command, g)
			}
		}
		if printed := row.First.Value > 0; printed == slices.Contains(silent, row.Tool) {
			t.Errorf("%s: first event after %v ms", row.Command, row.First.Value)
		} else if printed && slices.Contains(storyTools, row.Tool) {
			prompt++
		}
	}
	if n, want := len(r.Verdicts()), len(limits)+len(storyTools)+prompt+2; n != want { // and two on lives alone
		t.Errorf("%d verdicts, not %d", n, want)
	}
}

// TestNothing: a process that does nothing can be measured like any tool, and is none of
// those that are measured unasked.
func TestNothing(t *testing.T) {
	tools, err := Select(Nothing)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Measure(t.Context(), Options{Tools: tools, Pairs: 2, Duration: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	row := r.Results()[0]
	if len(r.Verdicts()) != 0 || len(r.Starts) != 0 || row.Load.Value <= 0 || row.Busy == (Estimate{}) || row.Full.Told+row.Full.Lost != 0 {
		t.Errorf("%+v, %v", row, r.Verdicts())
	}
	if all, _ := Select(); slices.ContainsFunc(all, func(t *Tool) bool { return t.Name == Nothing }) {
		t.Error("it is measured unasked")
	}
}

// TestToolFails: what a tool complained of is in the error.
func TestToolFails(t *testing.T) {
	tools, err := Select(Story)
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Tracer: "/bin/ls", Tools: tools, Pairs: 1, Duration: 10 * time.Millisecond}
	tools[0].Command = append(tools[0].Command, "--no-such-flag")
	if _, err := Measure(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("the error is %v", err)
	}
	opt.Tracer = "/nonexistent"
	if _, err := Measure(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("the error is %v", err)
	}
}

// TestInterrupted: what was measured before Ctrl-C is reported.
func TestInterrupted(t *testing.T) {
	tools, err := Select(DumpFile)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := Measure(ctx, Options{
		Tools: tools, Pairs: 1, Duration: 20 * time.Millisecond, Rate: 500,
		Tell: func(line string) {
			if strings.HasPrefix(line, "full speed, longer") {
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if r.Empty() || len(r.Runs) != 3 || len(r.Steady) != 0 {
		t.Errorf("%d runs and %d steady are left, not 3 and 0", len(r.Runs), len(r.Steady))
	}
}
