package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"tcpstory/internal/lab"
)

// newLab makes hosts that go with the test.
func newLab(t *testing.T, opt lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// route is a way from a client to a server.
type route struct {
	client, server *lab.Host
	device         string // the client's
	at             netip.AddrPort
}

// routes are veth and loopback, IPv4 and IPv6. On loopback the client's host
// is the server's too.
func routes(l *lab.Lab, port uint16) []route {
	client, server := l.Host(lab.Client), l.Host(lab.Server)
	at := func(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), port) }
	return []route{
		{client, server, client.Device(), netip.AddrPortFrom(server.Addr4(), port)},
		{client, server, client.Device(), netip.AddrPortFrom(server.Addr6(), port)},
		{client, client, "lo", at("127.0.0.1")},
		{client, client, "lo", at("::1")},
	}
}

// everyRoute runs a test on each route, in a laboratory of its own.
func everyRoute(t *testing.T, port uint16, test func(*testing.T, route)) {
	for i, name := range []string{"veth/IPv4", "veth/IPv6", "lo/IPv4", "lo/IPv6"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, routes(newLab(t, lab.Options{}), port)[i])
		})
	}
}

// port is the filter expression that picks the route's connections.
func (r route) port() []string { return []string{"port", strconv.Itoa(int(r.at.Port()))} }

// listen listens with plain TCP: Go's default would be MPTCP.
func (r route) listen(t *testing.T) net.Listener {
	t.Helper()
	var ln net.Listener
	err := r.server.Within(func() (err error) {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		ln, err = lc.Listen(context.Background(), "tcp", r.at.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// dial connects, or fails.
func (r route) dial() (*net.TCPConn, error) { return r.try(patience) }

// knock sends a SYN to where nobody will let it in, and does not wait for the
// second.
func (r route) knock() { _, _ = r.try(200 * time.Millisecond) }

func (r route) try(limit time.Duration) (c *net.TCPConn, err error) {
	err = r.client.Within(func() error {
		d := net.Dialer{Timeout: limit}
		conn, err := d.Dial("tcp", r.at.String())
		if err == nil {
			c = conn.(*net.TCPConn)
			err = c.SetDeadline(time.Now().Add(patience))
		}
		return err
	})
	return c, err
}

// link is one connection, both ends of it.
type link struct {
	t              *testing.T
	client, server *net.TCPConn
}

// connect makes a connection to ln, which listens at the route's end.
func (r route) connect(t *testing.T, ln net.Listener) link {
	t.Helper()
	c, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return link{t, c, s.(*net.TCPConn)}
}

// local is the client's end.
func (k link) local() netip.AddrPort { return k.client.LocalAddr().(*net.TCPAddr).AddrPort() }

// sends carries data from one end to the other.
func (k link) sends(from, to net.Conn, data []byte) {
	k.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := from.Write(data)
		done <- err
	}()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(to, got); err != nil {
		k.t.Fatal(err)
	}
	if err := <-done; err != nil {
		k.t.Fatal(err)
	}
}

// close closes the client's end, then the server's.
func (k link) close() {
	k.t.Helper()
	if err := k.client.Close(); err != nil {
		k.t.Fatal(err)
	}
	if n, err := k.server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		k.t.Fatalf("instead of the end: %d bytes, %v", n, err)
	}
	if err := k.server.Close(); err != nil {
		k.t.Fatal(err)
	}
}

// abort ends the connection by a RST of the client.
func (k link) abort() {
	k.t.Helper()
	if err := k.client.SetLinger(0); err != nil {
		k.t.Fatal(err)
	}
	if err := k.client.Close(); err != nil {
		k.t.Fatal(err)
	}
	if _, err := k.server.Read(make([]byte, 1)); err == nil || err == io.EOF {
		k.t.Fatalf("instead of a reset: %v", err)
	}
	k.server.Close()
}

// converse makes one connection with a request and an answer of so many bytes,
// ends it, and returns the client's end.
func (r route) converse(t *testing.T, request, response int) netip.AddrPort {
	t.Helper()
	ln := r.listen(t)
	defer ln.Close()
	k := r.connect(t, ln)
	local := k.local()
	if request > 0 {
		k.sends(k.client, k.server, text(request))
	}
	if response > 0 {
		k.sends(k.server, k.client, text(response))
	}
	k.close()
	return local
}

// text is n bytes of which no two neighbouring runs of eight are alike.
func text(n int) []byte {
	b := make([]byte, 0, n+8)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%07d ", i*7919%9999991)
	}
	return b[:n]
}
