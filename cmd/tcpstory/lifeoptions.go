package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tcpstory/internal/kernel"
	"tcpstory/internal/life"
	"tcpstory/internal/render"
)

// lifeOptions is the command line of life.
type lifeOptions struct {
	options
	localPorts, remotePorts string // -L, -D
	local, remote           []uint16
	v4, v6                  bool
	stamp, clock, wide, csv bool
	minMillis               float64
	minBytes                int64
	failed, open            bool
	summary                 bool
	by                      string
	interval                time.Duration
}

const lifeHead = `usage: tcpstory life [flags] [filter expression]
A line for each TCP connection when it ends: whose it was, who opened it (→ this
end, ← the other), payload each way, how long it took with its handshake, how it
ended. The filter (pcap-filter(7)) selects those of which a packet may match.

`

func (o *lifeOptions) flags() *pflag.FlagSet {
	f := newFlags()
	f.StringSliceVarP(&o.pids, "pid", "p", nil, "only sockets that process `PID` uses (repeatable)")
	f.StringVarP(&o.localPorts, "local-port", "L", "", "only these local `PORTS`, with commas")
	f.StringVarP(&o.remotePorts, "remote-port", "D", "", "only these remote `PORTS`, with commas")
	f.BoolVarP(&o.v4, "ipv4", "4", false, "only IPv4")
	f.BoolVarP(&o.v6, "ipv6", "6", false, "only IPv6")
	f.BoolVarP(&o.stamp, "timestamp", "t", false, "seconds since the first line")
	f.BoolVarP(&o.clock, "time", "T", false, "the time of day at the end")
	f.BoolVarP(&o.wide, "wide", "w", false, "all that is known of each connection")
	f.BoolVarP(&o.csv, "csv", "s", false, "comma-separated values")
	f.StringVarP(&o.read, "read", "r", "", "of a recording `FILE` (- standard input), what it tells")
	f.BoolVar(&o.json, "json", false, "one JSON object a line; of a --summary, a group")
	f.Float64Var(&o.minMillis, "min-ms", 0, "only those that took `MS` milliseconds or more")
	f.Int64Var(&o.minBytes, "min-bytes", 0, "only those that carried `N` bytes or more, both ways")
	f.BoolVar(&o.failed, "failed", false, "only those that did not end with a FIN, or never began")
	f.BoolVar(&o.open, "open", false, "at the end, those that are open still, too")
	f.BoolVar(&o.summary, "summary", false, "no lines, but counts and percentiles at the end")
	f.StringVar(&o.by, "by", "process", "group by `GROUP`: process, remote, port, container")
	f.DurationVar(&o.interval, "interval", 0, "a summary of each `DURATION` (10s, 1m) as it passes")
	f.StringSliceVar(&o.netns, "netns", nil, "only network namespace `NAME`, or PATH, or PID (repeatable)")
	f.StringSliceVar(&o.comms, "comm", nil, "only sockets of processes named `NAME` (repeatable)")
	f.StringSliceVar(&o.cgroups, "cgroup", nil, "only sockets made in cgroup `PATH` or below (repeatable)")
	f.BoolVarP(&o.lined, "line-buffered", "l", false, "write each line at once")
	f.IntVar(&o.ring, "ring", kernel.LifeRingSize, "ring buffer of `BYTES`, a power of two (4 MiB)")
	f.CountVarP(&o.verbose, "verbose", "v", "say what the kernel refused, too")
	f.BoolVarP(&o.help, "help", "h", false, "this text")
	_ = f.MarkHidden("help")
	beside(f, theirsHelp, "pid", "comm")
	beside(f, "only these local PORTS, these remote PORTS (with commas)", "local-port", "remote-port")
	beside(f, "only IPv4, only IPv6", "ipv4", "ipv6")
	beside(f, "seconds since the first line; the time of day at the end", "timestamp", "time")
	beside(f, "of MS milliseconds, N bytes both ways, or more", "min-ms", "min-bytes")
	beside(f, "write each line at once; say what the kernel refused, too", "line-buffered", "verbose")
	return f
}

func parseLife(args []string) (*lifeOptions, *pflag.FlagSet, error) {
	o := &lifeOptions{}
	o.form, o.direction = "auto", "inout"
	f := o.flags()
	if err := f.Parse(args); err != nil {
		return nil, nil, usageError{err}
	}
	o.expr = strings.Join(f.Args(), " ")
	var c faults
	o.check(&c, f)
	o.options.check(&c, f)
	return o, f, c.first()
}

func (o *lifeOptions) check(c *faults, f *pflag.FlagSet) {
	var err error
	o.local, err = portsOf(o.localPorts)
	c.when(err != nil || f.Changed("local-port") && len(o.local) == 0, "-L %s: want ports, with commas between", o.localPorts)
	o.remote, err = portsOf(o.remotePorts)
	c.when(err != nil || f.Changed("remote-port") && len(o.remote) == 0, "-D %s: want ports, with commas between", o.remotePorts)
	c.when(o.v4 && o.v6, "-4 with -6 leaves nothing to show")
	c.when(o.csv && o.json, "--csv and --json: choose one")
	c.when(render.LifeGroupings[o.by] == nil, "--by %s: want process, remote, port or container", o.by)
	c.when(f.Changed("interval") && o.interval < time.Second, "--interval %v: want a second or more", o.interval)
	o.summary = o.summary || o.interval > 0
	c.when(o.summary && (o.csv || o.wide), "--summary is a table, or --json: no --csv or -w")
	c.when(f.Changed("by") && !o.summary, "--by groups a --summary")
	c.when(o.read != "" && (o.open || o.interval > 0), "-r reads a file: --open and --interval are for what goes on")
	c.when(o.minMillis < 0, "--min-ms %v: want 0 or more", o.minMillis)
	c.when(o.minBytes < 0, "--min-bytes %d: want 0 or more", o.minBytes)
}

// portsOf reads a list of ports.
func portsOf(list string) (ports []uint16, err error) {
	if list == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(word), 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("port %s", word)
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

// picks returns what the flags let through. What is not known is no reason to
// leave a line out, but where a number is asked for.
func (o *lifeOptions) picks(sel *selection) func(*life.Line) bool {
	could := sel.could()
	var tests []func(*life.Line) bool
	add := func(asked bool, test func(*life.Line) bool) {
		if asked {
			tests = append(tests, test)
		}
	}
	add(o.v4, func(l *life.Line) bool { return l.Flow.Local.Addr().Is4() })
	add(o.v6, func(l *life.Line) bool { return l.Flow.Local.Addr().Is6() })
	add(len(o.local) > 0, func(l *life.Line) bool { return slices.Contains(o.local, l.Flow.Local.Port()) })
	add(len(o.remote) > 0, func(l *life.Line) bool { return slices.Contains(o.remote, l.Flow.Remote.Port()) })
	add(o.failed, func(l *life.Line) bool { return l.End.Failed() || !l.Established && l.End != life.EndOpen })
	add(o.minMillis > 0, func(l *life.Line) bool { return float64(l.Duration) >= o.minMillis*1e6 })
	add(o.minBytes > 0, func(l *life.Line) bool { return max(l.TX, 0)+max(l.RX, 0) >= o.minBytes })
	add(len(o.processes)+len(o.comms) > 0, o.isTheirs)
	add(could != nil, func(l *life.Line) bool { return could(l.Flow) })
	return func(l *life.Line) bool {
		for _, test := range tests {
			if !test(l) {
				return false
			}
		}
		return true
	}
}

// isTheirs repeats the kernel's choice where the process was found out later.
func (o *lifeOptions) isTheirs(l *life.Line) bool {
	return l.Chosen || l.Task.Known() &&
		(slices.Contains(o.processes, l.Task.PID) || slices.Contains(o.comms, string(l.Task.Name())))
}
