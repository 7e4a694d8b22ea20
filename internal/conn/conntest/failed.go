package conntest

import "tcpstory/internal/tcp"

// Errors of connect() without a way out (Linux on every architecture but a few).
const (
	eAddrNotAvail = 99
	eNetUnreach   = 101
)

// unbound is a socket before it has an address.
func unbound(c *Socket) *Socket {
	u := *c
	u.Flow.Local = Flow("0.0.0.0:0", "").Local
	return &u
}

func (s *Story) connectFailed(c *Socket, errno int32) {
	s.Kernel(c, tcp.KindConnectFailed, By(c.Task), Through(tcp.ViaConnect), Errno(errno), Now(tcp.Close))
}

// NoRoute is a process that tries twice, with one socket, to reach what it has no
// route to.
func NoRoute(c *Socket) *Story {
	s := New()
	s.connectFailed(unbound(c), eNetUnreach)
	s.connectFailed(unbound(c), eNetUnreach)
	return s
}

// NoPort is a connect() that finds no free port. told: the kernel lets us see
// what it returns.
func NoPort(c *Socket, told bool) *Story {
	s := New()
	u := unbound(c)
	u.Flow.Local = withPort(c.Flow, 0).Local // the route has given the address already
	s.State(u, tcp.Close, tcp.SynSent, By(c.Task))
	s.State(u, tcp.SynSent, tcp.Close, By(c.Task))
	if told {
		s.connectFailed(unbound(c), eAddrNotAvail)
	}
	return s
}
