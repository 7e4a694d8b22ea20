package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	"tcpstory/internal/capture"
	"tcpstory/internal/filter"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// traceFile is -r: a recording, or packets from a capture file, through the same
// spine.
func traceFile(ctx context.Context, e *env, o *options) error {
	o.lined = o.lined || o.read == capture.Stdio // somebody may be waiting at the other end
	file, err := capture.OpenFile(o.read)
	if err != nil {
		return err
	}
	p := newProgress(e, file)
	in := bufio.NewReaderSize(p, record.BufferSize)
	if record.Is(in) || record.IsJSON(in) {
		return errors.Join(replay(ctx, e, o, in, p.begins, newOutput), file.Close())
	}
	reader, err := capture.NewReader(o.read, in, file)
	if err != nil {
		return err
	}
	defer reader.Close()
	if o.why {
		return usageError{errors.New("why needs the kernel's side: -r names a capture file, which has packets only (tcpstory record makes recordings)")}
	}
	if o.noPackets {
		return usageError{errors.New("-r reads a capture file, which has packets only: --no-packets leaves nothing to show")}
	}
	if o.selective() || len(o.netns) > 0 {
		return usageError{errors.New("-r reads a capture file, which does not tell whose its packets are: -p, --comm, --cgroup and --netns are for live traces and recordings")}
	}
	if reader.Link() == tcp.LinkSLL2 {
		e.say("warning: interface names may be wrong: the file holds their numbers only, and these are this host's names")
	}
	expr, _ := o.expression(e)
	sel, err := newSelection(expr, reader.Link())
	if err != nil {
		return err
	}
	out, err := newOutput(e, o, reader.Link())
	if err != nil {
		return err
	}
	out.begins = p.begins
	s := newStory(o, sel.could(), o.whose(), out)
	err = s.follow(&fileSource{ctx: ctx, reader: reader, program: sel.programs[0], quotes: o.quotes()})
	err = errors.Join(err, out.close())
	if quietly(err) {
		return nil
	}
	return err
}

// lastWords is how long an interrupted reader may take to write what it has.
const lastWords = 200 * time.Millisecond

// untilInterrupted runs f, which may block in reading a silent pipe for ever.
func untilInterrupted(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(lastWords):
		return nil
	}
}

// fileSource gives the packets that the expression selects, and the ICMP errors
// that may quote one.
type fileSource struct {
	ctx     context.Context
	reader  *capture.Reader
	program *filter.Program
	quotes  bool // give ICMP errors that quote a TCP segment, too
}

// Read implements source.
func (f *fileSource) Read(ev *tcp.Event) error {
	for {
		if f.ctx.Err() != nil {
			return io.EOF
		}
		if err := f.reader.Next(ev); err != nil {
			return err
		}
		ev.Packet.Asked = f.program.Match(ev.Packet.Frame, ev.Packet.Length)
		if !ev.Packet.Asked && !f.quotes {
			continue
		}
		if ev.Decode(); ev.Packet.Asked || ev.Packet.IsQuote {
			return nil
		}
	}
}

// Wait implements source: a file never makes one wait.
func (f *fileSource) Wait() error { return nil }

// FindOwners implements source: a file's processes are those that it names.
func (f *fileSource) FindOwners(func(uint64) bool) error { return nil }

// MayFindOwners implements source.
func (f *fileSource) MayFindOwners() bool { return false }
