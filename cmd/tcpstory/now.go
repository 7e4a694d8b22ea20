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
	look, err := newLooker(o)
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
	return o.show(e, view, false)
}

// snapshot is what now shows: sockets of one moment, in their order.
type snapshot struct {
	render.SocketView
	all   int      // sockets that there are, asked for or not; 0 unknown
	notes []string // what may be missing
}

// show writes one snapshot; again: after another.
func (o *nowOptions) show(e *env, v *snapshot, again bool) error {
	form := o.form(o.width(e), e)
	form.Headless = again
	return v.WriteTo(render.NewWriter(e.stdout, "standard output", false), form)
}

// form is how the command line asks for a snapshot.
func (o *nowOptions) form(width int, e *env) render.SocketForm {
	f := render.SocketForm{Width: width, Color: e.coloured(), Groups: o.groups}
	switch {
	case o.json:
		f.Kind = render.FormJSON
	case o.csv:
		f.Kind = render.FormCSV
	}
	return f
}

// width is what a table has to fit; 0: nothing.
func (o *nowOptions) width(e *env) int {
	if o.wide || !e.terminal {
		return 0
	}
	return terminalWidth(e)
}
