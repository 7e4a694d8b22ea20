package main

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// act is where a scene acts. After a failed step, err is set, and the following
// ones do nothing.
type act struct {
	t              *testing.T
	client, server *lab.Host
	family         lab.Family
	port           uint16
	next           func(tcp.Flow) uint32 // the next sequence number of a flow's local end, as packets have shown
	err            error
	fds            []int
}

// fromPort is the first of the client's ports where a scene needs to know it.
const fromPort = 20000

func (s *act) at(h *lab.Host, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(h.Addr(s.family), port)
}

// flow is a connection of the client's port, as the client has it.
func (s *act) flow(port uint16) tcp.Flow {
	return tcp.Flow{Local: s.at(s.client, port), Remote: s.at(s.server, s.port)}
}

func (s *act) try(what string, step func() error) {
	if s.err == nil {
		if err := step(); err != nil {
			s.err = fmt.Errorf("%s: %w", what, err)
		}
	}
}

// socket makes a TCP socket on a host, bound to a port unless that is 0.
func (s *act) socket(h *lab.Host, port uint16) (fd int) {
	fd = -1
	s.try("make a socket", func() error {
		return h.Within(func() (err error) {
			domain := unix.AF_INET
			if s.family == lab.IPv6 {
				domain = unix.AF_INET6
			}
			fd, err = unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
			return err
		})
	})
	if s.err != nil {
		return fd
	}
	s.fds = append(s.fds, fd)
	s.set(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	limit := unix.Timeval{Sec: int64(patience / time.Second)}
	s.try("limit the wait", func() error {
		return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	})
	if port != 0 {
		s.try("bind", func() error { return unix.Bind(fd, socketAddress(s.at(h, port))) })
	}
	return fd
}

func socketAddress(a netip.AddrPort) unix.Sockaddr {
	switch sa := sockaddr(a.Addr()).(type) {
	case *unix.SockaddrInet4:
		sa.Port = int(a.Port())
		return sa
	case *unix.SockaddrInet6:
		sa.Port = int(a.Port())
		return sa
	}
	return nil
}

func (s *act) set(fd, level, option, value int) {
	s.try("set an option", func() error { return unix.SetsockoptInt(fd, level, option, value) })
}

func (s *act) listen(backlog int) int {
	fd := s.socket(s.server, s.port)
	s.try("listen", func() error { return unix.Listen(fd, backlog) })
	return fd
}

func (s *act) connect(port uint16) int {
	fd := s.socket(s.client, port)
	s.try("connect", func() error { return unix.Connect(fd, socketAddress(s.at(s.server, s.port))) })
	return fd
}

// tries connects and does not wait.
func (s *act) tries(port uint16) int {
	fd := s.socket(s.client, port)
	s.try("connect", func() error {
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		if err := unix.Connect(fd, socketAddress(s.at(s.server, s.port))); err != unix.EINPROGRESS {
			return err
		}
		return nil
	})
	return fd
}

func (s *act) accept(listener int) (fd int) {
	fd = -1
	s.try("accept", func() (err error) {
		fd, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if err == nil {
			s.fds = append(s.fds, fd)
		}
		return err
	})
	return fd
}

func (s *act) shutdown(fd int) {
	s.try("shut down", func() error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

func (s *act) close(fd int) {
	s.try("close", func() error { return unix.Close(fd) })
	for i, have := range s.fds {
		if have == fd {
			s.fds[i] = -1
		}
	}
}

func (s *act) write(fd int) {
	s.try("write", func() error { _, err := unix.Write(fd, []byte("hello")); return err })
}

func (s *act) eof(fd int) {
	s.try("read to the end", func() error {
		n, err := unix.Read(fd, make([]byte, 1))
		if err == nil && n != 0 {
			err = fmt.Errorf("data where the end should be")
		}
		return err
	})
}

// fails waits for a socket's error.
func (s *act) fails(fd int) {
	s.try("wait for an error", func() error {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		for {
			n, err := unix.Poll(fds, int(patience.Milliseconds()))
			if err == unix.EINTR {
				continue
			}
			if err == nil && n == 0 {
				err = unix.ETIMEDOUT
			}
			return err
		}
	})
}

// inTurn closes in four steps; the first to close holds its socket to the end.
func (s *act) inTurn(first, second int) {
	s.shutdown(first)
	s.eof(second)
	s.close(second)
	s.eof(first)
	s.close(first)
}

func (s *act) abort(fd int) {
	s.try("set SO_LINGER", func() error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	s.close(fd)
}

func (s *act) wait(d time.Duration) {
	if s.err == nil {
		time.Sleep(d)
	}
}

// deafens drops what comes from the scene's port to the client, or to the port.
func (s *act) deafens(h *lab.Host, r lab.Rule) (lift func()) {
	var f *lab.Fault
	s.try("add a rule", func() (err error) { f, err = h.Break(r); return err })
	return func() { s.try("lift the rule", f.Lift) }
}
