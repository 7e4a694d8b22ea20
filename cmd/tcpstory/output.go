package main

import (
	"errors"
	"fmt"
	"strings"

	"tcpstory/internal/capture"
	"tcpstory/internal/conn"
	"tcpstory/internal/kernel"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// output is where the story goes: one sink, and the counts for the end.
type output struct {
	sink    render.Sink
	keeper  render.Keeper // the sink, if it is read back; else nil
	record  chronicle     // nil: nothing is recorded
	steps   uint64        // of any kind so far
	follows bool          // the last one was inferred
	warn    func(string, ...any)
	begins  func() // called before the first step is shown; nil: nobody cares
	summary render.Summary
	limit   int // -c: packets, or events where there are none
	packets bool

	counters bool // the sink takes KindCounters
}

// chronicle is a recorder: into a file, or into memory until something happens.
type chronicle interface {
	starts(*conn.Table)     // it is told of the table before the first step
	rotate(now int64) error // an event of that time is about to be applied
	write(*conn.Step) error
	pause(now int64) error // something was given out though nothing came
	flush() error          // a lull
	close() error
}

func newOutput(e *env, o *options, link tcp.LinkType) (*output, error) {
	sink, err := newSink(e, o, link)
	if err != nil {
		return nil, err
	}
	keeper, _ := sink.(render.Keeper)
	return &output{
		sink: sink, keeper: keeper, limit: o.count, packets: !o.noPackets, warn: e.say, counters: o.why,
		summary: render.Summary{PacketsOnly: o.packetsOnly()},
	}, nil
}

// newSink is the table of views: what the flags and the terminal choose.
func newSink(e *env, o *options, link tcp.LinkType) (render.Sink, error) {
	switch {
	case o.why:
		return newVerdicts(e, o), nil
	case o.write != "":
		return newFileSink(o, link)
	}
	w := render.NewWriter(e.stdout, "standard output", o.lined)
	switch {
	case o.json:
		return newJSON(e, o, link, w)
	case o.columnar(e):
		return newColumns(e, w, o), nil
	}
	return render.NewLines(w, o.lineOptions()), nil
}

// packetsOnly: the kernel's events are not shown, though they may be asked for to
// know whose the packets are.
func (o *options) packetsOnly() bool { return o.noStates || o.write != "" }

// columnar: two columns need a kernel side to stand on the left.
func (o *options) columnar(e *env) bool {
	if o.noStates || o.read != "" && !o.replays || o.form == "lines" {
		return false
	}
	return o.form == "columns" || e.terminal
}

func (o *options) lineOptions() render.LineOptions {
	return render.LineOptions{
		Time: render.TimeFormat(o.stamp), Absolute: o.absolute, Quiet: o.quiet, Verbose: o.verbose,
		Columns: o.device == anyDevice, Link: o.link, Number: o.number,
	}
}

// write counts a step and shows it if it was asked for.
func (out *output) write(s *conn.Step) error {
	out.steps++
	out.follows = s.Event.Inferred
	if out.record != nil {
		if err := out.record.write(s); err != nil {
			return err
		}
	}
	k := s.Event.Kind
	if k == tcp.KindCounters {
		if out.counters {
			return out.sink.Write(s)
		}
		return out.keep(s)
	}
	if !s.Selected || out.summary.PacketsOnly && k != tcp.KindPacket && k != tcp.KindGap {
		return out.keep(s)
	}
	if out.begins != nil {
		out.begins()
		out.begins = nil
	}
	if err := out.sink.Write(s); err != nil {
		return err
	}
	out.summary.Count(s)
	if out.limit > 0 && out.counted() >= uint64(out.limit) {
		return errEnough
	}
	return nil
}

// keep is for a step that is not shown.
func (out *output) keep(s *conn.Step) error {
	if out.keeper == nil || s.Event.Inferred || !recorded(s) {
		return nil
	}
	return out.keeper.Keep(s.Event)
}

// pause keeps that nothing else had happened at time now, nanoseconds since 1970,
// and that something was told because of that.
func (out *output) pause(now int64) error {
	if out.record != nil {
		if err := out.record.pause(now); err != nil {
			return err
		}
	}
	if out.keeper != nil {
		return out.keeper.Keep(&tcp.Event{Time: now})
	}
	return nil
}

// passes tells a view of a recording that time has passed.
func (out *output) passes(now int64) error {
	if timed, ok := out.sink.(render.Timed); ok {
		return timed.Pass(now)
	}
	return nil
}

// readBack: what is written is read again.
func (out *output) readBack() bool { return out.record != nil || out.keeper != nil }

func (out *output) counted() uint64 {
	if out.packets {
		return out.summary.Packets
	}
	return out.summary.Events
}

// flush makes seen what was written.
func (out *output) flush() error {
	if out.record != nil {
		if err := out.record.flush(); err != nil {
			return err
		}
	}
	return out.sink.Flush()
}

func (out *output) close() error {
	err := out.sink.Close()
	if out.record != nil {
		err = errors.Join(err, out.record.close())
	}
	return err
}

// summarise tells at the end what was seen, and everything lost.
func (out *output) summarise(e *env) error {
	var text []byte
	if e.terminal {
		text = append(text, '\n') // behind the ^C
	}
	_, err := e.stderr.Write(out.summary.Append(text))
	return err
}

// fileSink is -w: packets into a capture file.
type fileSink struct{ *capture.Writer }

func newFileSink(o *options, link tcp.LinkType) (render.Sink, error) {
	w, err := capture.Create(o.write, link, o.snaplen)
	if err != nil {
		return nil, err
	}
	return fileSink{w}, nil
}

// Write implements render.Sink.
func (f fileSink) Write(s *conn.Step) error {
	if s.Event.Kind != tcp.KindPacket {
		return nil
	}
	return f.Writer.Write(s.Event)
}

// cut says so when -s asks for more of a packet than there can be.
func (o *options) cut() string {
	if o.snaplen <= kernel.MaxSnaplen {
		return ""
	}
	return fmt.Sprintf("of a packet at most %d bytes can be kept, -s %d asks for more", kernel.MaxSnaplen, o.snaplen)
}

// listening is the line that says tracing has begun.
func (o *options) listening() string {
	where := "every device of every network namespace"
	switch {
	case len(o.netns) > 0:
		where = "network namespace " + strings.Join(o.netns, ", ")
	case o.device == anyDevice:
		where = "every device of this network namespace"
	case o.device != "":
		where = o.device
	}
	if o.expr == "" {
		return "listening on " + where
	}
	return fmt.Sprintf("listening on %s, filter %q", where, o.expr)
}
