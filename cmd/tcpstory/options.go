package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"tcpstory/internal/kernel"
	"tcpstory/internal/record"
	"tcpstory/internal/render"
)

// options is the command line of trace, and with recording of record.
type options struct {
	choice
	view
	list  bool   // -D
	write string // -w: packets alone
	read  string // -r

	recording
	asking
	replays bool          // what -r names is a recording
	from    *record.About // what it says of itself

	help, version bool
	expr          string // the rest of the line: the filter expression
}

// choice is what is traced.
type choice struct {
	device                string // -i
	count                 int    // -c
	direction             string // -Q
	snaplen               int    // -s
	noPackets, noStates   bool
	netns, comms, cgroups []string
	pids                  []string // -p, as it was written
	processes             []uint32 // the same
	ring                  int
}

// view is how it is shown.
type view struct {
	absolute bool // -S
	quiet    bool // -q
	link     bool // -e
	number   bool // -#
	verbose  int  // -v
	stamp    int  // -t …
	lined    bool // -l
	json     bool
	form     string // --view
}

const usageHead = `usage: tcpstory [trace] [flags] [filter expression]
Every TCP state transition of this host next to the packets that the filter,
a pcap-filter(7) expression, selects: in one order, on one clock.

`

// maxRing bounds --ring, bytes: the kernel maps it twice in a row, and a size
// that does not fit its 32 bits would be cut in silence.
const maxRing = 1 << 30

// anyDevice is -i's word for all devices, with their names in the lines.
const anyDevice = "any"

func newFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("tcpstory", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	return f
}

func (o *options) flags() *pflag.FlagSet {
	f := newFlags()
	o.choice.flags(f)
	f.BoolVarP(&o.list, "list-interfaces", "D", false, "list the interfaces")
	beside(f, "only IFACE (or any) here, and what it forwards; list them", "interface", "list-interfaces")
	f.StringVarP(&o.write, "write", "w", "", "write the packets to pcap `FILE` (- standard output) instead")
	f.StringVarP(&o.read, "read", "r", "", "read `FILE` (- stdin): a recording, JSON, pcap or pcapng")
	o.view.flags(f)
	f.IntVar(&o.ring, "ring", kernel.DefaultRingSize, "ring buffer of `BYTES`, a power of two (16 MiB)")
	o.lastFlags(f)
	return f
}

// flags are those that choose.
func (c *choice) flags(f *pflag.FlagSet) {
	f.StringVarP(&c.device, "interface", "i", "", "only `IFACE` (or any) of this namespace; what it forwards")
	f.IntVarP(&c.count, "count", "c", 0, "stop after `N` packets (events with --no-packets)")
	f.StringVarP(&c.direction, "direction", "Q", "inout", "packets that go `in|out|inout` (also -P)")
	f.StringVarP(&c.direction, "direction-bsd", "P", "inout", "")
	f.IntVarP(&c.snaplen, "snapshot-length", "s", kernel.DefaultSnaplen, fmt.Sprintf("keep `N` bytes of a packet (%d; 0: %d, the most)", kernel.DefaultSnaplen, kernel.MaxSnaplen))
	f.BoolVar(&c.noPackets, "no-packets", false, "the kernel's side only")
	f.BoolVar(&c.noStates, "no-states", false, "the packets only, in tcpdump's lines")
	beside(f, "only the kernel's side; only packets, as tcpdump", "no-packets", "no-states")
	c.whoseFlags(f)
}

// whoseFlags are those that choose by where a socket lives, and whose it is.
func (c *choice) whoseFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&c.netns, "netns", nil, "only network namespace `NAME`, or PATH, or PID (repeatable)")
	f.StringSliceVarP(&c.pids, "pid", "p", nil, "only sockets that process `PID` uses (repeatable)")
	f.StringSliceVar(&c.comms, "comm", nil, "only sockets of processes named `NAME` (repeatable)")
	f.StringSliceVar(&c.cgroups, "cgroup", nil, "only sockets made in cgroup `PATH` or below (repeatable)")
	beside(f, theirsHelp, "pid", "comm")
}

// flags are those of the output.
func (v *view) flags(f *pflag.FlagSet) {
	f.CountVarP(&v.stamp, "time", "t", "no time; -tt epoch, -ttt delta, -tttt date, -ttttt elapsed")
	f.CountVarP(&v.verbose, "verbose", "v", "more of each packet (-vv), and of what is lacking")
	f.BoolVarP(&v.quiet, "quick", "q", false, "less of each packet")
	f.BoolVarP(&v.absolute, "absolute-tcp-sequence-numbers", "S", false, "absolute sequence numbers")
	f.BoolVarP(&v.link, "link-header", "e", false, "the link-layer header too")
	f.BoolVarP(&v.number, "number", "#", false, "number the packets")
	f.CountP("numeric", "n", "names are never looked up, with it or without")
	f.BoolVarP(&v.lined, "line-buffered", "l", false, "write each line at once")
	f.BoolVar(&v.json, "json", false, "one JSON object a line")
	f.StringVar(&v.form, "view", "auto", "as `columns` or lines; auto: columns on a terminal")
	beside(f, "more of each packet (-vv), and of what is lacking; less", "verbose", "quick")
	beside(f, "absolute sequence numbers; the link-layer header too", "absolute-tcp-sequence-numbers", "link-header")
	beside(f, "names are never looked up anyway; write each line at once", "numeric", "line-buffered")
	beside(f, "one JSON object a line; columns or lines (or auto)", "json", "view")
}

// lastFlags are those of every command.
func (o *options) lastFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.help, "help", "h", false, "this text")
	f.BoolVar(&o.version, "version", false, "print the version")
	for _, hidden := range []string{"direction-bsd", "number", "help", "version"} {
		if f.Lookup(hidden) != nil {
			_ = f.MarkHidden(hidden)
		}
	}
}

func parse(args []string) (*options, *pflag.FlagSet, error) {
	o := &options{}
	f := o.flags()
	if err := f.Parse(args); err != nil {
		return nil, nil, usageError{err}
	}
	o.expr = strings.Join(f.Args(), " ")
	if o.read != "" && !f.Changed("snapshot-length") {
		o.snaplen = 0 // what the file holds is kept
	}
	var c faults
	o.checkTrace(&c)
	o.check(&c, f)
	return o, f, c.first()
}

// faults gathers what is wrong with a command line.
type faults []error

func (c *faults) when(bad bool, format string, args ...any) {
	if bad {
		*c = append(*c, fmt.Errorf(format, args...))
	}
}

func (c faults) first() error {
	if len(c) == 0 {
		return nil
	}
	return usageError{c[0]}
}

// check finds what no command can do.
func (o *options) check(c *faults, f *pflag.FlagSet) {
	_, known := directions[o.direction]
	c.when(!known, "-Q %s: want in, out or inout", o.direction)
	c.when(o.stamp > int(render.TimeSinceFirst), "-%s: at most five t", strings.Repeat("t", o.stamp))
	c.when(o.snaplen < 0, "-s %d: want 0 or more", o.snaplen)
	c.when(o.count < 0, "-c %d: want 1 or more", o.count)
	c.when(f.Changed("count") && o.count == 0, "-c 0: want 1 or more")
	c.when(o.noPackets && o.noStates, "--no-packets with --no-states leaves nothing to show")
	o.checkChoices(f, c.when)
	c.when(o.form != "auto" && o.form != "columns" && o.form != "lines", "--view %s: want auto, columns or lines", o.form)
	c.when(len(o.netns) > 0 && o.device != "" && o.device != anyDevice, "-i %s names a device of this namespace, --netns another one: use ip netns exec NAME tcpstory -i %s", o.device, o.device)
	c.when(o.ring < 4096 || o.ring > maxRing || o.ring&(o.ring-1) != 0,
		"--ring %d: want a power of two, at least 4096 and at most %d", o.ring, maxRing)
}

func (o *options) checkTrace(c *faults) {
	c.when(o.noPackets && o.write != "", "-w writes packets, --no-packets has none")
	c.when(o.read != "" && o.device != "", "-r reads a file, -i a device: choose one")
}

// checkChoices finds words that choose nothing: without them, everything would show.
func (o *options) checkChoices(f *pflag.FlagSet, fault func(bool, string, ...any)) {
	for name, words := range map[string][]string{"pid": o.pids, "comm": o.comms, "cgroup": o.cgroups, "netns": o.netns} {
		fault(f.Changed(name) && (len(words) == 0 || slices.Contains(words, "")), "--%s: nothing is named", name)
	}
	for _, pid := range o.pids {
		n, err := strconv.ParseUint(pid, 10, 32)
		o.processes = append(o.processes, uint32(n))
		fault(err != nil || n == 0, "-p %s: want a process's number (--comm %s chooses by name)", pid, pid)
	}
	for _, name := range o.comms {
		fault(strings.HasPrefix(name, "/"), "--comm %s: want the name alone, %s", name, filepath.Base(name))
	}
}

// directions maps -Q's words to which directions are left out: in, out.
var directions = map[string]struct{ noIn, noOut bool }{
	"inout": {}, "in": {noOut: true}, "out": {noIn: true},
}
