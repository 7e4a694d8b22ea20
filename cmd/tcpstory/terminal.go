package main

import (
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tcpstory/internal/render"
)

// newColumns is the view for terminals; it follows the terminal's width.
func newColumns(e *env, w *render.Writer, o *options) *render.Columns {
	c := render.NewColumns(w, render.ColumnsOptions{
		Width: terminalWidth(e), Time: render.TimeFormat(o.stamp), Absolute: o.absolute,
		Color: e.coloured(), Unicode: isUTF8(e.getenv),
	})
	if e.terminal {
		followWidth(e, c)
	}
	return c
}

// coloured reports whether the output goes to somebody who sees colours.
func (e *env) coloured() bool {
	return e.terminal && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
}

// defaultWidth is a terminal's that does not tell.
const defaultWidth = 80

func terminalWidth(e *env) int {
	if w, _, err := term.GetSize(int(e.stdout.Fd())); err == nil && w > 0 {
		return w
	}
	return defaultWidth
}

func followWidth(e *env, c *render.Columns) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	go func() {
		for range resized {
			c.SetWidth(terminalWidth(e))
		}
	}()
}

// isUTF8 asks the locale as locale(7) orders it.
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(getenv(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}
