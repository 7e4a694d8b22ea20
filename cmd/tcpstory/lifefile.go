package main

import (
	"bufio"
	"context"
	"errors"

	"tcpstory/internal/capture"
	"tcpstory/internal/conn"
	"tcpstory/internal/life"
	"tcpstory/internal/record"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// lifeFile is life -r: the lines of a recorded story. What the kernel's sockets
// counted is not in it.
func lifeFile(ctx context.Context, e *env, o *lifeOptions) error {
	o.lined = o.lined || o.read == capture.Stdio
	file, err := capture.OpenFile(o.read)
	if err != nil {
		return err
	}
	p := newProgress(e, file)
	in := bufio.NewReaderSize(p, record.BufferSize)
	if !record.Is(in) && !record.IsJSON(in) {
		return errors.Join(usageError{errors.New("life -r reads a recording: a capture file has packets only, and does not tell how sockets ended")}, file.Close())
	}
	sel := &selection{all: true}
	if o.expr != "" {
		if sel, err = newSelection(o.expr, tcp.LinkEthernet, tcp.LinkRaw); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	steps := &lifeSteps{LifeSink: newLifeSink(e, o), picks: o.picks(sel)}
	open := func(e *env, o *options, _ tcp.LinkType) (*output, error) {
		return &output{sink: steps, packets: true, warn: e.say}, nil
	}
	return errors.Join(replay(ctx, e, &o.options, in, p.begins, open), file.Close())
}

// lifeSteps is a story's sink that writes the lives that end.
type lifeSteps struct {
	render.LifeSink
	chronicle life.Chronicle
	picks     func(*life.Line) bool
}

// Write implements render.Sink.
func (s *lifeSteps) Write(step *conn.Step) error {
	return s.chronicle.Take(step, func(l *life.Line) error {
		if !s.picks(l) {
			return nil
		}
		row := render.LifeRow{Line: l, Home: step.Conn.Home}
		if p := step.Conn.Namespace; p != nil {
			row.Namespace = p.Name
		}
		return s.LifeSink.Write(row)
	})
}
