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

	note record.Note
	line []byte
}

// write takes every step, selected or not: what is not shown may be what later
// events stand on.
func (r *recorder) write(s *conn.Step) error {
	if !recorded(s) {
		return nil
	}
	if r.files.isDue(s.Event.Time, r.w.Size()) {
		if err := r.next(s.Event.Time); err != nil {
			return err
		}
	}
	return r.files.failed(r.w.Write(s.Event, r.describe(s)), r.w)
}

// recorded: of connections that the filter expression has nothing to do with,
// nothing is.
func recorded(s *conn.Step) bool {
	switch ev := s.Event; {
	case ev.Kind == tcp.KindGap, ev.Kind == tcp.KindPlace, ev.Kind == tcp.KindCounters:
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
	*n = record.Note{Flow: s.Flow, Outgoing: s.Outgoing, Hidden: !s.Selected, Derived: s.Event.Inferred}
	if s.Conn != nil && s.Conn.Task.Known() {
		n.Task = &s.Conn.Task
	}
	if s.Event.Kind == tcp.KindPacket || !s.Selected {
		return n
	}
	if s.Event.Kind == tcp.KindGap {
		r.line = render.AppendKernel(r.line[:0], s)
		n.Line = r.line
		return n
	}
	r.line = render.AppendEnds(r.line[:0], s)
	ends := len(r.line)
	r.line = render.AppendFact(r.line, s)
	n.Line, n.Fact = r.line, r.line[ends:]
	return n
}

func (r *recorder) pause(now int64) error { return r.files.failed(r.w.Pause(now), r.w) }
func (r *recorder) flush() error          { return r.files.failed(r.w.Flush(), r.w) }

// close ends the file, if one is open.
func (r *recorder) close() error {
	if r.files.file == nil {
		return nil
	}
	return r.files.close(r.files.failed(r.w.End(), r.w))
}

// next ends the file and begins another, which begins with what is known of the
// sockets that are open; of half-open connections, TIME_WAITs, roles and ends that
// translation hides it knows nothing.
func (r *recorder) next(now int64) error {
	if err := r.close(); err != nil {
		return err
	}
	file, err := r.files.next(now)
	if err != nil {
		return err
	}
	r.w.Begin(file)
	var first error
	told := map[*tcp.Place]bool{}
	r.table.Each(func(c *conn.Conn) {
		if first == nil && !c.PassedOver() {
			first = r.repeat(c, now, told)
		}
	})
	return r.files.failed(first, r.w)
}

// repeat writes what is known of a socket, as what existed when the file began.
func (r *recorder) repeat(c *conn.Conn, now int64, told map[*tcp.Place]bool) error {
	var events []tcp.Event
	if p := c.Namespace; p != nil && *p != (tcp.Place{}) && !told[p] {
		told[p] = true
		events = append(events, tcp.Event{Kind: tcp.KindPlace, Netns: c.Netns, Place: p})
	}
	if p := c.Home; p != nil && *p != (tcp.Place{}) && !told[p] {
		told[p] = true
		events = append(events, tcp.Event{Kind: tcp.KindPlace, Cgroup: c.Cgroup, Place: p})
	}
	same := tcp.Event{Kind: tcp.KindSocket, Cookie: c.Cookie, Netns: c.Netns, Flow: c.Flow, New: c.State, Cgroup: c.Cgroup}
	events = append(events, same)
	if c.Task.Known() {
		same.Kind, same.Task, same.Via = tcp.KindOwner, c.Task, c.Via
		events = append(events, same)
	}
	for i := range events {
		events[i].Time = now
		if err := r.w.Write(&events[i], &record.Note{}); err != nil {
			return err
		}
	}
	return nil
}
