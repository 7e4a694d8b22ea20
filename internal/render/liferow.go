package render

import (
	"net/netip"
	"strconv"
	"time"

	"tcpstory/internal/life"
	"tcpstory/internal/tcp"
)

// LifeRow is a line and what its numbers are called. It is valid during Write.
type LifeRow struct {
	*life.Line
	Namespace string     // its name; "" unknown, or the host's own
	Home      *tcp.Place // of the cgroup; nil unknown
}

// LifeSink takes rows as connections end. Flush it in a lull; Close flushes.
type LifeSink interface {
	Write(LifeRow) error
	Flush() error
	Break() error // see Writer
	Close() error
}

// LifeOptions are how rows look.
type LifeOptions struct {
	Width   int  // of the terminal
	Wide    bool // -w
	Clock   bool // -T: the time of the end
	Stamp   bool // -t: seconds since the first row
	Unicode bool
}

// LifeRows is the sink for people: a row a connection, each as soon as it ends,
// in columns that a longer value pushes and never loses.
type LifeRows struct {
	*Writer
	opts   LifeOptions
	layout lifeLayout
	glyphs *[glyphCount]string
	first  int64
	headed bool
	clock  clockText
}

// lifeLayout are the columns' widths; END is the last.
type lifeLayout struct{ pid, comm, addr, bytes, ms, end int }

var (
	narrowLife = lifeLayout{pid: 6, comm: 9, addr: 15, bytes: 5, ms: 7, end: len("RST rcvd*")} // 80
	broadLife  = lifeLayout{pid: 7, comm: 15, addr: 21, bytes: 9, ms: 10, end: len("RST received*")}
	wideLife   = lifeLayout{pid: 7, comm: 15, addr: longestSocket - len("> "), bytes: 9, ms: 10, end: endWidth}
)

// NewLifeRows returns a sink that shows rows as opts say.
func NewLifeRows(w *Writer, opts LifeOptions) *LifeRows {
	r := &LifeRows{Writer: w, opts: opts, layout: narrowLife, glyphs: &asciiGlyphs}
	switch {
	case opts.Wide:
		r.layout = wideLife
	case broadLife.fits(&opts):
		r.layout = broadLife
	}
	if opts.Unicode {
		r.glyphs = &unicodeGlyphs
	}
	return r
}

// rowText is a row that is being written: at is where it began, due the column up
// to which values so far should have come.
type rowText struct {
	b       []byte
	at, due int
	extra   int // bytes of b that take no column: continuation bytes of UTF-8
}

// left pads what was appended since from to a field of n columns and a blank.
func (t *rowText) left(n int) {
	t.due += n + 1
	t.b = append(t.b, ' ')
	t.blanks(t.due)
}

// blanks appends blanks up to column until.
func (t *rowText) blanks(until int) {
	const most = "                                                                "
	for n := until - (len(t.b) - t.at - t.extra); n > 0; n -= len(most) {
		t.b = append(t.b, most[:min(n, len(most))]...)
	}
}

// right appends v so that it ends with the field of n columns, and a blank.
func (t *rowText) right(v []byte, n int) {
	t.due += n + 1
	t.blanks(t.due - len(v) - 1)
	t.b = append(append(t.b, v...), ' ')
}

func (t *rowText) glyph(g string) {
	t.b = append(append(t.b, g...), ' ')
	t.extra += len(g) - 1
	t.due += 2
}

// Write appends one row.
func (r *LifeRows) Write(row LifeRow) error {
	if !r.headed {
		r.headed = true
		r.head()
	}
	l := row.Line
	t := rowText{b: r.buf, at: len(r.buf)}
	r.times(&t, l)
	r.who(&t, l)
	t.b = appendSocket(t.b, l.Flow.Local)
	t.left(r.layout.addr)
	r.remote(&t, l)
	long := t.columns() > t.due // addresses
	pushed := r.counts(&t, l) && long && r.layout == broadLife
	if !r.opts.Wide && r.opts.Width > 0 && (pushed || t.columns() > r.opts.Width || r.foldsAlways()) {
		return r.commit(append(r.folded(l), '\n'))
	}
	if r.opts.Wide {
		t.due = len(t.b) - t.at - t.extra
		t.b = append(t.b, ' ')
		t.due++
		if pad := endWidth + r.layout.base(&r.opts); t.due < pad {
			t.due = pad - 1
			t.left(0)
		}
		r.wide(&t, row)
	}
	return r.commit(append(t.b, '\n'))
}

// remote is the other end, behind the arrow.
func (r *LifeRows) remote(t *rowText, l *life.Line) {
	t.glyph(r.arrow(l))
	t.b = appendSocket(t.b, l.Flow.Remote)
	t.left(r.layout.addr)
}

// counts are how much, how long, and how it ended. It reports whether something
// long has pushed that out of its column.
func (r *LifeRows) counts(t *rowText, l *life.Line) (pushed bool) {
	var num [32]byte
	t.right(appendTally(num[:0], l.TX), r.layout.bytes)
	t.right(appendTally(num[:0], l.RX), r.layout.bytes)
	ms := appendLasted(num[:0], l.Duration)
	if l.NoHandshake {
		ms = append(ms, '+')
	}
	t.right(ms, r.layout.ms)
	pushed = t.columns() > t.due
	t.b = r.appendEnding(t.b, l)
	return pushed
}

// appendEnding appends how it ended, and whether it is older.
func (r *LifeRows) appendEnding(dst []byte, l *life.Line) []byte {
	word, older := l.End.String(), " (older)"
	if r.layout == narrowLife {
		word = l.End.Short()
	}
	if r.layout != wideLife && r.opts.Width > 0 && r.layout.base(&r.opts)+endWidth > r.opts.Width {
		older = "*"
	}
	dst = append(dst, word...)
	if l.Older {
		dst = append(dst, older...)
	}
	return dst
}

// endWidth is the longest End with its mark.
const endWidth = len("RST received (older)") + 1

// base is the column in which END begins.
func (y *lifeLayout) base(o *LifeOptions) int {
	n := y.pid + 1 + y.comm + 1 + 2*(y.addr+1) + 2 + 2*(y.bytes+1) + y.ms + 1
	if o.Clock {
		n += clockWidth + 1
	}
	if o.Stamp {
		n += stampWidth + 1
	}
	return n
}

// fits reports whether the terminal is so wide.
func (y *lifeLayout) fits(o *LifeOptions) bool { return o.Width <= 0 || y.base(o)+y.end <= o.Width }

func (r *LifeRows) arrow(l *life.Line) string {
	switch l.Direction {
	case life.DirOut:
		return r.glyphs[glyphOut]
	case life.DirIn:
		return r.glyphs[glyphIn]
	}
	return "?"
}

const (
	clockWidth = len("15:04:05")
	stampWidth = len("12345.678")
)

func (r *LifeRows) times(t *rowText, l *life.Line) {
	if r.opts.Clock {
		t.b = r.clock.append(t.b, l.Time)
		t.left(clockWidth)
	}
	if !r.opts.Stamp {
		return
	}
	if r.first == 0 {
		r.first = l.Time
	}
	var num [32]byte
	since := time.Duration(l.Time - r.first)
	text := strconv.AppendInt(num[:0], int64(since/time.Second), 10)
	text = appendThousandths(text, int64(since%time.Second/time.Millisecond))
	t.right(text, stampWidth)
}

func (r *LifeRows) who(t *rowText, l *life.Line) {
	var num [16]byte
	pid := append(num[:0], '?')
	switch {
	case l.Task.Known():
		pid = strconv.AppendUint(num[:0], uint64(l.Task.PID), 10)
	case l.Nobody:
		pid[0] = '-'
	}
	t.right(pid, r.layout.pid)
	switch {
	case l.Task.Known():
		t.b = appendASCII(t.b, l.Task.Name())
	case l.Nobody:
		t.b = append(t.b, '-')
	default:
		t.b = append(t.b, '?')
	}
	t.left(r.layout.comm)
}

// appendSocket appends an address and its port, as Go and ss(8) write it.
func appendSocket(dst []byte, a netip.AddrPort) []byte {
	if !a.Addr().IsValid() {
		return append(dst, '?')
	}
	if a.Addr().Is4() {
		b := a.Addr().As4()
		dst = appendAddr4(dst, b[:])
	} else {
		b := a.Addr().As16()
		dst = append(appendAddr6(append(dst, '['), b[:]), ']')
	}
	dst = append(dst, ':')
	if a.Port() == 0 {
		return append(dst, '?')
	}
	return strconv.AppendUint(dst, uint64(a.Port()), 10)
}

// appendCount appends a number that may be unknown.
func appendTally(dst []byte, n int64) []byte {
	if n == life.Unknown {
		return append(dst, '?')
	}
	return strconv.AppendInt(dst, n, 10)
}

// appendMillis appends milliseconds with three digits behind the point; "?" unknown.
func appendLasted(dst []byte, d time.Duration) []byte {
	if d < 0 {
		return append(dst, '?')
	}
	us := int64((d + 500) / time.Microsecond)
	return appendThousandths(strconv.AppendInt(dst, us/1000, 10), us%1000)
}

func appendThousandths(dst []byte, n int64) []byte {
	return append(dst, '.', '0'+byte(n/100), '0'+byte(n/10%10), '0'+byte(n%10))
}

// clockText appends the local time of day; it asks the calendar once a second.
type clockText struct {
	second int64
	text   []byte
}

func (c *clockText) append(dst []byte, ns int64) []byte {
	if second := ns / int64(time.Second); second != c.second || c.text == nil {
		c.second = second
		c.text = time.Unix(second, 0).AppendFormat(c.text[:0], "15:04:05")
	}
	return append(dst, c.text...)
}
