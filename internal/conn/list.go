package conn

// list is a doubly linked list of connections through their own links, the
// longest untouched first.
type list struct {
	first, last *Conn
	n           int
}

// append puts c at the end, taking it out of the list that it was in.
func (l *list) append(c *Conn) {
	if c.list == l && l.last == c {
		return
	}
	c.leave()
	c.list, c.prev, c.next = l, l.last, nil
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
	l.n++
}

// leave takes c out of its list.
func (c *Conn) leave() {
	l := c.list
	if l == nil {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.list, c.prev, c.next = nil, nil, nil
	l.n--
}
