package render

import (
	"bytes"

	"tcpstory/internal/life"
)

// longestSocket is the length of the longest address with its port, and its arrow.
const longestSocket = len("> [2001:db8:1111:2222:3333:4444:5555:6666]:65535")

// columns are how many are taken.
func (t *rowText) columns() int { return len(t.b) - t.at - t.extra }

// fold goes on in another line, by so many blanks.
func (t *rowText) fold(indent int) {
	t.b = append(bytes.TrimRight(t.b, " "), '\n')
	t.at, t.extra = len(t.b), 0
	t.blanks(indent)
	t.due = indent
}

// folded is a row that takes more columns than the terminal has: the other end stands
// below this one, and the counts where they fit. No address is cut or torn, unless
// it alone is too long.
func (r *LifeRows) folded(l *life.Line) []byte {
	t := rowText{b: r.buf, at: len(r.buf)}
	r.times(&t, l)
	r.who(&t, l)
	var socket [64]byte
	local := appendSocket(socket[:0], l.Flow.Local)
	if t.columns()+len(local) > r.opts.Width {
		t.fold(r.indent())
		t.b = append(t.b, "  "...) // above the other end, which has an arrow
	}
	t.b = append(t.b, local...)
	t.fold(r.indent())
	t.due = 0
	r.remote(&t, l)
	ends := t
	t.due = r.countsAt()
	if pushed := r.counts(&t, l); t.columns() > r.opts.Width || pushed && ends.columns() > r.countsAt() {
		t = ends
		t.fold(r.indent())
		t.due = r.countsAt()
		r.counts(&t, l)
	}
	return t.b
}

// indent of a folded row's other lines: below the process's name, or as far as the
// longest address leaves room.
func (r *LifeRows) indent() int {
	return min(r.layout.pid+1, max(r.opts.Width-longestSocket, 0))
}

// countsAt is the column in which TX begins: its own, or as far right as leaves room.
func (r *LifeRows) countsAt() int {
	counts := 2*(r.layout.bytes+1) + r.layout.ms + 1
	return min(r.layout.base(&r.opts), max(r.opts.Width-r.layout.end, counts)) - counts
}

// foldsAlways: not even short addresses fit into a line.
func (r *LifeRows) foldsAlways() bool {
	return !r.opts.Wide && !r.layout.fits(&r.opts)
}

// head writes the names of the columns.
func (r *LifeRows) head() {
	t := rowText{b: r.buf, at: len(r.buf)}
	r.headWho(&t)
	t.put("LOCAL", r.layout.addr)
	if r.foldsAlways() {
		t.fold(r.indent())
		t.due = 0
	}
	t.put("  REMOTE", r.layout.addr+2)
	if r.foldsAlways() {
		t.due = r.countsAt()
	}
	r.headCounts(&t)
	if r.opts.Wide {
		t.due = r.layout.base(&r.opts) + endWidth
		t.blanks(t.due)
		wideHead(&t)
	}
	r.buf = append(t.b, '\n')
}

// put appends a name that stands at the left of its column.
func (t *rowText) put(name string, width int) {
	t.b = append(t.b, name...)
	t.left(width)
}

func (r *LifeRows) headWho(t *rowText) {
	if r.opts.Clock {
		t.put("TIME", clockWidth)
	}
	if r.opts.Stamp {
		t.right([]byte("SECONDS"), stampWidth)
	}
	t.right([]byte("PID"), r.layout.pid)
	t.put("COMM", r.layout.comm)
}

// headCounts are the names of the last columns.
func (r *LifeRows) headCounts(t *rowText) {
	for _, n := range []struct {
		name  string
		width int
	}{{"TX", r.layout.bytes}, {"RX", r.layout.bytes}, {"MS", r.layout.ms}} {
		t.right([]byte(n.name), n.width)
	}
	t.b = append(t.b, "END"...)
}
