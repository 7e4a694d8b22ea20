package kernel_test

import (
	"fmt"

	"golang.org/x/sys/unix"

	"tcpstory/internal/kernel/ordertest"
	"tcpstory/internal/tcp"
)

// closer is one way for connections to end.
type closer struct {
	plan   ordertest.Plan
	refuse bool // nobody listens
	share  int  // connections in a row, and so its part of all
	errors int  // that the two sockets report; linger 0 makes tcp_disconnect report one, too
	end    func(*pair)
}

// The states and causes of the plans below, by short names.
const (
	fw1, fw2, closing   = tcp.FinWait1, tcp.FinWait2, tcp.Closing
	closed, wait, last  = tcp.Close, tcp.CloseWait, tcp.LastAck
	none, abort         = ordertest.CauseAny, ordertest.CauseAbort
	held, orphan        = ordertest.CauseHeld, ordertest.CauseOrphan
	reset, pipe, refuse = ordertest.Cause("ECONNRESET"), ordertest.Cause("EPIPE"), ordertest.Cause("ECONNREFUSED")
)

var (
	client = ordertest.ClientPath
	server = ordertest.ServerPath
)

type paths = []ordertest.Path

func plan(name string, client, server paths) ordertest.Plan {
	return ordertest.Plan{Name: name, Client: client, Server: server}
}

// fourWay are the closers without a reset.
var fourWay = []*closer{
	{
		plan:  plan("client first", paths{client(held, fw1, fw2, closed)}, paths{server(none, wait, last, closed)}),
		share: 2,
		end:   func(p *pair) { p.exchange(); p.inTurn(p.client, p.server) },
	},
	{
		plan:  plan("server first", paths{client(none, wait, last, closed)}, paths{server(held, fw1, fw2, closed)}),
		share: 2,
		end:   func(p *pair) { p.exchange(); p.inTurn(p.server, p.client) },
	},
	{
		plan: plan("orphans",
			paths{client(orphan, fw1, fw2, closed), client(none, fw1, closing, closed)},
			paths{server(none, wait, last, closed), server(none, fw1, closing, closed), server(orphan, fw1, fw2, closed)}),
		share: 2,
		end:   func(p *pair) { p.exchange(); p.close(p.client); p.close(p.server) },
	},
	{
		plan: plan("both at once",
			paths{client(held, fw1, fw2, closed), client(none, fw1, closing, closed)},
			paths{server(none, wait, last, closed), server(none, fw1, closing, closed), server(held, fw1, fw2, closed)}),
		share: 2,
		end: func(p *pair) {
			p.exchange()
			p.shutdown(p.client)
			p.shutdown(p.server)
			p.eof(p.client)
			p.eof(p.server)
			p.close(p.client)
			p.close(p.server)
		},
	},
}

// resetting are the closers with a reset.
var resetting = []*closer{
	{
		plan:  plan("linger 0", paths{client(abort, closed)}, paths{server(reset, closed)}),
		share: 1, errors: 2,
		end: func(p *pair) { p.abort(p.client); p.broken(p.server); p.close(p.server) },
	},
	{
		plan:  plan("server's linger 0", paths{client(reset, closed)}, paths{server(abort, closed)}),
		share: 1, errors: 2,
		end: func(p *pair) { p.exchange(); p.abort(p.server); p.broken(p.client); p.close(p.client) },
	},
	{
		plan:  plan("unread data", paths{client(reset, closed)}, paths{server(abort, closed)}),
		share: 1, errors: 1,
		end: func(p *pair) {
			p.write(p.client)
			p.readable(p.server)
			p.close(p.server)
			p.broken(p.client)
			p.close(p.client)
		},
	},
	{
		plan: plan("reset half-closed",
			paths{client(abort, fw1, fw2, closed), client(abort, fw1, closed)}, paths{server(pipe, wait, closed)}),
		share: 1, errors: 2,
		end: func(p *pair) {
			p.shutdown(p.client)
			p.eof(p.server)
			p.abort(p.client)
			p.broken(p.server)
			p.close(p.server)
		},
	},
	{
		plan: plan("half-closed resets",
			paths{client(reset, fw1, fw2, closed), client(reset, fw1, closed)}, paths{server(abort, wait, closed)}),
		share: 1, errors: 2,
		end: func(p *pair) {
			p.shutdown(p.client)
			p.eof(p.server)
			p.abort(p.server)
			p.broken(p.client)
			p.close(p.client)
		},
	},
	{
		plan: plan("refused",
			paths{{{Old: tcp.Close, New: tcp.SynSent}, {Old: tcp.SynSent, New: tcp.Close, Cause: refuse}}}, nil),
		share: 1, errors: 1, refuse: true,
	},
}

// pair is both ends of a connection in one hand: descriptors know nothing of
// namespaces. After a failed step the following ones do nothing.
type pair struct {
	client, server int
	err            error
}

func (p *pair) try(what string, step func() error) {
	if p.err == nil {
		if err := step(); err != nil {
			p.err = fmt.Errorf("%s: %w", what, err)
		}
	}
}

// message is what each end sends.
var message [200]byte

// exchange sends a message each way.
func (p *pair) exchange() {
	p.write(p.client)
	p.read(p.server)
	p.write(p.server)
	p.read(p.client)
}

func (p *pair) write(fd int) {
	p.try("write", func() error { _, err := unix.Write(fd, message[:]); return err })
}

func (p *pair) accept(listener int) {
	p.readable(listener)
	p.try("accept", func() (err error) {
		p.server, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
		return err
	})
}

// read takes one message, which one segment has brought.
func (p *pair) read(fd int) {
	p.readable(fd)
	p.try("read", func() error {
		var b [len(message)]byte
		n, err := unix.Read(fd, b[:])
		if err == nil && n != len(b) {
			err = fmt.Errorf("%d bytes", n)
		}
		return err
	})
}

func (p *pair) eof(fd int) {
	p.readable(fd)
	p.try("read to the end", func() error {
		var b [1]byte
		n, err := unix.Read(fd, b[:])
		if err == nil && n != 0 {
			err = fmt.Errorf("%d bytes more", n)
		}
		return err
	})
}

func (p *pair) shutdown(fd int) {
	p.try("shut down", func() error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

func (p *pair) close(fd int) { p.try("close", func() error { return unix.Close(fd) }) }

// abort closes by a reset.
func (p *pair) abort(fd int) {
	p.try("set SO_LINGER", func() error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	p.close(fd)
}

// inTurn closes in four steps; the first to close holds its socket to the end.
func (p *pair) inTurn(first, second int) {
	p.shutdown(first)
	p.eof(second)
	p.close(second)
	p.eof(first)
	p.close(first)
}

func (p *pair) readable(fd int) { p.poll("data", fd, unix.POLLIN) }

// broken waits until the socket has an error.
func (p *pair) broken(fd int) { p.poll("an error", fd, 0) }

func (p *pair) poll(what string, fd int, events int16) {
	p.try("wait for "+what, func() error {
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
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
