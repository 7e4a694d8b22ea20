package main

import (
	"tcpstory/internal/conn"
	"tcpstory/internal/record"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// recorder writes a story's events, and in words what they mean, to files.
type recorder struct {
	w     *record.Writer
	files *files
	table *conn.Table

	carried int64 // bytes of the file that the one before has left to it

	note  record.Note
	line  []byte
	spelt [1 << 6]spelling
}

// spelling is how the two ends of a connection are written, one whose events came lately.
type spelling struct {
	flow     tcp.Flow
	listener bool
	text     []byte
}

// write takes every step, selected or not: what is not shown may be what later
// events stand on.
func (r *recorder) write(s *conn.Step) error {
	if !recorded(s) {
		return nil
	}
	return r.files.failed(r.w.Write(s.Event, r.describe(s)), r.w)
}

// recorded: of connections that the filter expression has nothing to do with,
// nothing is.
func recorded(s *conn.Step) bool {
	switch ev := s.Event; {
	case ev.Kind == tcp.KindGap, ev.Kind == tcp.KindPlace, ev.Kind == tcp.KindKnown, ev.Kind == tcp.KindCounters:
		return true
	case ev.Kind == tcp.KindPacket:
		return s.Selected || ev.Packet.Asked // of a process that is not known yet
	case ev.Inferred:
		return s.Selected
	}
	return s.Selected || s.Conn != nil && !s.Conn.PassedOver()
}

// describe says the step in words, which are valid until the next.
func (r *recorder) describe(s *conn.Step) *record.Note {
	n := &r.note
	n.Line, n.Fact, n.Task, n.Flow = nil, nil, nil, s.Flow
	n.Outgoing, n.Hidden, n.Derived = s.Outgoing, !s.Selected, s.Event.Inferred
	if s.Conn != nil && s.Conn.Task.Known() {
		n.Task = &s.Conn.Task
	}
	if s.Event.Kind == tcp.KindPacket || !s.Selected || s.Event.Known != nil {
		return n // what stood before has no row: its time would be the file's first
	}
	if s.Event.Kind == tcp.KindGap {
		r.line = render.AppendKernel(r.line[:0], s)
		n.Line = r.line
		return n
	}
	r.line = append(r.line[:0], r.ends(s)...)
	ends := len(r.line)
	r.line = render.AppendFact(r.line, s)
	n.Line, n.Fact = r.line, r.line[ends:]
	return n
}

// ends is render.AppendEnds, once for the events of a connection.
func (r *recorder) ends(s *conn.Step) []byte {
	listener := s.Conn != nil && s.Conn.Role == conn.RoleListener
	e := &r.spelt[(2*s.Flow.Local.Port()+s.Flow.Remote.Port())%uint16(len(r.spelt))]
	if e.text == nil || e.listener != listener || e.flow != s.Flow {
		e.flow, e.listener, e.text = s.Flow, listener, render.AppendEnds(e.text[:0], s)
	}
	return e.text
}

func (r *recorder) starts(t *conn.Table)  { r.table = t }
func (r *recorder) pause(now int64) error { return r.files.failed(r.w.Pause(now), r.w) }
func (r *recorder) flush() error          { return r.files.failed(r.w.Flush(), r.w) }

// close ends the file, if one is open.
func (r *recorder) close() error {
	if r.files.file == nil {
		return nil
	}
	return r.files.close(r.files.failed(r.w.End(), r.w))
}

// rotate begins another file, where one is due, before an event at time now is
// applied: with all that the table knows, so that the story goes on there.
func (r *recorder) rotate(now int64) error {
	if r.table == nil || !r.files.isDue(now, r.w.Size()-r.carried) {
		return nil
	}
	if err := r.close(); err != nil {
		return err
	}
	file, err := r.files.next(now)
	if err != nil {
		return err
	}
	r.w.Begin(file)
	err = r.table.Carry(func(ev *tcp.Event) error { return r.w.Write(ev, &record.Note{}) })
	r.carried = r.w.Size()
	return r.files.failed(err, r.w)
}
