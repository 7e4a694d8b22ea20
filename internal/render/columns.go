package render

import (
	"sync/atomic"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// ColumnsOptions shape the view for terminals.
type ColumnsOptions struct {
	Width    int        // columns of the terminal; SetWidth changes it
	Time     TimeFormat // -t … -ttttt
	Absolute bool       // -S
	Color    bool       // ANSI colours; NO_COLOR is for the caller to heed
	Unicode  bool       // the terminal shows UTF-8
}

// Columns is the sink for terminals: kernel events on the left, packets on the
// right, one event per line. A conversation is known by its number and a letter
// for the end: c client, s server, a and b where it is not known who opened it.
// Where lines have no room for addresses, a heading tells them when a
// conversation first appears and again when that was long ago.
type Columns struct {
	*Writer
	opt      ColumnsOptions
	width    atomic.Int32
	lay      layout
	clock    lineClock
	timeLen  int
	idLen    int
	line     uint64
	started  bool
	headings headings
	seqs     *seqTracker
	packets  *LinePrinter // for what is not TCP
	scratch  []byte
	opts     options
	c        cells
}

// NewColumns returns a sink that prints as opts say.
func NewColumns(w *Writer, opts ColumnsOptions) *Columns {
	v := &Columns{Writer: w, opt: opts, clock: newLineClock(opts.Time), idLen: len("#1c"), seqs: newSeqTracker()}
	v.packets = NewLinePrinter(LineOptions{Time: TimeNone, Absolute: opts.Absolute})
	v.c.glyphs, v.c.color = &asciiGlyphs, opts.Color
	if opts.Unicode {
		v.c.glyphs = &unicodeGlyphs
	}
	sample := newLineClock(opts.Time)
	v.timeLen = len(sample.appendTime(nil, 0))
	v.SetWidth(opts.Width)
	return v
}

// SetWidth tells the terminal's new width. It may be called from any goroutine.
func (v *Columns) SetWidth(width int) { v.width.Store(int32(width)) }

// Write appends one event, and before it a heading where one is due.
func (v *Columns) Write(s *conn.Step) error {
	v.fit(s)
	v.head(s)
	v.c.begin(v.buf, v.lay.width)
	v.time(s.Event.Time)
	switch s.Event.Kind {
	case tcp.KindGap:
		v.gap(&s.Event.Gap)
	case tcp.KindPacket:
		v.place(s)
		v.packet(s)
	default:
		v.place(s)
		v.kernel(s)
	}
	v.line++
	return v.commit(v.c.finish())
}

// fit lays the columns out anew when the terminal or the widest id has changed,
// and prints the header line for a new layout of the terminal.
func (v *Columns) fit(s *conn.Step) {
	if s.Conn != nil {
		v.idLen = max(v.idLen, len("#c")+digits(s.Conn.Number))
	}
	resized := !v.started || v.lay.width != max(int(v.width.Load()), minWidth)
	v.lay = layoutFor(int(v.width.Load()), v.timeLen, v.idLen)
	if resized {
		v.started = true
		v.header()
	}
}

func digits(n uint64) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}

// header names the columns: once, and again when the terminal was resized.
func (v *Columns) header() {
	c, l := &v.c, &v.lay
	c.begin(v.buf, l.width)
	c.in(styleDim)
	titles := [...]struct {
		at   int
		name string
	}{{0, "TIME"}, {l.id, "CONN"}, {l.addresses, "LOCAL - REMOTE"}, {l.process, "PROCESS"},
		{l.move, "KERNEL"}, {l.spent, "AFTER"}, {l.wire, "WIRE"}}
	for _, t := range titles {
		if t.at == 0 && v.timeLen == 0 || t.name == "LOCAL - REMOTE" && !l.hasAddresses() {
			continue
		}
		c.to(t.at)
		c.text(t.name)
	}
	v.buf = c.finish()
}

func (v *Columns) time(ns int64) {
	c := &v.c
	c.in(styleDim)
	before := len(c.b)
	c.b = v.clock.appendTime(c.b, ns)
	c.col += len(c.b) - before
	c.blank = c.col
	c.plain()
}

// gap fills the line: it belongs to no connection.
func (v *Columns) gap(g *tcp.Gap) {
	v.scratch = appendGap(v.scratch[:0], g)
	v.c.in(styleRed)
	v.c.ascii(v.scratch)
}

// place appends which connection it is: number, end, addresses.
func (v *Columns) place(s *conn.Step) {
	c := &v.c
	if s.Conn != nil {
		c.to(v.lay.id)
		c.in(idStyles[s.Conn.Number%uint64(len(idStyles))])
		c.text("#")
		c.uint(s.Conn.Number)
		c.text(endLetter(s.Conn))
		c.plain()
	}
	if v.lay.hasAddresses() && (s.Event.Kind != tcp.KindPacket || s.Event.Packet.IsTCP) {
		c.to(v.lay.addresses)
		v.addresses(s)
	}
}

// endLetter says which end of the conversation a socket is.
func endLetter(c *conn.Conn) string {
	switch {
	case c.Role == conn.RoleClient:
		return "c"
	case c.Role == conn.RoleServer:
		return "s"
	case c.Role == conn.RoleListener || !c.Flow.Local.IsValid() || !c.Flow.Remote.IsValid():
		return ""
	case c.Flow.Local.Compare(c.Flow.Remote) < 0:
		return "a"
	}
	return "b"
}
