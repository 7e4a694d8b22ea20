package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Report is all that was measured.
type Report struct {
	Machine Machine   `json:"machine"`
	Date    time.Time `json:"date"`
	Pairs   int       `json:"pairs"`
	Seconds float64   `json:"seconds"` // of each run
	Rate    int       `json:"rate"`    // of the paced runs, connections per second
	Runs    []Run     `json:"runs"`    // at full speed, as they came
	Steady  []Run     `json:"steady"`  // at full speed, longer: for the tools' own CPU time
	Paced   []Run     `json:"paced"`   // likewise
	Starts  []Start   `json:"starts"`
	Looks   int       `json:"looks"` // at what else ran on the host, one before each round
	Taxes   []Tax     `json:"taxes"`

	tools []*Tool
}

func newReport(opt Options) *Report {
	return &Report{
		Machine: thisMachine(), Date: time.Now(),
		Pairs: opt.Pairs, Seconds: opt.Duration.Seconds(), Rate: opt.Rate, tools: opt.Tools,
	}
}

// WriteJSON writes every run and what was made of them.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	err := enc.Encode(struct {
		*Report
		Results  []Result  `json:"results"`
		Verdicts []Verdict `json:"verdicts"`
	}{r, r.Results(), r.Verdicts()})
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Empty reports whether nothing was measured.
func (r *Report) Empty() bool { return len(runsOf(r.Runs, "")) == len(r.Runs) }

// Result is one tool's row.
type Result struct {
	Tool    string   `json:"tool"`
	Command string   `json:"command"`
	Full    Regime   `json:"full_speed"`
	Paced   Regime   `json:"paced"`
	Load    Estimate `json:"load_ratio"`     // time per connection over that of the neighbour runs
	Added   Estimate `json:"added_us"`       // time added to a connection, µs
	Busy    Estimate `json:"added_cpu_us"`   // CPU time of the load added to a connection, µs: no waiting for a CPU in it
	First   Estimate `json:"first_event_ms"` // from exec; all zero: not measured
	PeakMiB float64  `json:"peak_rss_mib"`
}

// Regime is what a tool did at one pace of the load.
type Regime struct {
	CPU         Estimate `json:"cpu_us"`           // the tool's own, µs per connection
	Events      float64  `json:"events"`           // told per connection
	CPUPerEvent float64  `json:"cpu_us_per_event"` // of those that were told
	LostShare   float64  `json:"lost_share"`       // by the tool's own account
	Lost        uint64   `json:"lost"`             // events
	Told        uint64   `json:"told"`             // events
}

// Results are the tools' rows.
func (r *Report) Results() []Result {
	var rows []Result
	for _, t := range r.tools {
		full, steady, paced := runsOf(r.Runs, t.Name), runsOf(r.Steady, t.Name), runsOf(r.Paced, t.Name)
		row := Result{
			Tool: t.Name, Command: t.Title(), Full: regimeOf(steady, full), Paced: regimeOf(paced, nil),
			Load:  medianOf(each(full, Run.ratio)),
			Added: medianOf(each(full, Run.added)),
			Busy:  medianOf(each(full, Run.busier)),
			First: medianOf(r.startsOf(t)),
		}
		for _, run := range slices.Concat(full, steady, paced) {
			row.PeakMiB = max(row.PeakMiB, float64(run.PeakKiB)/1024)
		}
		rows = append(rows, row)
	}
	return rows
}

// title is the command line of a tool.
func (r *Report) title(name string) string {
	for _, t := range r.tools {
		if t.Name == name {
			return t.Title()
		}
	}
	return name
}

// runsOf are the runs with a tool; without a name, those without.
func runsOf(runs []Run, name string) []Run {
	var own []Run
	for _, run := range runs {
		if run.Tool == name {
			own = append(own, run)
		}
	}
	return own
}

func (r *Report) startsOf(t *Tool) []float64 {
	var own []float64
	for _, s := range r.Starts {
		if s.Tool == t.Name {
			own = append(own, s.Millis)
		}
	}
	return own
}

// alone are the times per connection without any tool, µs.
func (r *Report) alone() []float64 {
	return each(runsOf(r.Runs, ""), func(run Run) float64 { return run.USPerConn })
}

func (r Run) ratio() float64 { return r.USPerConn / r.USAlone }

func (r Run) added() float64 { return r.USPerConn - r.USAlone }

// busier is added of the load's CPU time.
func (r Run) busier() float64 { return r.CPUPerConn - r.CPUAlone }

func (r Run) ownCPU() float64 { return r.ToolCPU }

// cpuTold is the tool's CPU for a connection of which nothing was lost. A tool
// that loses three events of four does a fourth of the work.
func (r Run) cpuTold() float64 { return share(r.ToolCPU, 1-share(float64(r.Lost), float64(r.LostOf))) }

// disturbed counts the runs that other processes disturbed.
func (r *Report) disturbed() (disturbed, all int) {
	for _, runs := range [][]Run{r.Runs, r.Steady, r.Paced} {
		for _, run := range runs {
			all++
			if run.disturbed() {
				disturbed++
			}
		}
	}
	return disturbed, all
}

func each(runs []Run, figure func(Run) float64) []float64 {
	xs := make([]float64, len(runs))
	for i, run := range runs {
		xs[i] = figure(run)
	}
	return xs
}

// regimeOf has the CPU time by the long runs, and what was told and lost by all.
func regimeOf(long, others []Run) Regime {
	g := Regime{CPU: medianOf(each(long, Run.ownCPU))}
	var conns, of, told uint64
	var cpu float64
	for _, run := range long {
		cpu, told = cpu+run.ToolCPU*float64(run.Conns), told+run.Events
	}
	for _, run := range slices.Concat(long, others) {
		g.Told, g.Lost = g.Told+run.Events, g.Lost+run.Lost
		conns, of = conns+run.Conns, of+run.LostOf
	}
	g.Events = share(float64(g.Told), float64(conns))
	g.CPUPerEvent = share(cpu, float64(told))
	g.LostShare = share(float64(g.Lost), float64(of))
	return g
}

// share is a/b, and 0 of nothing.
func share(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
