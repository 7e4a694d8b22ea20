package kernel_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/kernel/ordertest"
	"tcpstory/internal/lab"
)

// traffic is short connections of every closer, made by several threads.
type traffic struct {
	client, server *lab.Host // the same host: over loopback
	family         lab.Family
	workers        int
	closers        []*closer

	ports map[uint16]*ordertest.Plan // of the servers, one for each worker and closer
	lanes [][]*lane                  // by worker
}

// lane is one worker's own server for one closer.
type lane struct {
	closer   *closer
	listener int
	server   netip.AddrPort // where clients connect to
	made     int            // connections, so far
}

// target is the address that clients connect to.
func (tr *traffic) target() netip.Addr {
	switch {
	case tr.client != tr.server:
		return tr.server.Addr(tr.family)
	case tr.family == lab.IPv6:
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// prepare makes the listeners.
func (tr *traffic) prepare(t *testing.T) {
	t.Helper()
	tr.ports = map[uint16]*ordertest.Plan{}
	tr.lanes = make([][]*lane, tr.workers)
	for i := range tr.lanes {
		for _, c := range tr.closers {
			l, err := tr.open(c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(l.listener) })
			tr.lanes[i] = append(tr.lanes[i], l)
			tr.ports[l.server.Port()] = &c.plan
		}
	}
}

func (tr *traffic) open(c *closer) (*lane, error) {
	l := &lane{closer: c}
	err := tr.server.Within(func() error {
		fd, err := newSocket(tr.target())
		if err != nil {
			return err
		}
		l.listener = fd
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(tr.target(), 0))); err != nil {
			return err
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		l.server = netip.AddrPortFrom(tr.target(), portOf(sa))
		if c.refuse { // bound, so that nobody else listens there
			return nil
		}
		return unix.Listen(fd, 64)
	})
	return l, err
}

// run makes about n connections and returns when the last has been closed by
// its application.
func (tr *traffic) run(t *testing.T, n int) {
	t.Helper()
	errs := make(chan error, tr.workers)
	var wg sync.WaitGroup
	for _, lanes := range tr.lanes {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs <- tr.client.Within(func() error { return tr.work(lanes, n/tr.workers+1) })
		}()
	}
	wg.Wait()
	for range tr.lanes {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// work makes n connections, the closers in turn by their shares.
func (tr *traffic) work(lanes []*lane, n int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for n > 0 {
		for _, l := range lanes {
			for range min(n, l.closer.share) {
				if err := tr.connection(l); err != nil {
					return fmt.Errorf("%s: %w", l.closer.plan.Name, err)
				}
				n--
			}
		}
	}
	return nil
}

func (tr *traffic) connection(l *lane) error {
	fd, err := newSocket(l.server.Addr())
	if err != nil {
		return err
	}
	l.made++
	err = unix.Connect(fd, sockaddr(l.server))
	if l.closer.refuse {
		if err != unix.ECONNREFUSED {
			return fmt.Errorf("connect: %v", err)
		}
		return unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	p := &pair{client: fd}
	p.accept(l.listener)
	if p.err == nil {
		l.closer.end(p)
	}
	return p.err
}

// total is how many connections were made.
func (tr *traffic) total() (n int) {
	for _, lanes := range tr.lanes {
		for _, l := range lanes {
			n += l.made
		}
	}
	return n
}

// newSocket makes a blocking TCP socket.
func newSocket(addr netip.Addr) (int, error) {
	domain := unix.AF_INET
	if addr.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func portOf(sa unix.Sockaddr) uint16 {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port)
	case *unix.SockaddrInet6:
		return uint16(sa.Port)
	}
	return 0
}
