package main

import (
	"context"
	"fmt"

	"tcpstory/internal/render"
)

// now is `tcpstory now`: the sockets as they stand.
func now(ctx context.Context, e *env) error {
	o, flags, err := parseNow(e.args)
	switch {
	case err != nil:
		return err
	case e.closed:
		return errStdoutClosed
	case o.help:
		_, err := fmt.Fprint(e.stdout, usage(nowUsage, flags))
		return err
	case o.version:
		return version(ctx, e)
	}
	if o.read != "" {
		return untilInterrupted(ctx, func() error { return nowRecorded(ctx, e, o) })
	}
	look, err := newLooker(e, o)
	if err != nil {
		return err
	}
	defer look.names.Close()
	if o.watch != "" {
		return watchSockets(ctx, e, o, look)
	}
	view, err := look.look()
	if err != nil {
		return err
	}
	for _, note := range view.notes {
		e.say("%s", note)
	}
	return o.show(e, view)
}

// snapshot is what now shows: sockets of one moment, in their order.
type snapshot struct {
	render.SocketView
	all   int      // sockets that there are, asked for or not; 0 unknown
	notes []string // what may be missing
}

// show writes one snapshot.
func (o *nowOptions) show(e *env, v *snapshot) error {
	text, err := o.text(v, o.width(e), e.coloured())
	if err != nil {
		return err
	}
	if _, err := e.stdout.Write(text); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// width is what a table has to fit; 0: nothing.
func (o *nowOptions) width(e *env) int {
	if o.wide || !e.terminal {
		return 0
	}
	return terminalWidth(e)
}

// text is a snapshot in the form that the command line asks for.
func (o *nowOptions) text(v *snapshot, width int, color bool) ([]byte, error) {
	form := render.SocketForm{Width: width, Color: color, Groups: o.groups}
	switch {
	case o.json:
		form.Kind = render.FormJSON
	case o.csv:
		form.Kind = render.FormCSV
	}
	return v.Append(nil, form)
}
