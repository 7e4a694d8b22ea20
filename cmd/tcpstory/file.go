package main

import (
	"context"
	"errors"
	"io"

	"tcpstory/internal/capture"
	"tcpstory/internal/filter"
	"tcpstory/internal/tcp"
)

// traceFile is -r: packets from a capture file, through the same spine.
func traceFile(ctx context.Context, e *env, o *options) error {
	reader, err := capture.Open(o.read)
	if err != nil {
		return err
	}
	defer reader.Close()
	expr, _ := o.expression(e)
	sel, err := newSelection(expr, reader.Link())
	if err != nil {
		return err
	}
	out, err := newOutput(e, o, reader.Link())
	if err != nil {
		return err
	}
	s := newStory(sel, out)
	err = s.follow(&fileSource{ctx: ctx, reader: reader, program: sel.programs[0]})
	err = errors.Join(err, out.close())
	if quietly(err) {
		return nil
	}
	return err
}

// fileSource gives the packets that the expression selects, and the ICMP errors
// that may quote one.
type fileSource struct {
	ctx     context.Context
	reader  *capture.Reader
	program *filter.Program
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
		if ev.Packet.Asked {
			return nil
		}
		if ev.Packet.Decode(); ev.Packet.IsQuote {
			return nil
		}
	}
}

// Wait implements source: a file never makes one wait.
func (f *fileSource) Wait() error { return nil }
