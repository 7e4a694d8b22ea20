package conn

import "tcpstory/internal/tcp"

// attempt finds the conversation of a connect() that failed before a SYN left:
// the one that its socket has just ended in SYN_SENT, without an error, or else
// one of its own, which begins and ends here. Its tuple is not entered in the
// index: the socket never had it, and a live connection may.
func (t *Table) attempt(ev *tcp.Event) *Conn {
	if c := t.cookies.Find(ev.Cookie); c != nil {
		if c.unsent {
			c.unsent = false
			return c
		}
		t.end(c, ev.Time)
		t.cookies.Remove(c.Cookie, c)
	}
	c := t.create(ev)
	c.Socket, c.Cookie, c.Flow, c.Role, c.State = true, ev.Cookie, ev.Flow, RoleClient, ev.New
	t.cookies.Put(c.Cookie, c)
	t.end(c, ev.Time)
	return c
}

// endsUnsent infers from SYN_SENT→CLOSE that connect() itself gave up before a
// SYN left, as it does for want of a free port: no error came from outside, and
// the socket has no port, without which there can be no SYN.
func (c *Conn) endsUnsent(ev *tcp.Event) bool {
	c.unsent = ev.Old == tcp.SynSent && ev.Errno == 0 // or closed while it waited: connect()'s exit will tell
	return c.unsent && ev.Flow.Local.Port() == 0
}
