package lab

import (
	"context"

	"golang.org/x/sys/unix"
)

// Take has p share a socket of another peer's: both hold it then, as after a fork
// or when a descriptor is passed over a unix socket.
func (p *Peer) Take(ctx context.Context, sock string, from *Peer, theirs string) error {
	rep, err := from.do(ctx, request{Op: "number", Sock: theirs})
	if err != nil {
		return err
	}
	_, err = p.do(ctx, request{Op: "take", Sock: sock, Value: from.PID(), Count: rep.Count})
	return err
}

// number is the socket's file descriptor.
func (p peerSockets) number(r request) (reply, error) {
	fd, ok := p[r.Sock]
	if !ok {
		return reply{}, unix.EBADF
	}
	return reply{Count: fd}, nil
}

// take duplicates a descriptor of the process Value (pidfd_getfd(2)).
func (p peerSockets) take(r request) (reply, error) {
	process, err := unix.PidfdOpen(r.Value, 0)
	if err != nil {
		return reply{}, err
	}
	defer unix.Close(process)
	fd, err := unix.PidfdGetfd(process, r.Count, 0)
	if err == nil {
		p[r.Sock] = fd
	}
	return reply{}, err
}
