package lab

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// request is one order to a peer process, one JSON object a line.
type request struct {
	Op      string
	Sock    string         // the socket's name
	As      string         // accept: the new socket's name
	Addr    netip.AddrPort // listen, connect
	From    netip.AddrPort // connect: the local address, if it is set
	Options []Option       // listen, connect: set first
	Count   int            // send: pieces; receive: bytes at least; listen: the queue's length
	Size    int            // send: bytes of a piece of zeros
	Text    string         // send: the piece itself
	Level   int            // option
	Option  int
	Value   int
	Timeout time.Duration // of what waits
}

// reply answers a request. Errno is what the system call gave; a failure of
// the peer itself is in Failure.
type reply struct {
	Local   netip.AddrPort // connect, accept
	Count   int            // send, receive: bytes
	End     bool           // receive: the other side has closed its direction
	Errno   unix.Errno
	Failure string
}
