package conn

// Each calls f for every open socket, the longest silent first. f must not keep
// the Conn.
func (t *Table) Each(f func(*Conn)) {
	for c := t.live.first; c != nil; c = c.next {
		f(c)
	}
}

// HalfOpen calls f for every half-open connection, in no particular order. f must not
// keep the Conn.
func (t *Table) HalfOpen(f func(*Conn)) {
	for _, c := range t.dues.heap {
		if c.isHalfOpen() {
			f(c)
		}
	}
}

// Ends calls f for every end that is kept, those that have ended too. f must not keep
// the Conn.
func (t *Table) Ends(f func(*Conn)) {
	for _, l := range [...]*list{&t.ended, &t.dues.waiting, &t.dues.others, &t.loose, &t.live} {
		for c := l.first; c != nil; c = c.next {
			f(c)
		}
	}
}

// Find returns the socket with a cookie, one that has ended too; nil: none is kept.
func (t *Table) Find(cookie uint64) *Conn { return t.cookies.Find(cookie) }

// PassedOver reports that no packet of c can match the filter: nothing of c has
// been selected, and nothing will be.
func (c *Conn) PassedOver() bool { return c.verdict == passedOver }
