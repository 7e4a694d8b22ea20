package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// watchSockets is --watch: a look, again and again, until Ctrl-C.
func watchSockets(ctx context.Context, e *env, o *nowOptions, look *looker) error {
	show := plainWatch
	if e.terminal && !o.csv && !o.json {
		s := newScreen(e)
		defer s.close()
		show = s.show
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	said := map[string]bool{}
	for first := true; ; first = false {
		v, err := look.look()
		if err == nil {
			err = show(e, o, v, first)
		}
		if err != nil {
			return err
		}
		o.sayOnce(e, v, said)
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case <-tick.C:
		}
	}
}

// sayOnce says what may be missing, where that does not disturb a screen.
func (o *nowOptions) sayOnce(e *env, v *snapshot, said map[string]bool) {
	for _, note := range v.notes {
		if !said[note] && !(e.terminal && term.IsTerminal(int(os.Stderr.Fd()))) {
			e.say("%s", note)
		}
		said[note] = true
	}
}

// plainWatch writes one look after the other.
func plainWatch(e *env, o *nowOptions, v *snapshot, first bool) error {
	return o.show(e, v)
}

// screen is a terminal that is drawn over again and again.
type screen struct{ out *os.File }

// The sequences that a screen needs (ECMA-48, and xterm's for the other screen).
const (
	otherScreen = "\x1b[?1049h\x1b[?25l" // and no cursor
	ownScreen   = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	toLineEnd   = "\x1b[K"
	toScreenEnd = "\x1b[J"
)

func newScreen(e *env) *screen {
	fmt.Fprint(e.stdout, otherScreen)
	return &screen{e.stdout}
}

func (s *screen) close() { fmt.Fprint(s.out, ownScreen) }

// show draws over what is there, in one write and without erasing first: nothing
// flickers.
func (s *screen) show(e *env, o *nowOptions, v *snapshot, _ bool) error {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = defaultWidth, 24
	}
	text, err := o.text(v, width, e.coloured())
	if err != nil {
		return err
	}
	frame := []byte(home)
	frame = append(frame, o.describe(v.Time, len(v.Sockets), v.all)...)
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	more := 0
	if len(lines) > height-1 {
		more = len(lines) - (height - 2)
		lines = lines[:max(height-2, 0)]
	}
	for _, line := range lines {
		frame = append(append(append(frame, toLineEnd...), "\r\n"...), line...)
	}
	if more > 0 {
		frame = fmt.Appendf(frame, "%s\r\n… %d more lines", toLineEnd, more)
	}
	frame = append(append(frame, toLineEnd...), toScreenEnd...)
	if _, err := s.out.Write(frame); err != nil {
		return errors.Join(err)
	}
	return nil
}
