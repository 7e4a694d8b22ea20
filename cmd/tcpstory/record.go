package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"tcpstory/internal/capture"
	"tcpstory/internal/conn"
	"tcpstory/internal/kernel"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// recording is how a recording is written.
type recording struct {
	record  string // record -w
	rows    string
	print   bool
	size    string // -C
	seconds int    // -G
	files   int    // -W
	buffer  int    // -B, KiB

	bytes int64 // size

	flightOptions
}

const recordHead = `usage: tcpstory record -w FILE [flags] [filter expression]
Records packets and the kernel's events, in their order, in a pcapng file.
tcpstory -r FILE shows what tcpstory would have shown; Wireshark, tshark and
tcpdump read it. With --ring it is a flight recorder: it keeps the past in
memory, and writes a file when something happens.

`

// rowKinds are --rows' words.
var rowKinds = map[string]record.Rows{"journal": record.RowsJournal, "pdu": record.RowsPDU, "none": record.RowsNone}

func (o *options) recordFlags() *pflag.FlagSet {
	f := newFlags()
	f.StringVarP(&o.record, "write", "w", "", "record into `FILE` (- standard output)")
	f.StringVarP(&o.size, "file-size", "C", "", "begin another file after `SIZE` million bytes (or with k, m, g: KiB, MiB, GiB)")
	f.IntVarP(&o.seconds, "rotate-seconds", "G", 0, "begin another file every `N` seconds; FILE is a strftime(3) form")
	f.IntVarP(&o.files, "file-count", "W", 0, "with -C: at most `N` files, the oldest is written anew; with -G: end after N")
	f.StringVar(&o.rows, "rows", "journal", "other programs see kernel events as `journal` entries; pdu: better in Wireshark, tcpdump refuses the file; none: half the size")
	f.BoolVar(&o.print, "print", false, "show them, too")
	o.flightOptions.flags(f)
	o.choice.flags(f)
	f.IntVarP(&o.buffer, "buffer-size", "B", kernel.DefaultRingSize>>10, "ring buffer of `KIB`, a power of two (16384)")
	o.view.flags(f)
	o.lastFlags(f)
	return f
}

func parseRecord(args []string) (*options, *pflag.FlagSet, error) {
	o := &options{}
	f := o.recordFlags()
	if err := f.Parse(args); err != nil {
		return nil, nil, usageError{err}
	}
	o.expr = strings.Join(f.Args(), " ")
	var c faults
	o.checkRecord(&c, f)
	o.check(&c, f)
	return o, f, c.first()
}

func (o *options) checkRecord(c *faults, f *pflag.FlagSet) {
	if o.help || o.version {
		o.ring = kernel.DefaultRingSize
		return
	}
	c.when(o.record == "", "record needs -w FILE (- is standard output)")
	c.when(o.buffer < 4 || o.buffer > maxRing>>10 || o.buffer&(o.buffer-1) != 0, "-B %d: want a power of two, at least 4 and at most %d", o.buffer, maxRing>>10)
	o.ring = o.buffer << 10
	_, known := rowKinds[o.rows]
	c.when(!known, "--rows %s: want journal, pdu or none", o.rows)
	c.when(o.print && o.record == capture.Stdio, "--print and -w - both want standard output")
	if o.size != "" {
		var err error
		o.bytes, err = bytesOf("-C", o.size)
		c.when(err != nil, "%v", err)
	}
	o.checkFlight(c, f)
	c.when(f.Changed("rotate-seconds") && o.seconds < 1, "-G %d: want 1 or more", o.seconds)
	c.when(f.Changed("file-count") && o.files < 1, "-W %d: want 1 or more", o.files)
	c.when(o.files > 0 && o.size == "" && o.seconds == 0, "-W counts the files of -C or -G")
	c.when(o.record == capture.Stdio && (o.size != "" || o.seconds > 0), "-C and -G begin files, -w - is none")
}

// recordLive is `tcpstory record`.
func recordLive(ctx context.Context, e *env) error {
	o, flags, err := parseRecord(e.args)
	switch {
	case err != nil:
		return err
	case e.closed && (o.help || o.print || o.record == capture.Stdio):
		return errStdoutClosed
	case o.help:
		_, err := fmt.Fprint(e.stdout, usage(recordHead, flags)+triggerHelp())
		return err
	case o.version:
		return version(ctx, e)
	}
	return live(ctx, e, o, newRecording)
}

// newRecording opens the file, and a view where one is asked for.
func newRecording(e *env, o *options, link tcp.LinkType) (*output, error) {
	out := &output{sink: nowhere{}, limit: o.count, packets: !o.noPackets}
	if o.print {
		var err error
		if out, err = newOutput(e, o, link); err != nil {
			return nil, err
		}
	}
	if o.flies() {
		var err error
		if out.record, err = newFlight(e, o, link); err != nil {
			return nil, errors.Join(err, out.sink.Close())
		}
		return out, nil
	}
	f := &files{path: o.record, size: o.bytes, every: time.Duration(o.seconds) * time.Second, most: o.files, stdout: e.stdout}
	file, err := f.first(time.Now().UnixNano())
	if err != nil {
		return nil, errors.Join(err, out.sink.Close())
	}
	out.record = &recorder{w: record.NewWriter(file, o.about(e, link), rowKinds[o.rows]), files: f}
	return out, errors.Join(out.record.flush())
}

// nowhere is the view of a recording that is not shown.
type nowhere struct{}

func (nowhere) Write(*conn.Step) error { return nil }
func (nowhere) Flush() error           { return nil }
func (nowhere) Close() error           { return nil }

// about is what a recording says of where it was made, and of what.
func (o *options) about(e *env, link tcp.LinkType) record.About {
	a := record.About{
		Program: "tcpstory (devel)", Link: link, PIDs: o.processes, Comms: o.comms, Cgroups: o.cgroups,
		NoStates: o.packetsOnly(), NoPackets: o.noPackets, Count: o.count,
	}
	a.Expr, _ = o.expression(e)
	if info, ok := debug.ReadBuildInfo(); ok {
		a.Program = "tcpstory " + buildVersion(info)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		a.OS = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
		a.Hardware = unix.ByteSliceToString(u.Machine[:])
	}
	return a
}
