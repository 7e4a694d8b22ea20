package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Names of the sockets in the two peers.
const (
	conn     = "connection"
	listener = "listener"
)

// run is one performance of a scenario. Its methods are the steps that
// scenarios are written in; after a failed step, err is set and the following
// ones do nothing.
type run struct {
	ctx            context.Context
	lab            *Lab
	scenario       Scenario
	family         Family
	client, server *Host
	clientPeer     *Peer
	serverPeer     *Peer
	crowd          []*Peer        // others, who come between
	local          netip.AddrPort // the client's socket
	absent         netip.Addr     // where the client connects to instead, which nobody has
	faults         []*Fault
	undo           []func() error // what the run changed on the hosts
	listening      bool           // the server's peer has a listener
	err            error
}

// tell says in plain words what happens next.
func (r *run) tell(format string, args ...any) {
	if r.err == nil && r.lab.opt.Tell != nil {
		r.lab.opt.Tell(fmt.Sprintf(format, args...))
	}
}

// try runs a step unless an earlier one failed.
func (r *run) try(step func() error) {
	if r.err == nil {
		r.err = step()
	}
}

func (r *run) startPeers() {
	r.try(func() (err error) { r.clientPeer, err = r.client.Start("tcplab-client"); return })
	r.try(func() (err error) { r.serverPeer, err = r.server.Start("tcplab-server"); return })
}

func (r *run) stopPeers() error {
	var errs []error
	for _, p := range append([]*Peer{r.clientPeer, r.serverPeer}, r.crowd...) {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	for _, f := range r.faults {
		errs = append(errs, f.Lift())
	}
	for _, undo := range slices.Backward(r.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}

// target is the address that the client connects to.
func (r *run) target() netip.AddrPort {
	addr := r.server.Addr(r.family)
	if r.absent.IsValid() {
		addr = r.absent
	}
	if r.scenario.Story.Translated {
		addr = Virtual4
		if r.family == IPv6 {
			addr = Virtual6
		}
	}
	return netip.AddrPortFrom(addr, r.scenario.Port)
}

// accepting is the address that the server listens on.
func (r *run) accepting() netip.AddrPort {
	return netip.AddrPortFrom(r.server.Addr(r.family), r.scenario.Port)
}

func (r *run) listen() {
	r.tell("the server listens on %s", r.accepting())
	r.try(func() error { return r.serverPeer.Listen(r.ctx, listener, r.accepting()) })
	r.listening = r.err == nil
}

// connect starts connecting and does not wait for the outcome.
func (r *run) connect(opts ...Option) {
	r.tell("the client connects to %s", r.target())
	r.try(func() (err error) {
		r.local, err = r.clientPeer.Connect(r.ctx, conn, r.target(), opts...)
		return err
	})
}

// connected waits for the handshake, and accepts.
func (r *run) connected() {
	r.try(func() error { return r.clientPeer.Outcome(r.ctx, conn) })
	r.try(func() error { return r.serverPeer.Accept(r.ctx, listener, conn) })
	r.tell("the handshake is done: client %s", r.local)
}

// establish is listen, connect, connected.
func (r *run) establish() {
	r.listen()
	r.connect()
	r.connected()
}

// fails waits for connecting to fail with the story's error.
func (r *run) fails() {
	want := r.scenario.Story.ErrnoAt(r.family)
	r.try(func() error { return expectErrno(r.clientPeer.Outcome(r.ctx, conn), want) })
	r.tell("connect fails on the client: %v", want)
}

// errs waits for an established socket to report an error.
func (r *run) errs(p *Peer, want unix.Errno) {
	r.try(func() error { return expectErrno(p.Receive(r.ctx, conn, 1<<20), want) })
	r.tell("the %s's socket fails: %v", p.host.name, want)
}

func expectErrno(err error, want unix.Errno) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("the outcome was %v where %q was expected", err, want.Error())
}

// send has one peer send some bytes in one segment.
func (r *run) send(p *Peer, bytes int) { r.sendPieces(p, 1, bytes) }

func (r *run) sendPieces(p *Peer, pieces, bytes int) {
	r.tell("the %s sends %d × %d bytes", p.host.name, pieces, bytes)
	r.try(func() error { return p.SetOption(r.ctx, conn, noDelay) })
	r.try(func() error { return p.Send(r.ctx, conn, pieces, bytes) })
}

func (r *run) receive(p *Peer, bytes int) {
	r.try(func() error { return p.Receive(r.ctx, conn, bytes) })
	r.tell("the %s has received %d bytes", p.host.name, bytes)
}

func (r *run) close(p *Peer) {
	r.tell("the %s closes", p.host.name)
	r.try(func() error { return p.CloseSocket(r.ctx, conn) })
}

// shutdown closes the sending direction and keeps the socket.
func (r *run) shutdown(p *Peer) {
	r.tell("the %s shuts down its sending direction", p.host.name)
	r.try(func() error { return p.Shutdown(r.ctx, conn) })
}

func (r *run) abort(p *Peer) {
	r.tell("the %s aborts (SO_LINGER 0)", p.host.name)
	r.try(func() error { return p.Abort(r.ctx, conn) })
}

// breaks puts a firewall rule to work.
func (r *run) breaks(why string, h *Host, rule Rule) *Fault {
	r.tell("%s", why)
	var f *Fault
	r.try(func() (err error) {
		if f, err = h.Break(rule); err == nil {
			r.faults = append(r.faults, f)
		}
		return err
	})
	return f
}

// lift removes a rule again.
func (r *run) lift(f *Fault) {
	r.tell("the firewall rule is lifted")
	r.try(func() error {
		r.faults = slices.DeleteFunc(r.faults, func(have *Fault) bool { return have == f })
		return f.Lift()
	})
}

// caught waits until a rule has acted on n packets.
func (r *run) caught(f *Fault, n uint64) {
	r.poll(fmt.Sprintf("the rule to act on %d packets", n), func() (bool, error) {
		have, err := f.Packets()
		return have >= n, err
	})
}

func (r *run) sysctl(h *Host, key, value string) {
	r.tell("%s: %s = %s", h.name, key, value)
	r.try(func() error {
		before, err := h.ReadSysctl(key)
		if err != nil {
			return err
		}
		r.undo = append(r.undo, func() error { return h.Sysctl(key, before) })
		return h.Sysctl(key, value)
	})
}

// poll asks until the answer is yes.
func (r *run) poll(what string, ask func() (bool, error)) {
	r.try(func() error { return awaitKernel(r.ctx, what, ask) })
}

// arrived waits until bytes lie unread in a socket.
func (r *run) arrived(h *Host, bytes uint32) {
	r.poll(fmt.Sprintf("%d unread bytes on the %s", bytes, h.name), func() (bool, error) {
		s, err := r.socket(h)
		return s.Unread == bytes, err
	})
}

// socket is what socket diagnosis says of one end of the connection; its zero
// value says that there is none.
func (r *run) socket(h *Host) (Socket, error) {
	socks, err := h.Sockets(r.family)
	if err != nil {
		return Socket{}, err
	}
	for _, s := range socks {
		if r.isEnd(h, s) {
			return s, nil
		}
	}
	return Socket{}, nil
}

// isEnd tells the connection's socket on a host. The server's knows the client's
// address only where nobody translates it.
func (r *run) isEnd(h *Host, s Socket) bool {
	if h == r.client {
		return s.Flow.Local == r.local
	}
	known := r.scenario.Story.Translated || s.Flow.Remote == r.local
	return s.State != tcp.Listen && s.Flow.Local.Port() == r.scenario.Port && known
}

// await waits until one end is in a state.
func (r *run) await(h *Host, want tcp.State) {
	var have tcp.State
	r.poll(fmt.Sprintf("%v on the %s", want, h.name), func() (ok bool, err error) {
		s, err := r.socket(h)
		have = s.State
		return have == want, err
	})
	if errors.Is(r.err, context.DeadlineExceeded) {
		r.err = fmt.Errorf("%w: it is in %v", r.err, have)
	}
}

// stand waits for the story's standing and shows it.
func (r *run) stand() {
	at := r.scenario.Story.Standing
	at.Flow = tcp.Flow{Local: r.local, Remote: r.target()}
	r.await(r.client, at.Client)
	r.await(r.server, at.Server)
	r.tell("now: client %s, server %s", stateWord(at.Client), stateWord(at.Server))
	r.hold(at)
}

// hold lets the state stand as long as the caller wants.
func (r *run) hold(at Standing) {
	if r.lab.opt.Hold != nil {
		r.try(func() error { return r.lab.opt.Hold(r.ctx, at) })
	}
}

func stateWord(s tcp.State) string {
	if s == tcp.StateUnknown {
		return "has no socket"
	}
	return "in " + s.String()
}

// end waits until neither end has a socket but TIME_WAIT, and stops listening.
func (r *run) end() {
	for _, h := range []*Host{r.client, r.server} {
		r.poll(fmt.Sprintf("the end of the connection on the %s", h.name), func() (bool, error) {
			s, err := r.socket(h)
			return s.State == tcp.StateUnknown || s.State == tcp.TimeWait, err
		})
	}
	if r.listening {
		r.try(func() error { return r.serverPeer.CloseSocket(r.ctx, listener) })
	}
	r.tell("the connection has come to its end")
}
