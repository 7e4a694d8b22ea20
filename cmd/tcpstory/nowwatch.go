package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tcpstory/internal/render"
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

// sayOnce says what may be missing, where that does not disturb a screen, which shows
// it itself.
func (o *nowOptions) sayOnce(e *env, v *snapshot, said map[string]bool) {
	for _, note := range v.notes {
		if !said[note] && !(e.terminal && term.IsTerminal(int(os.Stderr.Fd()))) {
			e.say("%s", note)
		}
		said[note] = true
	}
}

// plainWatch writes one look after the other; a table stands under its time.
func plainWatch(e *env, o *nowOptions, v *snapshot, first bool) error {
	if !o.csv && !o.json {
		if _, err := fmt.Fprintf(e.stdout, "%s\n", o.describe(v)); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	}
	return o.show(e, v, !first)
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
// flickers. What may be missing stands above the table.
func (s *screen) show(e *env, o *nowOptions, v *snapshot, _ bool) error {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = defaultWidth, defaultHeight
	}
	all := len(v.Sockets)
	title := o.describe(v)
	if len(o.groups) == 0 && all > height { // what will not be seen need not be made
		v.Sockets = v.Sockets[:height]
	}
	text, err := v.Append(nil, o.form(width, e))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	missing := notesAbove(v.notes)
	if fit := linesWithin(lines, width, max(height-1-len(missing), 0)); fit < len(lines) {
		lines = lines[:fit]
		title += ", not all of them in view"
	}
	above := append([]string{title}, missing...)
	for i := range above {
		above[i] = render.Fit(above[i], width)
	}
	lines = append(above, lines...)
	if _, err := s.out.Write(frame(lines[:min(height, len(lines))])); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// linesWithin is how many of the lines a screen has room for: one that is wider than
// the screen takes several of its rows.
func linesWithin(lines []string, width, rows int) (n int) {
	for n < len(lines) && rows > 0 {
		taken := max(1, (columnsOf(lines[n])+width-1)/width)
		if rows -= taken; rows < 0 {
			break
		}
		n++
	}
	return n
}

// columnsOf is how many columns a line of ours takes; its styles (ESC to m) take none.
func columnsOf(line string) (n int) {
	style := false
	for _, c := range line {
		switch {
		case c == '\x1b':
			style = true
		case !style:
			n++
		case c == 'm':
			style = false
		}
	}
	return n
}

// notesAbove are the notes that a screen has room for; the others are counted.
func notesAbove(notes []string) []string {
	const most = 3
	if more := len(notes) - most; more > 0 {
		return append(slices.Clone(notes[:most]), fmt.Sprintf("and %d more of what may be missing", more))
	}
	return notes
}

// frame is what draws the lines over what is there.
func frame(lines []string) []byte {
	b := []byte(home)
	for i, line := range lines {
		if i > 0 {
			b = append(b, "\r\n"...)
		}
		b = append(append(b, line...), toLineEnd...)
	}
	return append(b, toScreenEnd...)
}

// defaultHeight is a terminal's that does not tell.
const defaultHeight = 24
