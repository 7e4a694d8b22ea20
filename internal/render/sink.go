package render

import (
	"fmt"
	"io"
	"slices"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// Sink takes the steps of a story in their order. The loop gives it the selected
// ones only, flushes it after every batch and closes it at the end. A Step is
// valid during Write. Sinks are not safe for concurrent use.
type Sink interface {
	Write(*conn.Step) error
	Flush() error
	Close() error
}

// Keeper is a Sink that is read back: it is also given the events that are not
// shown, and yet needed for those that are.
type Keeper interface{ Keep(*tcp.Event) error }

// Timed is a Sink that has something to say when time has passed, and nothing else:
// until now, nanoseconds since 1970.
type Timed interface{ Pass(now int64) error }

// flushAt is how much a Writer gathers before it writes of its own accord.
const flushAt = 32 << 10

// Writer is the buffer that a sink appends its lines to. The first error stays:
// every later call returns it. errors.Is sees through it, so that a closed pipe
// (EPIPE) can be told from a full disk (ENOSPC).
type Writer struct {
	w     io.Writer
	name  string
	lines bool
	buf   []byte
	err   error
}

// NewWriter returns a Writer to w. Name says in errors what w is. With
// lineBuffered each line is written at once (-l). The Writer does not close w:
// who opens it closes it.
func NewWriter(w io.Writer, name string, lineBuffered bool) *Writer {
	return &Writer{w: w, name: name, lines: lineBuffered, buf: make([]byte, 0, flushAt+4096)}
}

// commit takes back the buffer with a line appended to it.
func (w *Writer) commit(buf []byte) error {
	w.buf = buf
	if w.lines || len(w.buf) >= flushAt {
		return w.Flush()
	}
	return w.err
}

// Flush writes what has gathered.
func (w *Writer) Flush() error {
	if len(w.buf) > 0 && w.err == nil {
		if _, err := w.w.Write(w.buf); err != nil {
			w.err = fmt.Errorf("write to %s: %w", w.name, err)
		}
	}
	w.buf = w.buf[:0]
	return w.err
}

// Break ends a line that somebody else has begun where w writes to, as a terminal does that
// shows ^C, and flushes: it stands before what has gathered, which is whole lines.
func (w *Writer) Break() error {
	w.buf = slices.Insert(w.buf, 0, '\n')
	return w.Flush()
}

// Close flushes.
func (w *Writer) Close() error { return w.Flush() }
