package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tcpstory/internal/capture"
	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/kernel"
	"tcpstory/internal/render"
)

// asking is the command line of why, besides what is traced.
type asking struct {
	why      bool
	standing time.Duration // --after
	slow     time.Duration
	idle     time.Duration
	lasts    time.Duration // --for
	once     bool
	summary  bool
	rules    bool
	every    bool

	trouble bool // some verdict was given
}

const whyHead = `usage: tcpstory why [flags] [filter expression]
Speaks only of connections in trouble: what happened, where a packet died, whose
fault it is, the evidence, what to look at next. Live, or of a recording (-r).

`

func (o *options) whyFlags() *pflag.FlagSet {
	f := newFlags()
	l := diagnose.DefaultLimits
	f.StringVarP(&o.read, "read", "r", "", "of recording `FILE` (- standard input), not what happens now")
	f.DurationVar(&o.standing, "after", l.After, "speak of a bad condition that has lasted `DURATION`")
	f.DurationVar(&o.slow, "slow", l.Slow, "a request that waits `DURATION` for its answer is slow")
	f.DurationVar(&o.idle, "idle", l.Idle, "a middlebox may have forgotten what was idle for `DURATION`")
	f.BoolVar(&o.once, "once", false, "exit status 3 if there is trouble, else 0; live, see --for")
	f.DurationVar(&o.lasts, "for", 0, "end after `DURATION` (--once: a second longer than --after)")
	f.BoolVar(&o.summary, "summary", false, "how many connections have which trouble, at the end, only")
	f.BoolVar(&o.every, "every", false, "every verdict in full, though it is like those just told")
	f.BoolVar(&o.json, "json", false, "one JSON object a line, for every verdict")
	f.BoolVar(&o.rules, "rules", false, "list the rules and their thresholds")
	f.StringVarP(&o.device, "interface", "i", "", "only `IFACE` (or any) of this namespace")
	f.BoolVar(&o.noPackets, "no-packets", false, "the kernel's side only: verdicts claim less")
	o.choice.whoseFlags(f)
	f.IntVar(&o.ring, "ring", kernel.DefaultRingSize, "ring buffer of `BYTES`, a power of two (16 MiB)")
	o.lastFlags(f)
	return f
}

func parseWhy(args []string) (*options, *pflag.FlagSet, error) {
	o := &options{asking: asking{why: true}}
	o.direction, o.form = "inout", "auto"
	f := o.whyFlags()
	if err := f.Parse(args); err != nil {
		return nil, nil, usageError{err}
	}
	o.expr = strings.Join(f.Args(), " ")
	o.snaplen = kernel.DefaultSnaplen
	if o.once && o.lasts == 0 {
		o.lasts = o.standing + time.Second
	}
	var c faults
	c.when(o.standing <= 0, "--after %v: want more than 0", o.standing)
	c.when(o.slow <= 0, "--slow %v: want more than 0", o.slow)
	c.when(o.idle <= 0, "--idle %v: want more than 0", o.idle)
	c.when(o.lasts < 0, "--for %v: want more than 0", o.lasts)
	c.when(o.read != "" && f.Changed("for"), "-r reads a recording to its end: --for is for what happens now")
	c.when(o.summary && o.json, "--summary and --json: choose one")
	c.when(o.every && o.summary, "--every and --summary: choose one")
	o.checkTrace(&c)
	o.check(&c, f)
	return o, f, c.first()
}

// errTrouble is --once's finding.
var errTrouble = errors.New("trouble found")

// why is `tcpstory why`.
func why(ctx context.Context, e *env) error {
	o, flags, err := parseWhy(e.args)
	switch {
	case err != nil:
		return err
	case e.closed:
		return errStdoutClosed
	case o.help:
		_, err := fmt.Fprint(e.stdout, usage(whyHead, flags))
		return err
	case o.version:
		return version(ctx, e)
	case o.rules:
		return listRules(e, o)
	}
	if o.read != "" {
		o.snaplen = 0
		err = untilInterrupted(ctx, func() error { return traceFile(ctx, e, o) })
	} else {
		if o.lasts > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, o.lasts)
			defer stop()
		}
		err = live(ctx, e, o, newOutput)
	}
	if err == nil && o.once && o.trouble {
		return errTrouble
	}
	return err
}

// limits are the published ones, with what the command line says.
func (a *asking) limits() diagnose.Limits {
	l := diagnose.DefaultLimits
	l.After, l.Slow, l.Idle = a.standing, a.slow, a.idle
	return l
}

// troubles is the sink of why.
type troubles struct {
	engine *diagnose.Engine
	out    render.VerdictSink
	clock  func() int64 // nil: the story's own time
	asking *asking
	say    func(string, ...any)
}

func newVerdicts(e *env, o *options) render.Sink {
	w := render.NewWriter(e.stdout, "standard output", o.read == "" || o.read == capture.Stdio)
	v := &troubles{asking: &o.asking, say: e.say}
	look := diagnose.Options{Limits: o.limits(), NoPackets: o.noPackets}
	switch {
	case o.json:
		v.out = render.NewVerdictJSON(w)
	case o.summary:
		v.out = render.NewVerdictSummary(w)
	default:
		lines := render.NewVerdicts(w, func() int {
			if !e.terminal {
				return 0
			}
			return terminalWidth(e)
		})
		if v.out = lines; !o.every {
			look.Crowd = lines.Crowd
		}
	}
	v.engine = diagnose.New(look, v.verdict)
	if o.read == "" {
		v.clock = func() int64 { return time.Now().UnixNano() }
	}
	return v
}

func (v *troubles) verdict(found *diagnose.Verdict) error {
	v.asking.trouble = true
	return v.out.Verdict(found)
}

// Write implements render.Sink.
func (v *troubles) Write(s *conn.Step) error { return v.engine.Take(s) }

// Pass implements render.Timed.
func (v *troubles) Pass(now int64) error { return v.engine.Pass(now) }

// Flush implements render.Sink: in a lull, time passes.
func (v *troubles) Flush() error {
	if v.clock != nil {
		if err := v.engine.Pass(v.clock() - int64(underWay)); err != nil {
			return err
		}
	}
	return v.out.Flush()
}

// Close implements render.Sink.
func (v *troubles) Close() error {
	err := v.engine.End()
	if n := v.engine.Missed(); n > 0 {
		v.say("%d events belong to connections that were not looked at: there were too many at once", n)
	}
	return errors.Join(err, v.out.Close())
}
