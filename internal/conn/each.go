package conn

// Each calls f for every open socket, the longest silent first. f must not keep
// the Conn.
func (t *Table) Each(f func(*Conn)) {
	for c := t.live.first; c != nil; c = c.next {
		f(c)
	}
}

// PassedOver reports that no packet of c can match the filter: nothing of c has
// been selected, and nothing will be.
func (c *Conn) PassedOver() bool { return c.verdict == passedOver }
