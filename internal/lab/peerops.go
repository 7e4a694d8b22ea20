package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// peerSockets are the sockets of a peer process by name.
type peerSockets map[string]int

// peerOps are the orders that a peer process obeys.
var peerOps = map[string]func(peerSockets, request) (reply, error){
	"listen":   peerSockets.listen,
	"connect":  peerSockets.connect,
	"outcome":  peerSockets.outcome,
	"accept":   peerSockets.accept,
	"option":   peerSockets.option,
	"send":     peerSockets.send,
	"receive":  peerSockets.receive,
	"shutdown": peerSockets.shutdown,
	"close":    peerSockets.close,
	"abort":    peerSockets.abort,
	"fill":     peerSockets.fill,
	"vanish":   peerSockets.vanish,
	"number":   peerSockets.number,
	"take":     peerSockets.take,
	"beyond":   peerSockets.beyond,
}

// servePeer is the peer process: one thread that makes system calls when told
// to, and ends at once, sockets and all, when nobody can tell it any more.
func servePeer(in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	orders := make(chan request)
	go func() {
		dec := json.NewDecoder(bufio.NewReader(in))
		for {
			var r request
			if dec.Decode(&r) != nil {
				os.Exit(0)
			}
			orders <- r
		}
	}()
	socks := peerSockets{}
	enc := json.NewEncoder(out)
	for r := range orders {
		if err := enc.Encode(socks.obey(r)); err != nil {
			return err
		}
	}
	return nil
}

func (p peerSockets) obey(r request) reply {
	op, ok := peerOps[r.Op]
	if !ok {
		return reply{Failure: fmt.Sprintf("there is no order %q", r.Op)}
	}
	rep, err := op(p, r)
	if errno, ok := err.(unix.Errno); ok {
		rep.Errno = errno
	} else if err != nil {
		rep.Failure = err.Error()
	}
	return rep
}

// open makes a plain TCP socket: net.Listen would make an MPTCP one.
func (p peerSockets) open(name string, addr netip.AddrPort) (int, error) {
	domain := unix.AF_INET
	if addr.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err == nil {
		p[name] = fd
	}
	return fd, err
}

func (p peerSockets) listen(r request) (reply, error) {
	fd, err := p.open(r.Sock, r.Addr)
	if err != nil {
		return reply{}, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return reply{}, err
	}
	if err := setAll(fd, r.Options); err != nil {
		return reply{}, err
	}
	if err := unix.Bind(fd, sockaddr(r.Addr)); err != nil {
		return reply{}, err
	}
	return reply{}, unix.Listen(fd, r.Count)
}

// connect starts to connect, with socket options set before.
func (p peerSockets) connect(r request) (reply, error) {
	fd, err := p.open(r.Sock, r.Addr)
	if err != nil {
		return reply{}, err
	}
	if err := setAll(fd, r.Options); err != nil {
		return reply{}, err
	}
	if r.From.IsValid() {
		if err := unix.Bind(fd, sockaddr(r.From)); err != nil {
			return reply{}, err
		}
	}
	if err := unix.Connect(fd, sockaddr(r.Addr)); err != nil && err != unix.EINPROGRESS {
		return reply{}, err
	}
	return localAddr(fd)
}

// setAll sets options, but for those that are zero.
func setAll(fd int, opts []Option) error {
	for _, o := range opts {
		if o == (Option{}) {
			continue
		}
		if err := unix.SetsockoptInt(fd, o.Level, o.Name, o.Value); err != nil {
			return err
		}
	}
	return nil
}

// outcome waits until connect has ended, and says how.
func (p peerSockets) outcome(r request) (reply, error) {
	if err := p.wait(r, unix.POLLOUT); err != nil {
		return reply{}, err
	}
	errno, err := unix.GetsockoptInt(p[r.Sock], unix.SOL_SOCKET, unix.SO_ERROR)
	return reply{Errno: unix.Errno(errno)}, err
}

func (p peerSockets) accept(r request) (reply, error) {
	if err := p.wait(r, unix.POLLIN); err != nil {
		return reply{}, err
	}
	fd, _, err := unix.Accept4(p[r.Sock], unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return reply{}, err
	}
	p[r.As] = fd
	return localAddr(fd)
}

func (p peerSockets) option(r request) (reply, error) {
	return reply{}, unix.SetsockoptInt(p[r.Sock], r.Level, r.Option, r.Value)
}

// send writes each piece by one system call, so that (with TCP_NODELAY) each
// becomes one segment.
func (p peerSockets) send(r request) (reply, error) {
	piece := append([]byte(r.Text), make([]byte, r.Size)...)
	var rep reply
	for range max(r.Count, 1) {
		n, err := unix.Write(p[r.Sock], piece)
		if err != nil {
			return rep, err
		}
		rep.Count += n
	}
	return rep, nil
}

// fill writes until the socket's buffer is full.
func (p peerSockets) fill(r request) (reply, error) {
	piece := make([]byte, r.Size)
	var rep reply
	for {
		n, err := unix.Write(p[r.Sock], piece)
		if err == unix.EAGAIN {
			return rep, nil
		}
		if err != nil {
			return rep, err
		}
		rep.Count += n
	}
}

// receive reads until Count bytes are there, the end, or an error.
func (p peerSockets) receive(r request) (reply, error) {
	var rep reply
	buf := make([]byte, 64<<10)
	for rep.Count < r.Count {
		if err := p.wait(r, unix.POLLIN); err != nil {
			return rep, err
		}
		n, err := unix.Read(p[r.Sock], buf)
		if err != nil {
			return rep, err
		}
		if n == 0 {
			rep.End = true
			return rep, nil
		}
		rep.Count += n
	}
	return rep, nil
}

func (p peerSockets) shutdown(r request) (reply, error) {
	return reply{}, unix.Shutdown(p[r.Sock], unix.SHUT_WR)
}

func (p peerSockets) close(r request) (reply, error) {
	fd, ok := p[r.Sock]
	if !ok {
		return reply{}, unix.EBADF
	}
	delete(p, r.Sock)
	return reply{}, unix.Close(fd)
}

// abort closes with a RST.
func (p peerSockets) abort(r request) (reply, error) {
	linger := unix.Linger{Onoff: 1}
	if err := unix.SetsockoptLinger(p[r.Sock], unix.SOL_SOCKET, unix.SO_LINGER, &linger); err != nil {
		return reply{}, err
	}
	return p.close(r)
}

// vanish closes a socket under repair (TCP_REPAIR), of which the other end is not told.
func (p peerSockets) vanish(r request) (reply, error) {
	if err := unix.SetsockoptInt(p[r.Sock], unix.IPPROTO_TCP, unix.TCP_REPAIR, 1); err != nil {
		return reply{}, err
	}
	return p.close(r)
}

func (p peerSockets) wait(r request, events int16) error {
	return pollUntil(p[r.Sock], events, time.Now().Add(r.Timeout))
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

func localAddr(fd int) (reply, error) {
	sa, err := unix.Getsockname(fd)
	return reply{Local: addrPort(sa)}, err
}

// addrPort is sockaddr's reverse.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
