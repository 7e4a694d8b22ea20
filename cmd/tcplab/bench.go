package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	toolbench "tcpstory/internal/bench"
	"tcpstory/internal/kernel"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	opt     toolbench.Options
	seconds float64
	only    []string
	json    string
}

// bench measures what tracing costs.
func bench(ctx context.Context, args []string, std stdio) error {
	var b benchFlags
	f := newFlags("bench", "", "Measure what tracing costs, tcpstory beside tcpstates, tcplife and tcpdump.", std)
	f.StringVar(&b.opt.Tracer, "tracer", "bin/tcpstory", "the tcpstory `binary` to measure")
	f.IntVar(&b.opt.Pairs, "pairs", 20, "runs with each tool, each between two without")
	f.Float64Var(&b.seconds, "seconds", 0.3, "how long each run is; steady and paced ones are four times as long")
	f.IntVar(&b.opt.Rate, "rate", 2000, "connections per second of the paced runs; 0: none")
	f.DurationVar(&b.opt.Patience, "patience", 10*time.Second, "how long to repeat a run that others disturb")
	f.StringSliceVar(&b.only, "only", nil, "only these tools, of: "+toolbench.Names())
	f.StringVar(&b.json, "json", "", "write every run into `FILE`, too")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("bench takes no arguments: %w", errUsage)
	}
	if err := b.check(); err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	return b.run(ctx, std)
}

// check completes the options.
func (b *benchFlags) check() (err error) {
	switch {
	case b.opt.Pairs < 1:
		return fmt.Errorf("--pairs %d: at least one", b.opt.Pairs)
	case b.seconds <= 0:
		return fmt.Errorf("--seconds %v: more than none", b.seconds)
	case b.opt.Rate < 0:
		return fmt.Errorf("--rate %d: it cannot be negative", b.opt.Rate)
	}
	b.opt.Duration = time.Duration(b.seconds * float64(time.Second))
	b.opt.Tools, err = toolbench.Select(b.only...)
	return err
}

func (b *benchFlags) run(ctx context.Context, std stdio) error {
	b.opt.Taxes = kernel.Taxes
	b.opt.Tell = func(line string) { fmt.Fprintln(std.err, line) }
	report, err := toolbench.Measure(ctx, b.opt)
	if report.Empty() {
		return err
	}
	return errors.Join(err, report.WriteText(std.out), b.save(report))
}

func (b *benchFlags) save(report *toolbench.Report) error {
	if b.json == "" {
		return nil
	}
	f, err := os.Create(b.json)
	if err != nil {
		return fmt.Errorf("open the report's file: %w", err)
	}
	return errors.Join(report.WriteJSON(f), f.Close())
}
