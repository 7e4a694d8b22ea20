package main

import (
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"tcpstory/internal/capture"
	"tcpstory/internal/flight"
)

// flightOptions are those of record --ring.
type flightOptions struct {
	past          string // --ring
	before, after time.Duration
	on            []string
	match         string
	window        bool   // --all
	rate          int    // --incidents
	keep          string // --keep
	keepFiles     int

	pastBytes, keepBytes int64 // past, keep
	chosen               *flight.Chosen
}

// flies: it is a flight recorder.
func (o *flightOptions) flies() bool { return o.past != "" }

// leastPast is how little memory is worth while: it must hold the longest packet.
const leastPast = 1 << 20

func (o *flightOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.past, "ring", "", "flight recorder: keep the last `SIZE` (64m, say) in memory; -w is a directory, or how names begin")
	f.StringSliceVar(&o.on, "on", nil, "with --ring: write on `TRIGGER` or TRIGGER=LIMIT, of those below (all; repeatable)")
	f.StringVar(&o.match, "match", "", "with --ring: write when a packet matches this second `EXPR`, too")
	f.BoolVar(&o.window, "all", false, "with --ring: write everything of that time, not the one connection's whole story")
	f.DurationVar(&o.before, "before", 30*time.Second, "with --ring: that time begins `TIME` (30s) before it happens")
	f.DurationVar(&o.after, "after", 5*time.Second, "with --ring: a file ends `TIME` (5s) after it has happened")
	f.IntVar(&o.rate, "incidents", 10, "with --ring: at most `N` (10) files a minute; what is left out is counted")
	f.StringVar(&o.keep, "keep", "1g", "with --ring: at most `SIZE` (1g) of files; the oldest go")
	f.IntVar(&o.keepFiles, "keep-files", 1000, "with --ring: at most `N` (1000) files; the oldest go")
}

// triggerHelp lists what --on knows.
func triggerHelp() string {
	b := []byte("\ntriggers of --on:\n")
	for _, t := range flight.Triggers() {
		name := t.Name
		if t.Threshold != "" {
			name += "=" + t.Threshold
		}
		b = appendHelp(b, name, t.Meaning)
	}
	return string(b)
}

func (o *options) checkFlight(c *faults, f *pflag.FlagSet) {
	if !o.flies() {
		for _, name := range []string{"before", "after", "on", "match", "all", "incidents", "keep", "keep-files"} {
			c.when(f.Changed(name), "--%s is for --ring, which keeps the past in memory", name)
		}
		c.when(f.Changed("ring"), "--ring: want a size, as 64m")
		return
	}
	var err error
	o.pastBytes, err = bytesOf("--ring", o.past)
	c.when(err != nil, "%v", err)
	c.when(err == nil && o.pastBytes < leastPast, "--ring %s: want at least 1m", o.past)
	o.keepBytes, err = bytesOf("--keep", o.keep)
	c.when(err != nil, "%v", err)
	on := o.on
	if len(on) > 0 && o.match != "" {
		on = append(slices.Clone(on), flight.Match) // it is "too"
	}
	o.chosen, err = flight.Choose(on, isRule)
	c.when(err != nil, "%v", err)
	c.when(f.Changed("on") && o.chosen != nil && len(o.on) == 0, "--on: nothing is named")
	c.when(err == nil && slices.Contains(o.on, flight.Match) && o.match == "", "--on match needs --match EXPR")
	c.when(o.noStates && o.match == "", "--ring waits for the kernel's events: --no-states leaves none (but --match EXPR)")
	c.when(o.before < 0 || o.after < 0, "--before and --after: want a time, as 30s")
	c.when(o.rate < 1, "--incidents %d: want 1 or more", o.rate)
	c.when(o.keepFiles < 1, "--keep-files %d: want 1 or more", o.keepFiles)
	c.when(o.size != "" || o.seconds > 0 || o.files > 0, "--ring writes a file for each incident: -C, -G and -W are for recording everything")
	c.when(o.record == capture.Stdio, "--ring writes a file for each incident, -w - is none")
	c.when(o.count > 0, "--ring records until it is interrupted: -c is for recording everything")
}

// isDir reports whether path is a directory that is there.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
