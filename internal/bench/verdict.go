package bench

import (
	"fmt"
	"slices"
)

// Verdict is one thing that tracing may cost at most, and what it does cost.
type Verdict struct {
	Pass bool   `json:"pass"`
	Text string `json:"text"` // with the figures
}

// String is the verdict in one line.
func (v Verdict) String() string {
	if v.Pass {
		return "PASS  " + v.Text
	}
	return "FAIL  " + v.Text
}

// What is compared, by the words for it.
const (
	loadAdded = "time added to a connection"
	cpuSpent  = "own CPU on a connection told in full"
)

var figures = map[string]func(Run) float64{loadAdded: Run.added, cpuSpent: Run.cpuTold}

// limits are the conditions that compare tcpstory with another tool.
var limits = []struct {
	tool, with string
	what       string
	atMost     float64 // of the other tool's figure
	paced      bool
}{
	{StoryStates, TCPStates, loadAdded, 0.1, false},
	{StoryStates, TCPStates, cpuSpent, 0.25, false},
	{StoryStates, TCPStates, cpuSpent, 0.25, true},
	{Story, DumpLines, loadAdded, 1, false},
	{Story, DumpLines, cpuSpent, 0.25, false},
	{Story, DumpLines, cpuSpent, 0.25, true},
	{StoryRecord, DumpFile, loadAdded, 1, false},
	{StoryFlight, DumpFile, loadAdded, 1. / 3, false},
	{StoryWhy, DumpFile, loadAdded, 0.5, false},
	{StoryLife, TCPLife, loadAdded, 1. / 6, false},
}

// storyTools are ours: what must lose nothing and start soon.
var storyTools = []string{StoryStates, Story, StoryPackets, StoryRecord, StoryFlight, StoryWhy, StoryLife}

// What a report of lives may cost by itself: CPU time at full speed for both ends
// of a connection, µs, and resident memory, MiB.
const (
	lifeCPULimit    = 3.5
	lifeMemoryLimit = 40
)

// frugal judges a report of lives by itself.
func (row Result) frugal() []Verdict {
	if row.Tool != StoryLife || row.Full.Told == 0 {
		return nil
	}
	all := []Verdict{{
		Pass: row.PeakMiB > 0 && row.PeakMiB < lifeMemoryLimit,
		Text: fmt.Sprintf("%s had %.0f MiB resident at its peak, less than %d", row.Command, row.PeakMiB, lifeMemoryLimit),
	}}
	if cpu := row.Full.CPU; cpu != (Estimate{}) {
		all = append([]Verdict{{
			Pass: cpu.Value <= lifeCPULimit,
			Text: fmt.Sprintf("%s took %s µs of its own for both ends of a connection, at most %g", row.Command, cpu.with("%.2f"), lifeCPULimit),
		}}, all...)
	}
	return all
}

// firstEventLimit is the time from exec to the first event, ms.
const firstEventLimit = 300

// Verdicts judges what was measured; what was not is left out.
func (r *Report) Verdicts() []Verdict {
	var all []Verdict
	for i := range limits {
		all = append(all, r.compare(i)...)
	}
	for _, row := range r.Results() {
		if slices.Contains(storyTools, row.Tool) {
			all = append(append(all, row.complete()), row.frugal()...)
		}
	}
	for _, row := range r.Results() {
		if slices.Contains(storyTools, row.Tool) && row.First.Value > 0 {
			all = append(all, row.prompt())
		}
	}
	return all
}

// compare judges one of the limits, if both tools were measured.
func (r *Report) compare(i int) []Verdict {
	l := limits[i]
	runs, pace := r.Runs, "at full speed"
	switch {
	case l.paced:
		runs, pace = r.Paced, fmt.Sprintf("at %d a second", r.Rate)
	case l.what == cpuSpent:
		runs = r.Steady
	}
	ours := each(runsOf(runs, l.tool), figures[l.what])
	theirs := each(runsOf(runs, l.with), figures[l.what])
	if len(ours) == 0 || len(theirs) == 0 {
		return nil
	}
	our, their := medianOf(ours).Value, medianOf(theirs).Value
	text := fmt.Sprintf("%s, %s: %s %.2f µs, %s %.2f µs: ×%s, at most ×%.3g",
		l.what, pace, r.title(l.tool), our, r.title(l.with), their, quotientOf(ours, theirs).with("%.3f"), l.atMost)
	if e := excessOf(ours, theirs, l.atMost); e.Low < 0 && e.High > 0 {
		text += "; within the error of both"
	}
	if l.what == loadAdded {
		text += "; " + busyText(each(runsOf(runs, l.tool), Run.busier), each(runsOf(runs, l.with), Run.busier))
	}
	return []Verdict{{Pass: their > 0 && our <= l.atMost*their, Text: text}}
}

// busyText compares the load's CPU time, for what it is worth beside the time: it is
// far less uncertain where others keep the CPUs busy, and has no waiting in it.
func busyText(ours, theirs []float64) string {
	return fmt.Sprintf("CPU time added to it %.2f and %.2f µs: ×%s",
		medianOf(ours).Value, medianOf(theirs).Value, quotientOf(ours, theirs).with("%.3f"))
}

// complete judges what a tool of ours lost, at full speed and paced.
func (row Result) complete() Verdict {
	lost, told := row.Full.Lost+row.Paced.Lost, row.Full.Told+row.Paced.Told
	return Verdict{
		Pass: lost == 0 && told > 0,
		Text: fmt.Sprintf("%s lost %d events, told %d", row.Command, lost, told),
	}
}

func (row Result) prompt() Verdict {
	return Verdict{
		Pass: row.First.Value < firstEventLimit,
		Text: fmt.Sprintf("%s showed its first event %s ms after exec, less than %d",
			row.Command, row.First.with("%.0f"), firstEventLimit),
	}
}
