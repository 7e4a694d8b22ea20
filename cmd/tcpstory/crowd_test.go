package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// A crowd is many connections at a time. Each carries an id of its own, by which
// both ends say which sockets they were: the witnesses of who talks to whom are the
// payload and the kernel's SO_COOKIE, not addresses.

// encounter is one connection as its two ends know it.
type encounter struct{ client, server uint64 } // socket cookies; 0 unknown

// crowd gathers what the ends say.
type crowd struct {
	t    *testing.T
	mu   sync.Mutex
	met  map[uint64]encounter
	ends sync.WaitGroup // server's ends that are still open
}

func newCrowd(t *testing.T) *crowd { return &crowd{t: t, met: map[uint64]encounter{}} }

func (c *crowd) note(id uint64, cookie uint64, client bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.met[id]
	at := &e.server
	if client {
		at = &e.client
	}
	if *at != 0 {
		c.t.Errorf("two sockets have id %d: %d and %d", id, *at, cookie)
	}
	*at = cookie
	c.met[id] = e
}

func cookieOf(c net.Conn) (cookie uint64, err error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	err2 := raw.Control(func(fd uintptr) { cookie, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE) })
	return cookie, errors.Join(err, err2)
}

// closing says who ends a connection, and how.
type closing int

const (
	serverCloses closing = iota // leaves the client's port free at once
	clientAborts
	clientCloses
)

// listen makes a plain TCP listener on a host.
func listenOn(t *testing.T, h *lab.Host, at netip.AddrPort, control func(fd int) error) net.Listener {
	t.Helper()
	var ln net.Listener
	err := h.Within(func() (err error) {
		lc := net.ListenConfig{Control: controlled(control)}
		lc.SetMultipathTCP(false)
		ln, err = lc.Listen(context.Background(), "tcp", at.String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func controlled(set func(fd int) error) func(string, string, syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		if set == nil {
			return nil
		}
		return errors.Join(raw.Control(func(fd uintptr) { err = set(int(fd)) }), err)
	}
}

// serve answers each connection by its own id, and notes which socket had it.
func (c *crowd) serve(ln net.Listener, how closing) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		c.ends.Go(func() {
			defer conn.Close()
			if err := c.attend(conn, how); err != nil {
				c.t.Errorf("the server's end: %v", err)
			}
		})
	}
}

func (c *crowd) attend(conn net.Conn, how closing) error {
	cookie, err := cookieOf(conn)
	if err != nil {
		return err
	}
	var id [8]byte
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(conn, id[:]); err != nil {
		return err
	}
	c.note(binary.BigEndian.Uint64(id[:]), cookie, false)
	if _, err := conn.Write(id[:]); err != nil || how == serverCloses {
		return err
	}
	if _, err := conn.Read(id[:]); err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("instead of the end: %v", err)
	}
	return nil
}

// visit is one client's connection: to where, from which port (0: any).
type visit struct {
	id   uint64
	to   netip.AddrPort
	from netip.AddrPort
}

// dial connects; the socket is the host's.
func (v visit) dial(h *lab.Host, control func(fd int) error) (conn net.Conn, err error) {
	d := net.Dialer{Timeout: patience, Control: controlled(control)}
	if v.from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(v.from)
	}
	err = h.Within(func() error {
		conn, err = d.Dial("tcp", v.to.String())
		return err
	})
	return conn, err
}

// crowdWorkers is how many clients connect at the same moment.
const crowdWorkers = 16

// visits makes all connections, holds them open at the same time, has each carry
// its id there and back, and closes them.
func (c *crowd) visits(h *lab.Host, list []visit, how closing) {
	conns := make([]net.Conn, len(list))
	c.each(len(list), func(i int) (err error) {
		if conns[i], err = list[i].dial(h, nil); err != nil {
			return err
		}
		return c.talk(conns[i], list[i].id)
	})
	c.each(len(list), func(i int) error { return leave(conns[i], how) })
	c.ends.Wait()
}

// visit makes one connection, and closes it.
func (c *crowd) visit(h *lab.Host, v visit, how closing) error {
	conn, err := v.dial(h, nil)
	if err == nil {
		err = errors.Join(c.talk(conn, v.id), leave(conn, how))
	}
	return err
}

// each runs f for every index, some at a time.
func (c *crowd) each(n int, f func(i int) error) {
	var all sync.WaitGroup
	next := make(chan int)
	for range crowdWorkers {
		all.Go(func() {
			for i := range next {
				if err := f(i); err != nil {
					c.t.Errorf("client %d: %v", i, err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

func (c *crowd) talk(conn net.Conn, number uint64) error {
	cookie, err := cookieOf(conn)
	if err != nil {
		return err
	}
	c.note(number, cookie, true)
	id := binary.BigEndian.AppendUint64(nil, number)
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(id); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, id); err != nil {
		return err
	}
	if got := binary.BigEndian.Uint64(id); got != number {
		return fmt.Errorf("the answer is %d, want %d", got, number)
	}
	return nil
}

func leave(conn net.Conn, how closing) error {
	if conn == nil {
		return nil
	}
	switch how {
	case serverCloses:
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			return fmt.Errorf("instead of the end: %v", err)
		}
	case clientAborts:
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
	}
	return conn.Close()
}
