package render

import (
	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// headingAge is after how many lines a conversation is introduced again: by then
// its heading has left the screen.
const headingAge = 100

// headings remembers which conversations were introduced lately, and when. Two
// that share a slot are introduced more often; memory stays what it is.
type headings [1 << 12]heading

type heading struct {
	number uint64
	line   uint64
	teller conn.Role // the end whose view of the addresses it tells
	wire   bool      // what they are on the wire was told too
	view   bool      // and how the other end sees them
}

// head introduces the step's conversation where it is due: it was not before, or
// long ago, and its lines do not tell its addresses themselves.
func (v *Columns) head(s *conn.Step) {
	if s.Conn == nil || s.Event.Kind == tcp.KindGap {
		return
	}
	n := s.Conn.Number
	h := &v.headings[n%uint64(len(v.headings))]
	again := h.number == n && v.line-h.line < headingAge
	if !again {
		*h = heading{number: n, line: v.line, teller: s.Conn.Role}
		if !v.lay.hasAddresses() || tooLong(s.Flow) {
			v.heading(s)
		}
	}
	if !v.lay.hasAddresses() {
		v.translation(s, h)
	}
}

func tooLong(f tcp.Flow) bool {
	half := (addressesWidth - 1 - len(" - ")) / 2
	var scratch [64]byte
	return len(appendEnd(scratch[:0], f.Local, false)) > half || len(appendEnd(scratch[:0], f.Remote, false)) > half
}

// heading prints "#3  c 10.0.0.1.40000 > s 10.0.0.2.80": the client first; this
// end first where it is not known who opened.
func (v *Columns) heading(s *conn.Step) {
	c := s.Conn
	f, left, right, sep := s.Flow, "c ", "s ", glyphTo
	switch c.Role {
	case conn.RoleListener:
		v.announce(c.Number, "listener ")
		v.c.ascii(appendEnd(v.scratch[:0], f.Local, true))
		v.endTask(c)
		v.age(c)
		v.buf = v.c.finish()
		return
	case conn.RoleServer:
		f = f.Reverse()
	case conn.RoleUnknown:
		left, right, sep = "", "", glyphBetween
		switch endLetter(c) {
		case "a":
			left, right = "a ", "b "
		case "b":
			left, right = "b ", "a "
		}
	}
	ends := [2]*conn.Conn{c, c.Peer}
	if c.Role == conn.RoleServer {
		ends[0], ends[1] = ends[1], ends[0]
	}
	v.announce(c.Number, left)
	v.bothEnds(f, sep, right, ends)
	v.age(c)
	v.buf = v.c.finish()
}

// translation prints what the addresses are on the wire, and at the other end,
// once each and where it is news.
func (v *Columns) translation(s *conn.Step, h *heading) {
	c := s.Conn
	if c.Role != h.teller && c.Peer != nil {
		c = c.Peer
	}
	if f := shownFlow(s); s.Translated && !h.wire && !sameEnds(f, c.Flow) {
		h.wire = true
		v.announce(s.Conn.Number, "on the wire ")
		v.bothEnds(f, glyphBetween, "", [2]*conn.Conn{})
		v.buf = v.c.finish()
	}
	f, differs := c.OtherView()
	if !differs || h.view || h.wire && (sameEnds(f, c.Alias) || sameEnds(f, c.Peer.Alias)) {
		return
	}
	h.view = true
	v.announce(s.Conn.Number, "at "+endLetter(c.Peer)+" ")
	v.bothEnds(f, glyphBetween, "", [2]*conn.Conn{})
	v.buf = v.c.finish()
}

func sameEnds(f, g tcp.Flow) bool { return f == g || f == g.Reverse() }

func (v *Columns) announce(number uint64, what string) {
	v.c.begin(v.buf, v.lay.width)
	v.c.in(styleBold)
	v.c.text("#")
	v.c.uint(number)
	v.c.text("  ")
	v.c.text(what)
}

// bothEnds appends the two addresses to a heading, each with what is known of its
// process and place; on a second line where one is too short.
func (v *Columns) bothEnds(f tcp.Flow, sep glyph, right string, ends [2]*conn.Conn) {
	c := &v.c
	c.ascii(appendEnd(v.scratch[:0], f.Local, false))
	v.endTask(ends[0])
	c.text(" ")
	c.glyph(sep)
	v.scratch = appendEnd(append(v.scratch[:0], right...), f.Remote, false)
	if len(v.scratch) >= c.room() {
		v.buf = c.finish()
		c.begin(v.buf, v.lay.width)
		c.in(styleBold)
		c.text("   ")
	}
	c.text(" ")
	c.ascii(v.scratch)
	v.endTask(ends[1])
}

// endTask appends " (COMM/PID in PLACE)" of an end, what is known of it.
func (v *Columns) endTask(c *conn.Conn) {
	if c == nil {
		return
	}
	where := whereabouts(c)
	if !c.Task.Known() && where == "" {
		return
	}
	v.c.text(" (")
	if c.Task.Known() {
		v.task(&c.Task, v.c.room()-1)
		if where != "" {
			v.c.text(" ")
		}
	}
	if where != "" {
		v.c.text("in ")
		v.c.name([]byte(where), v.c.room()-1)
	}
	v.c.text(")")
}

// age tells of a socket that it existed before the trace began.
func (v *Columns) age(c *conn.Conn) {
	if c.OlderThanTrace() {
		v.c.in(styleDim)
		v.c.text(" older")
	}
}
