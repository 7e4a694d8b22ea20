package render

import (
	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// Lines is the sink for pipes and files: packets are exactly tcpdump's lines,
// kernel events are lines in the same manner (see LineForms), gaps begin with
// "***". Everything is printable ASCII.
type Lines struct {
	*Writer
	printer *LinePrinter
	columns bool
}

// NewLines returns a sink that prints as opts say.
func NewLines(w *Writer, opts LineOptions) *Lines {
	return &Lines{Writer: w, printer: NewLinePrinter(opts), columns: opts.Columns}
}

// Write appends one event.
func (l *Lines) Write(s *conn.Step) error {
	ev := s.Event
	if ev.Kind == tcp.KindPacket {
		return l.commit(l.printer.Append(l.buf, ev))
	}
	dst := l.printer.AppendTime(l.buf, ev.Time)
	if ev.Kind == tcp.KindGap {
		return l.commit(append(appendGap(dst, &ev.Gap), '\n'))
	}
	if l.columns {
		dst = append(dst, "-     -   "...) // where packets have interface and direction
	}
	return l.commit(append(AppendKernel(dst, s), '\n'))
}
