package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tcpstory/internal/lab"
)

// Options say what Measure does.
type Options struct {
	Tracer   string            // the tcpstory to measure
	Tools    []*Tool           // by Select
	Pairs    int               // of a run with the tool and its neighbours without
	Duration time.Duration     // of a run; paced ones, and those for a tool's own CPU time, are longTimes as long
	Rate     int               // connections per second of the paced runs; 0: none
	Patience time.Duration     // of repeating a run that other processes disturb
	Tell     func(line string) // progress; may be nil
	Taxes    func() []string   // what makes tracing dearer on this host now; nil: nobody looks
}

// Most repetitions of what varies less than the load's time.
const (
	maxLong   = 5
	maxStarts = 5
)

// longTimes is how much longer those runs are that tell of a tool's own CPU time: in
// short ones what it does once has too large a part.
const longTimes = 4

// bytesEachWay is what each connection carries.
const bytesEachWay = 200

// Run is one run of the load, with a tool or alone.
type Run struct {
	Tool        string  `json:"tool"` // "" alone
	Pair        int     `json:"pair"`
	Conns       uint64  `json:"conns"`
	USPerConn   float64 `json:"us_per_conn"`    // of the load, wall clock
	CPUPerConn  float64 `json:"cpu_us_load"`    // of the load's process, µs per connection
	ToolCPU     float64 `json:"cpu_us_tool"`    // of the tool, µs per connection
	USAlone     float64 `json:"us_alone"`       // USPerConn of the neighbour runs without a tool, their mean
	CPUAlone    float64 `json:"cpu_us_alone"`   // CPUPerConn of these
	Events      uint64  `json:"events"`         // told by the tool: lines, or packets in its file
	Lost        uint64  `json:"lost"`           // by the tool's own account
	LostOf      uint64  `json:"lost_of"`        // what Lost is a part of
	PeakKiB     uint64  `json:"peak_rss_kib"`   // of the tool
	ReadyMillis float64 `json:"ready_ms_exec"`  // from exec until the tool was seen to be ready
	Others      float64 `json:"others_cpu"`     // share of the machine's CPU time that went to other processes
	Said        string  `json:"said,omitempty"` // what a tool that lost anything said at its end
}

// bench is a benchmark under way.
type bench struct {
	Options
	report *Report
}

// Measure runs the whole benchmark, minutes. The caller must be root. If it
// fails or ctx ends, the report holds what was measured until then.
func Measure(ctx context.Context, opt Options) (*Report, error) {
	if opt.Tell == nil {
		opt.Tell = func(string) {}
	}
	for _, t := range opt.Tools {
		if err := t.locate(opt.Tracer); err != nil {
			return newReport(opt), err
		}
	}
	b := &bench{Options: opt, report: newReport(opt)}
	b.look()
	for _, step := range []func(context.Context) error{b.fullSpeed, b.steady, b.paced, b.starts} {
		if err := step(ctx); err != nil {
			return b.report, err
		}
	}
	return b.report, nil
}

// fullSpeed alternates the load alone and with a tool, so that each run with a
// tool has a run without on either side; what drifts over minutes cancels out.
func (b *bench) fullSpeed(ctx context.Context) error {
	load := lab.LoadOptions{Duration: b.Duration, Bytes: bytesEachWay}
	if _, err := b.run(ctx, nil, load); err != nil { // warms up, counts for nothing
		return err
	}
	before, err := b.run(ctx, nil, load)
	b.report.Runs = append(b.report.Runs, before)
	for pair := 0; pair < b.Pairs && err == nil; pair++ {
		b.look()
		b.Tell(fmt.Sprintf("full speed, %d of %d", pair+1, b.Pairs))
		for i := range b.Tools {
			// Each round begins with another tool.
			if before, err = b.pair(ctx, b.Tools[(i+pair)%len(b.Tools)], load, pair, before); err != nil {
				break
			}
		}
	}
	return err
}

// pair runs the load with a tool, then alone, and returns the latter.
func (b *bench) pair(ctx context.Context, t *Tool, load lab.LoadOptions, pair int, before Run) (Run, error) {
	with, err := b.run(ctx, t, load)
	if err != nil {
		return Run{}, err
	}
	after, err := b.run(ctx, nil, load)
	if err != nil {
		return Run{}, err
	}
	with.Pair, after.Pair = pair, pair
	with.USAlone = (before.USPerConn + after.USPerConn) / 2
	with.CPUAlone = (before.CPUPerConn + after.CPUPerConn) / 2
	b.report.Runs = append(b.report.Runs, with, after)
	return after, nil
}

// steady runs each tool at full speed for longer, for its own CPU time.
func (b *bench) steady(ctx context.Context) error {
	return b.long(ctx, "full speed, longer", 0, &b.report.Steady)
}

// paced runs each tool under a load that all of them can follow.
func (b *bench) paced(ctx context.Context) error {
	if b.Rate == 0 {
		return nil
	}
	return b.long(ctx, fmt.Sprintf("%d a second", b.Rate), b.Rate, &b.report.Paced)
}

func (b *bench) long(ctx context.Context, what string, rate int, runs *[]Run) error {
	load := lab.LoadOptions{Duration: longTimes * b.Duration, Bytes: bytesEachWay, Rate: rate}
	for i := range min(b.Pairs, maxLong) {
		b.look()
		b.Tell(fmt.Sprintf("%s, %d of %d", what, i+1, min(b.Pairs, maxLong)))
		for _, t := range b.Tools {
			r, err := b.run(ctx, t, load)
			if err != nil {
				return err
			}
			r.Pair = i
			*runs = append(*runs, r)
		}
	}
	return nil
}

// maxTimeWait has room for all connections of a run: at the kernel's own limit
// the load would change its pace.
const maxTimeWait = "1048576"

// run is once; if that was disturbed, again when the machine is quiet, as long
// as patience lasts.
func (b *bench) run(ctx context.Context, t *Tool, load lab.LoadOptions) (Run, error) {
	deadline := time.Now().Add(b.Patience)
	r, err := b.once(ctx, t, load)
	for err == nil && r.disturbed() && time.Now().Before(deadline) {
		b.Tell(fmt.Sprintf("once more: other processes took %.0f %% of the CPU time", r.Others*100))
		if err = awaitQuiet(ctx, time.Until(deadline)); err == nil {
			r, err = b.once(ctx, t, load)
		}
	}
	return r, err
}

// once makes a host, runs the load there, with a tool unless t is nil, and
// removes the host: no run inherits another's sockets in TIME_WAIT.
func (b *bench) once(ctx context.Context, t *Tool, load lab.LoadOptions) (r Run, err error) {
	err = onHost(ctx, func(h *lab.Host) error {
		if t == nil {
			r, err = alone(ctx, h, load)
		} else {
			r, err = b.watched(ctx, h, t, load)
		}
		return err
	})
	return r, err
}

func onHost(ctx context.Context, f func(*lab.Host) error) (err error) {
	l, err := lab.New(ctx, lab.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	h := l.Host(lab.Client)
	if err := h.Sysctl("net.ipv4.tcp_max_tw_buckets", maxTimeWait); err != nil {
		return err
	}
	return f(h)
}

func alone(ctx context.Context, h *lab.Host, load lab.LoadOptions) (Run, error) {
	watch := beginWatch()
	res, err := lab.Load(ctx, h, load)
	if err != nil {
		return Run{}, err
	}
	if res.Conns == 0 {
		return Run{}, errors.New("run a load: it made no connection")
	}
	conns := float64(res.Conns)
	return Run{
		Conns:      res.Conns,
		USPerConn:  micros(res.Elapsed) / conns,
		CPUPerConn: micros(res.CPU) / conns,
		Others:     watch.others(res.CPU),
	}, nil
}

// watched runs the load under a tool. The tool's CPU time counts from when it
// is ready until it has told all, its start and its end do not.
func (b *bench) watched(ctx context.Context, h *lab.Host, t *Tool, load lab.LoadOptions) (r Run, err error) {
	p, err := start(ctx, h, t, b.Tracer, nil)
	if err != nil {
		return r, err
	}
	defer p.abandon()
	if err := p.awaitReady(ctx); err != nil {
		return r, err
	}
	ready := time.Since(p.started)
	watch := beginWatch()
	before, err := p.cpu()
	if err != nil {
		return r, err
	}
	if r, err = alone(ctx, h, load); err != nil {
		return r, err
	}
	if err := p.awaitDrained(ctx); err != nil {
		return r, err
	}
	after, err := p.cpu()
	if err != nil {
		return r, err
	}
	r.Tool, r.ReadyMillis, r.PeakKiB = t.Name, micros(ready)/1000, p.peakMemory()
	r.ToolCPU = micros(after-before) / float64(r.Conns)
	r.Others = watch.others(after - before + r.loadCPU())
	return r, p.settle(&r)
}

// settle ends the tool and takes its account.
func (p *process) settle(r *Run) error {
	if err := p.end(); err != nil {
		return err
	}
	n, err := p.tool.tallyUp(content(p.out), p.text())
	r.Events, r.Lost, r.LostOf = n.events, n.lost, n.of
	if n.lost > 0 {
		r.Said = tail(p.text())
	}
	return err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
