package conn

import "slices"

// dues are the ends that a timer brings: TIME_WAITs in a list, since almost all
// of them last as long and so end in the order in which they began, and all
// others in a heap.
type dues struct {
	waiting list    // minisocks, the next to end first
	others  list    // minisocks that are in the heap, the first closed first
	heap    []*Conn // by due
}

// any reports whether one is due.
func (d *dues) any(now int64) bool {
	return d.waiting.first != nil && d.waiting.first.due <= now || len(d.heap) > 0 && d.heap[0].due <= now
}

// first is the next to end, or nil.
func (d *dues) first() *Conn {
	c := d.waiting.first
	if len(d.heap) > 0 && (c == nil || d.heap[0].due < c.due) {
		return d.heap[0]
	}
	return c
}

// oldest is the minisock that has the least left to tell.
func (d *dues) oldest() *Conn {
	if d.waiting.first != nil {
		return d.waiting.first
	}
	return d.others.first
}

// minisocks is how many connections are kept for the end of their minisock.
func (d *dues) minisocks() int { return d.waiting.n + d.others.n }

// arm sets when the end of what stands for c is told, unless something comes in
// between, and what it follows from.
func (t *Table) arm(c *Conn, due int64, why Ground) {
	t.disarm(c)
	c.due, c.why = due, why
	d := &t.dues
	if c.gone() {
		last := d.waiting.last
		if last == c {
			last = c.prev
		}
		if last == nil || last.due <= due {
			d.waiting.append(c)
			return
		}
		d.others.append(c)
	}
	d.heap = append(d.heap, c)
	c.place = int32(len(d.heap))
	d.rise(len(d.heap) - 1)
}

// disarm takes c out of the heap, if it is there.
func (t *Table) disarm(c *Conn) {
	if c.place == 0 {
		return
	}
	d := &t.dues
	i, last := int(c.place)-1, len(d.heap)-1
	c.place = 0
	moved := d.heap[last]
	d.heap = slices.Delete(d.heap, last, last+1)
	if i == last {
		return
	}
	d.put(i, moved)
	d.rise(i)
	d.sink(int(moved.place) - 1)
}

func (d *dues) put(i int, c *Conn) {
	d.heap[i] = c
	c.place = int32(i + 1)
}

// rise and sink restore the order upwards and downwards of one place.
func (d *dues) rise(i int) {
	for c := d.heap[i]; i > 0; {
		up := (i - 1) / 2
		if d.heap[up].due <= c.due {
			return
		}
		d.put(i, d.heap[up])
		d.put(up, c)
		i = up
	}
}

func (d *dues) sink(i int) {
	for c := d.heap[i]; ; {
		down := 2*i + 1
		if down >= len(d.heap) {
			return
		}
		if down+1 < len(d.heap) && d.heap[down+1].due < d.heap[down].due {
			down++
		}
		if c.due <= d.heap[down].due {
			return
		}
		d.put(i, d.heap[down])
		d.put(down, c)
		i = down
	}
}
