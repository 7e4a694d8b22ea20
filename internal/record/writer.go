package record

import (
	"io"

	"tcpstory/internal/tcp"
)

// flushAt is how much a Writer gathers before it writes of its own accord.
const flushAt = 64 << 10

// Writer writes events to one file after the other. It writes whole blocks: what
// stands in the file can be read whenever it ends. It is not safe for concurrent
// use, and does not allocate once it has met all devices.
type Writer struct {
	e   *encoder
	w   io.Writer
	buf []byte
	err error

	size          int64 // of the file so far, with what is in buf
	written       int64 // whole blocks in the file
	first, last   int64 // times of events in the file
	packets, lost uint64

	queue queue
}

// NewWriter returns a Writer that begins a file on w.
func NewWriter(w io.Writer, about About, rows Rows) *Writer {
	r := &Writer{e: newEncoder(about, rows), buf: make([]byte, 0, flushAt+maxBlock)}
	r.Begin(w)
	return r
}

// Begin begins a file on w; the one before must have been ended.
func (w *Writer) Begin(file io.Writer) {
	w.w, w.size, w.written = file, 0, 0
	w.first, w.last, w.packets, w.lost = 0, 0, 0, 0
	w.append(w.e.preamble(w.buf))
}

// Size returns how long the file is, with what has not been written yet.
func (w *Writer) Size() int64 { return w.size }

// Written returns how much of the file is written and whole: where it is to be cut
// when a write has failed.
func (w *Writer) Written() int64 { return w.written }

// append takes back the buffer with something appended to it.
func (w *Writer) append(buf []byte) {
	w.size += int64(len(buf) - len(w.buf))
	w.buf = buf
}

// Write writes an event and what n says of it. Packets must be decoded. An error
// comes back from every later call as well.
func (w *Writer) Write(ev *tcp.Event, n *Note) error {
	w.count(ev, n)
	if w.queue.n == mostWaiting {
		w.append(append(w.buf, w.queue.pop()...))
	}
	u := w.queue.push(ev, n)
	if ev.Kind == tcp.KindPacket && !n.Hidden {
		w.packet(u, ev, n)
	} else {
		w.kernel(u, ev, n)
	}
	if len(w.buf) >= flushAt {
		return w.write()
	}
	return w.err
}

func (w *Writer) packet(u *unit, ev *tcp.Event, n *Note) {
	var id uint32
	u.blocks, id = w.e.device(u.blocks, ev)
	u.packet = len(u.blocks)
	u.blocks = w.e.openPacket(u.blocks, ev, id)
	if n.Outgoing {
		w.queue.announced(u)
	}
}

func (w *Writer) kernel(u *unit, ev *tcp.Event, n *Note) {
	if !n.Derived {
		u.blocks = w.e.event(u.blocks, ev)
	}
	if n.Line != nil {
		u.blocks = w.e.appendRowBlock(u.blocks, ev, n)
	}
	switch {
	case n.Fact == nil:
	case precedes(ev):
		w.queue.announce(n.Fact)
	case follows(ev):
		if p := w.queue.arrived(u); p != nil {
			p.blocks = appendOption(p.blocks, optComment, n.Fact)
		}
	}
}

func (w *Writer) count(ev *tcp.Event, n *Note) {
	if w.first == 0 && !(ev.Kind == tcp.KindSocket && ev.Known != nil) { // whose time is of before
		w.first = ev.Time
	}
	w.last = max(w.last, ev.Time)
	switch ev.Kind {
	case tcp.KindPacket:
		if !n.Hidden {
			w.packets++
		}
	case tcp.KindGap:
		w.lost += ev.Lost
	}
}

// Pause writes that nothing else had happened at time now, nanoseconds since 1970,
// and that something was told because of that.
func (w *Writer) Pause(now int64) error {
	w.settle()
	w.append(w.e.pause(w.buf, now))
	return w.err
}

// settle ends the wait of all units.
func (w *Writer) settle() {
	for w.queue.n > 0 {
		w.append(append(w.buf, w.queue.pop()...))
	}
}

// Flush writes everything: for a lull.
func (w *Writer) Flush() error {
	w.settle()
	return w.write()
}

// End ends the file with its statistics. It does not close it.
func (w *Writer) End() error {
	w.settle()
	w.append(w.e.stats(w.buf, w.first, w.last, w.packets, w.lost))
	return w.write()
}

func (w *Writer) write() error {
	if w.err == nil && len(w.buf) > 0 {
		if _, w.err = w.w.Write(w.buf); w.err == nil {
			w.written = w.size
		}
	}
	w.buf = w.buf[:0]
	return w.err
}
