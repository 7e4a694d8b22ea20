package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// orderWait bounds an order that waits, where the context sets no bound.
const orderWait = 20 * time.Second

// Peer is a process on a host that makes plain TCP sockets, known by names of
// the caller's choice, and does with them what it is told, one order at a time.
// A failed system call is returned as a wrapped unix.Errno.
type Peer struct {
	host   *Host
	cmd    *exec.Cmd
	orders io.WriteCloser
	enc    *json.Encoder
	dec    *json.Decoder
	stderr bytes.Buffer
}

// Start starts a peer process under a name of at most 15 bytes.
func (h *Host) Start(comm string) (*Peer, error) {
	p := &Peer{host: h, cmd: roleCommand("peer", comm)}
	p.cmd.Stderr = &p.stderr
	orders, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", comm, err)
	}
	answers, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", comm, err)
	}
	if err := h.ns.within(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", comm, err)
	}
	p.orders, p.enc, p.dec = orders, json.NewEncoder(orders), json.NewDecoder(answers)
	return p, nil
}

// PID is the process's id.
func (p *Peer) PID() int { return p.cmd.Process.Pid }

// Close ends the process, whose sockets the kernel then closes.
func (p *Peer) Close() error {
	p.orders.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("end %s: %w: %s", p.cmd.Args[0], err, bytes.TrimSpace(p.stderr.Bytes()))
	}
	return nil
}

// do gives an order and waits for the answer.
func (p *Peer) do(ctx context.Context, r request) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	r.Timeout = orderWait
	if deadline, ok := ctx.Deadline(); ok {
		r.Timeout = min(orderWait, time.Until(deadline))
	}
	// An order that waits cannot be taken back: the end of ctx ends the process.
	defer context.AfterFunc(ctx, func() { p.orders.Close() })()
	var rep reply
	err := p.enc.Encode(r)
	if err == nil {
		err = p.dec.Decode(&rep)
	}
	switch {
	case err != nil:
		return rep, errors.Join(ctx.Err(), fmt.Errorf("%s on the %s: no answer: %w", r.Op, p.host.name, err))
	case rep.Failure != "":
		return rep, fmt.Errorf("%s on the %s: %s", r.Op, p.host.name, rep.Failure)
	case rep.Errno != 0:
		return rep, fmt.Errorf("%s on the %s: %w", r.Op, p.host.name, rep.Errno)
	}
	return rep, nil
}

// backlog is the queue of an ordinary listener, connections.
const backlog = 16

// Listen makes a listening socket.
func (p *Peer) Listen(ctx context.Context, sock string, addr netip.AddrPort) error {
	return p.ListenFor(ctx, sock, addr, backlog)
}

// ListenFor makes one whose queue takes so many connections and one more; what it
// accepts inherits the options.
func (p *Peer) ListenFor(ctx context.Context, sock string, addr netip.AddrPort, queue int, opts ...Option) error {
	_, err := p.do(ctx, request{Op: "listen", Sock: sock, Addr: addr, Count: queue, Options: opts})
	return err
}

// Option is a socket option of type int.
type Option struct{ Level, Name, Value int }

// Connect starts to connect, with options set first unless they are zero, and
// returns the local address without waiting for the outcome.
func (p *Peer) Connect(ctx context.Context, sock string, to netip.AddrPort, opts ...Option) (netip.AddrPort, error) {
	r, err := p.do(ctx, request{Op: "connect", Sock: sock, Addr: to, Options: opts})
	return r.Local, err
}

// ConnectFrom does so from a local address; port 0 leaves the port to the kernel.
func (p *Peer) ConnectFrom(ctx context.Context, sock string, from, to netip.AddrPort, opts ...Option) (netip.AddrPort, error) {
	r, err := p.do(ctx, request{Op: "connect", Sock: sock, From: from, Addr: to, Options: opts})
	return r.Local, err
}

// Outcome waits until connecting has succeeded (nil) or failed.
func (p *Peer) Outcome(ctx context.Context, sock string) error {
	_, err := p.do(ctx, request{Op: "outcome", Sock: sock})
	return err
}

// Accept waits for a connection and names its socket.
func (p *Peer) Accept(ctx context.Context, listener, sock string) error {
	_, err := p.do(ctx, request{Op: "accept", Sock: listener, As: sock})
	return err
}

// SetOption sets a socket option.
func (p *Peer) SetOption(ctx context.Context, sock string, opt Option) error {
	_, err := p.do(ctx, request{Op: "option", Sock: sock, Level: opt.Level, Option: opt.Name, Value: opt.Value})
	return err
}

// Send writes pieces of size bytes, one system call each.
func (p *Peer) Send(ctx context.Context, sock string, pieces, size int) error {
	_, err := p.do(ctx, request{Op: "send", Sock: sock, Count: pieces, Size: size})
	return err
}

// Fill writes pieces of size bytes until the socket takes no more, and returns
// how many bytes it took.
func (p *Peer) Fill(ctx context.Context, sock string, size int) (int, error) {
	r, err := p.do(ctx, request{Op: "fill", Sock: sock, Size: size})
	return r.Count, err
}

// SendText writes a text by one system call.
func (p *Peer) SendText(ctx context.Context, sock, text string) error {
	_, err := p.do(ctx, request{Op: "send", Sock: sock, Text: text})
	return err
}

// Receive waits for at least n bytes; io.EOF says that the other side has
// closed its direction before.
func (p *Peer) Receive(ctx context.Context, sock string, n int) error {
	r, err := p.do(ctx, request{Op: "receive", Sock: sock, Count: n})
	if err == nil && r.End {
		return io.EOF
	}
	return err
}

// Shutdown closes the sending direction.
func (p *Peer) Shutdown(ctx context.Context, sock string) error {
	_, err := p.do(ctx, request{Op: "shutdown", Sock: sock})
	return err
}

// CloseSocket closes as a program does that is done with the socket.
func (p *Peer) CloseSocket(ctx context.Context, sock string) error {
	_, err := p.do(ctx, request{Op: "close", Sock: sock})
	return err
}

// Abort closes with SO_LINGER 0: by a RST.
func (p *Peer) Abort(ctx context.Context, sock string) error {
	_, err := p.do(ctx, request{Op: "abort", Sock: sock})
	return err
}

// Vanish takes the socket away without a word to the other end, as when a host
// loses its power.
func (p *Peer) Vanish(ctx context.Context, sock string) error {
	_, err := p.do(ctx, request{Op: "vanish", Sock: sock})
	return err
}

// noDelay has each Send piece leave at once.
var noDelay = Option{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}
