package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"tcpstory/internal/kernel"
	"tcpstory/internal/render"
)

// options is trace's command line.
type options struct {
	device    string // -i
	list      bool   // -D
	count     int    // -c
	absolute  bool   // -S
	quiet     bool   // -q
	link      bool   // -e
	number    bool   // -#
	verbose   int    // -v
	stamp     int    // -t …
	direction string // -Q
	snaplen   int    // -s
	lined     bool   // -l
	write     string // -w
	read      string // -r

	noPackets, noStates, json bool
	view                      string
	netns, comms, cgroups     []string
	pids                      []string // -p, as it was written
	processes                 []uint32 // the same
	ring                      int

	help, version bool
	expr          string // the rest of the line: the filter expression
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

func (o *options) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("tcpstory", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.StringVarP(&o.device, "interface", "i", "", "only `IFACE` (or any) of this namespace; what it forwards too")
	f.BoolVarP(&o.list, "list-interfaces", "D", false, "list the interfaces")
	f.IntVarP(&o.count, "count", "c", 0, "stop after `N` packets (events with --no-packets)")
	f.StringVarP(&o.direction, "direction", "Q", "inout", "packets that go `in|out|inout` (also -P)")
	f.StringVarP(&o.direction, "direction-bsd", "P", "inout", "")
	f.IntVarP(&o.snaplen, "snapshot-length", "s", kernel.DefaultSnaplen, fmt.Sprintf("keep `N` bytes of a packet (%d; 0: %d, the most)", kernel.DefaultSnaplen, kernel.MaxSnaplen))
	f.StringVarP(&o.write, "write", "w", "", "write the packets to pcap `FILE` (- standard output) instead")
	f.StringVarP(&o.read, "read", "r", "", "packets from pcap or pcapng `FILE` (- standard input)")
	f.CountVarP(&o.stamp, "time", "t", "no time; -tt epoch, -ttt delta, -tttt date, -ttttt elapsed")
	f.CountVarP(&o.verbose, "verbose", "v", "more of each packet (-vv), and of what is lacking")
	f.BoolVarP(&o.quiet, "quick", "q", false, "less of each packet")
	f.BoolVarP(&o.absolute, "absolute-tcp-sequence-numbers", "S", false, "absolute sequence numbers")
	f.BoolVarP(&o.link, "link-header", "e", false, "the link-layer header too")
	f.BoolVarP(&o.number, "number", "#", false, "number the packets")
	f.CountP("numeric", "n", "names are never looked up, with it or without")
	f.BoolVarP(&o.lined, "line-buffered", "l", false, "write each line at once")
	f.BoolVar(&o.noPackets, "no-packets", false, "the kernel's side only")
	f.BoolVar(&o.noStates, "no-states", false, "the packets only, in tcpdump's lines")
	f.BoolVar(&o.json, "json", false, "one JSON object a line")
	f.StringVar(&o.view, "view", "auto", "as `columns` or lines; auto: columns on a terminal")
	f.StringSliceVar(&o.netns, "netns", nil, "only network namespace `NAME`, or PATH, or PID (repeatable)")
	f.StringSliceVarP(&o.pids, "pid", "p", nil, "only sockets that process `PID` uses (repeatable)")
	f.StringSliceVar(&o.comms, "comm", nil, "only sockets of processes named `NAME` (repeatable)")
	f.StringSliceVar(&o.cgroups, "cgroup", nil, "only sockets made in cgroup `PATH` or below (repeatable)")
	f.IntVar(&o.ring, "ring", kernel.DefaultRingSize, "ring buffer of `BYTES`, a power of two (16 MiB)")
	f.BoolVarP(&o.help, "help", "h", false, "this text")
	f.BoolVar(&o.version, "version", false, "print the version")
	for _, hidden := range []string{"direction-bsd", "number", "help", "version"} {
		_ = f.MarkHidden(hidden)
	}
	return f
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
	return o, f, o.check(f)
}

func (o *options) check(f *pflag.FlagSet) error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	_, known := directions[o.direction]
	fault(!known, "-Q %s: want in, out or inout", o.direction)
	fault(o.stamp > int(render.TimeSinceFirst), "-%s: at most five t", strings.Repeat("t", o.stamp))
	fault(o.snaplen < 0, "-s %d: want 0 or more", o.snaplen)
	fault(o.count < 0, "-c %d: want 1 or more", o.count)
	fault(f.Changed("count") && o.count == 0, "-c 0: want 1 or more")
	fault(o.noPackets && o.noStates, "--no-packets with --no-states leaves nothing to show")
	fault(o.noPackets && o.write != "", "-w writes packets, --no-packets has none")
	fault(o.noPackets && o.read != "", "-r reads packets, --no-packets has none")
	fault(o.read != "" && o.device != "", "-r reads a file, -i a device: choose one")
	fault(o.read != "" && (o.selective() || len(o.netns) > 0), "-r reads a file, which does not tell whose its packets are: -p, --comm, --cgroup and --netns are for live traces")
	o.checkChoices(f, fault)
	fault(o.view != "auto" && o.view != "columns" && o.view != "lines", "--view %s: want auto, columns or lines", o.view)
	fault(len(o.netns) > 0 && o.device != "" && o.device != anyDevice, "-i %s names a device of this namespace, --netns another one: use ip netns exec NAME tcpstory -i %s", o.device, o.device)
	fault(o.ring < 4096 || o.ring > maxRing || o.ring&(o.ring-1) != 0,
		"--ring %d: want a power of two, at least 4096 and at most %d", o.ring, maxRing)
	if len(faults) > 0 {
		return usageError{faults[0]}
	}
	return nil
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

// usage lists the flags by their short names, tcpdump's, a line each, and the
// other commands.
func (o *options) usage(f *pflag.FlagSet) string {
	var b strings.Builder
	b.WriteString(usageHead)
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		name := "--" + flag.Name
		if flag.Shorthand != "" {
			name = "-" + flag.Shorthand
		}
		value, text := pflag.UnquoteUsage(flag)
		if flag.Value.Type() == "bool" || flag.Value.Type() == "count" {
			value = ""
		}
		fmt.Fprintf(&b, "  %-19s %s\n", strings.TrimSpace(name+" "+value), text)
	})
	b.WriteString("\nother commands:\n")
	for _, c := range commands()[1:] {
		fmt.Fprintf(&b, "  %-19s %s\n", c.name, c.brief)
	}
	return b.String()
}
