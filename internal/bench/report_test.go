package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// invented is a report of figures that are easy to reckon with.
func invented(t *testing.T) *Report {
	tools, err := Select(StoryStates, TCPStates, Story, DumpLines)
	if err != nil {
		t.Fatal(err)
	}
	r := &Report{Pairs: 3, Seconds: 2, Rate: 2000, tools: tools}
	for pair := range 3 {
		drift := float64(pair) // what changes from pair to pair hits all alike
		run := func(tool string, us, cpu float64, lost uint64) Run {
			return Run{
				Tool: tool, Pair: pair, Conns: 100, USAlone: 20 + drift, USPerConn: 20 + drift + us, CPUAlone: 19, CPUPerConn: 19 + us/2,
				ToolCPU: cpu, Events: 1000 - lost, Lost: lost, LostOf: 1000,
			}
		}
		r.Runs = append(r.Runs,
			Run{Pair: pair, Conns: 100, USPerConn: 20 + drift},
			run(StoryStates, 4, 10, 0), run(TCPStates, 50, 50, 0),
			run(Story, 3, 12, 0), run(DumpLines, 3.5, 20, 750),
		)
		short := r.Runs[len(r.Runs)-4:]
		r.Steady = append(r.Steady, short...)
		for i := range short {
			short[i].ToolCPU *= 2 // it is not to be looked at
		}
		r.Paced = append(r.Paced, run(Story, 0, 15, uint64(pair/2)), run(DumpLines, 0, 30, 0))
		r.Starts = append(r.Starts, Start{Story, 100 + drift}, Start{StoryStates, 400})
	}
	return r
}

// TestVerdicts: each condition is judged by the right figures, and what was
// not measured is not judged.
func TestVerdicts(t *testing.T) {
	want := []string{
		"PASS  time added to a connection, at full speed: tcpstory --no-packets 4.00 µs, tcpstates 50.00 µs: ×0.080 (",
		"PASS  own CPU on a connection told in full, at full speed: tcpstory --no-packets 10.00 µs, tcpstates 50.00 µs: ×0.200 (",
		"PASS  time added to a connection, at full speed: tcpstory 3.00 µs, tcpdump -l -nn -i lo 3.50 µs: ×0.857 (",
		"PASS  own CPU on a connection told in full, at full speed: tcpstory 12.00 µs, tcpdump -l -nn -i lo 80.00 µs: ×0.150 (",
		"FAIL  own CPU on a connection told in full, at 2000 a second: tcpstory 15.00 µs, tcpdump -l -nn -i lo 30.00 µs: ×0.50",
		"PASS  tcpstory --no-packets lost 0 events, told 6000",
		"FAIL  tcpstory lost 1 events, told 8999",
		"FAIL  tcpstory --no-packets showed its first event 400 (400–400) ms after exec, less than 300",
		"PASS  tcpstory showed its first event 101 (",
	}
	got := invented(t).Verdicts()
	if len(got) != len(want) {
		t.Fatalf("%d verdicts, not %d: %v", len(got), len(want), got)
	}
	for i, v := range got {
		if !strings.HasPrefix(v.String(), want[i]) {
			t.Errorf("%s\nwant %s", v, want[i])
		}
	}
}

// TestVerdictIsUncertain: a verdict says that the pairs do not bear it, and what the
// load's CPU time says.
func TestVerdictIsUncertain(t *testing.T) {
	r := invented(t)
	const doubt = "; within the error of both"
	if v := r.Verdicts()[0].String(); strings.Contains(v, doubt) || !strings.HasSuffix(v, "; CPU time added to it 2.00 and 25.00 µs: ×0.080 (0.080–0.080)") {
		t.Error(v)
	}
	if v := r.Verdicts()[1].String(); strings.Contains(v, doubt) || strings.Contains(v, "added") {
		t.Error(v)
	}
	for i := range r.Runs {
		if r.Runs[i].Tool == StoryStates && r.Runs[i].Pair == 0 {
			r.Runs[i].USPerConn += 5
		}
	}
	if v := r.Verdicts()[0].String(); !strings.HasPrefix(v, "PASS") || !strings.Contains(v, doubt+";") {
		t.Errorf("one pair of three is over the limit: %s", v)
	}
}

// TestLifeIsFrugal: its limits are figures of its own.
func TestLifeIsFrugal(t *testing.T) {
	for _, c := range []struct {
		cpu, added float64
		kib        uint64
		pass       []bool
	}{{3.5, 5, 39 << 10, []bool{true, true, true, true}}, {3.6, 11, 40 << 10, []bool{false, true, false, false}}} {
		tools, err := Select(StoryLife, TCPLife)
		if err != nil {
			t.Fatal(err)
		}
		r := &Report{Pairs: 1, Seconds: 2, tools: tools, Runs: []Run{
			{Tool: StoryLife, Conns: 10, USAlone: 20, USPerConn: 20 + c.added, ToolCPU: c.cpu, Events: 20, LostOf: 20, PeakKiB: c.kib},
			{Tool: TCPLife, Conns: 10, USAlone: 20, USPerConn: 50, ToolCPU: 15, Events: 20, LostOf: 20},
		}}
		if hasty := r.Verdicts(); len(hasty) != 3 {
			t.Errorf("CPU time is judged by short runs: %v", hasty)
		}
		r.Steady = r.Runs
		got := r.Verdicts()
		if len(got) != 4 || got[0].Pass != c.pass[3] || got[1].Pass != c.pass[1] || got[2].Pass != c.pass[0] || got[3].Pass != c.pass[2] {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestVerdictOverLimit: the limits are limits.
func TestVerdictOverLimit(t *testing.T) {
	r := invented(t)
	for i := range r.Runs {
		if r.Runs[i].Tool == StoryStates {
			r.Runs[i].USPerConn += 1.5
		}
	}
	for i := range r.Steady {
		if r.Steady[i].Tool == StoryStates {
			r.Steady[i].ToolCPU += 3
		}
	}
	for _, v := range r.Verdicts()[:2] {
		if v.Pass {
			t.Errorf("more than the limit: %s", v)
		}
	}
}

// TestText: the tables show every tool.
func TestText(t *testing.T) {
	var b bytes.Buffer
	r := invented(t)
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a connection takes 21.0 (", "×1.19 (", "  2.0 (2.0–2.0)", "75 %", "–"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &b)
		}
	}
	for _, tool := range r.tools {
		if n := strings.Count(b.String(), "\n"+tool.Title()+"  "); n != 2 {
			t.Errorf("%s has %d rows, not 2, in\n%s", tool.Title(), n, &b)
		}
	}
	if strings.Contains(b.String(), "CAUTION") {
		t.Error("nobody disturbed these runs")
	}
	r.Runs[0].Others = 0.5
	b.Reset()
	if err := r.WriteText(&b); err != nil || !strings.Contains(b.String(), "CAUTION: 1 of 33 runs") {
		t.Errorf("a disturbed run is not told: %v\n%s", err, &b)
	}
}

// TestJSON: whoever doubts the figures finds every run.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := invented(t).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Runs, Steady, Paced, Starts, Results, Verdicts []map[string]any
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Runs) != 15 || len(got.Steady) != 12 || len(got.Paced) != 6 || len(got.Starts) != 6 || len(got.Results) != 4 || len(got.Verdicts) != 9 {
		t.Errorf("%d runs, %d steady, %d paced, %d starts, %d results, %d verdicts",
			len(got.Runs), len(got.Steady), len(got.Paced), len(got.Starts), len(got.Results), len(got.Verdicts))
	}
}
