package conn

// Standing calls f for every socket that stands at the last event: open ones,
// half-open connections, and timewait minisocks. f must not keep the Conn.
func (t *Table) Standing(f func(*Conn)) {
	for c := t.loose.first; c != nil; c = c.next {
		if c.isHalfOpen() {
			f(c)
		}
	}
	t.Each(f)
	for _, l := range [...]*list{&t.dues.waiting, &t.dues.others} {
		for c := l.first; c != nil; c = c.next {
			f(c)
		}
	}
}

// IsSmall reports that a request socket or a timewait minisock stands for c: its
// state is inferred.
func (c *Conn) IsSmall() bool { return c.stands }
