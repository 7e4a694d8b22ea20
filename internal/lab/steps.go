package lab

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// router is the host between the two, in topologies that have one.
func (r *run) router() *Host { return r.lab.Host(Router) }

// routerDrops has the router drop what a rule selects of what goes to the server's
// port, or comes from it: on the way, out of sight of both ends.
func (r *run) routerDrops(why string, rule Rule) *Fault {
	rule.Hook = Forward
	return r.breaks("the router drops "+why, r.router(), rule)
}

// cuts has the router drop everything that goes to the server's port.
func (r *run) cuts() *Fault {
	return r.routerDrops("what goes to the port", Rule{ToPort: r.scenario.Port})
}

// strays has the router lose the next n segments with data towards the server.
func (r *run) strays(n uint32) *Fault {
	return r.routerDrops(fmt.Sprintf("the next %d with data to the port", n),
		Rule{ToPort: r.scenario.Port, Data: true, First: n})
}

// aims has the client connect to an address that nobody has.
func (r *run) aims(at4, at6 string) {
	r.absent = netip.MustParseAddr(at4)
	if r.family == IPv6 {
		r.absent = netip.MustParseAddr(at6)
	}
}

// failsAtOnce expects connect itself to fail, in a socket that is called so.
func (r *run) failsAtOnce(sock string, want unix.Errno) {
	r.tell("the client connects to %s", r.target())
	r.try(func() error {
		_, err := r.clientPeer.Connect(r.ctx, sock, r.target())
		return expectErrno(err, want)
	})
	r.tell("connect fails at once: %v", want)
}

// listenFor has the server listen with a short queue, or with options that what
// it accepts inherits.
func (r *run) listenFor(queue int, opts ...Option) {
	r.tell("the server listens on %s, with a queue of %d", r.accepting(), queue)
	r.try(func() error { return r.serverPeer.ListenFor(r.ctx, listener, r.accepting(), queue, opts...) })
	r.listening = r.err == nil
}

// options sets options of one end's socket.
func (r *run) options(p *Peer, opts ...Option) {
	for _, o := range opts {
		r.try(func() error { return p.SetOption(r.ctx, conn, o) })
	}
}

// fill has one peer write until its socket takes no more, and says how much it took.
func (r *run) fill(p *Peer) (bytes int) {
	r.try(func() (err error) {
		bytes, err = p.Fill(r.ctx, conn, 1<<10)
		return err
	})
	r.tell("the %s has written %d bytes, and its socket takes no more", p.host.name, bytes)
	return bytes
}

// vanish takes a socket away without a word: what is left over of a scenario, and
// would be a trouble of its own if it spoke.
func (r *run) vanish(p *Peer) {
	r.tell("the %s's socket vanishes without a word", p.host.name)
	r.try(func() error { return p.Vanish(r.ctx, conn) })
}

// delivers has one peer send some bytes, the other read them, and waits for their
// ACK. The reader is awake before its kernel's ACK has arrived: on a busy machine
// what either end does next may overtake it, or take it along.
func (r *run) delivers(from, to *Peer, bytes int) {
	r.send(from, bytes)
	r.receive(to, bytes)
	r.acknowledged(from.host)
}

// acknowledged waits until all that one end has sent is acknowledged.
func (r *run) acknowledged(h *Host) {
	r.poll("the "+h.name+"'s bytes to be acknowledged", func() (bool, error) {
		s, err := r.socket(h)
		return s.State == tcp.Established && s.Unacked == 0, err
	})
}

// moved waits until a counter of a host has moved by n since before.
func (r *run) moved(h *Host, group, name string, before, n uint64) {
	r.poll(fmt.Sprintf("%s %s to move by %d on the %s", group, name, n, h.name), func() (bool, error) {
		have, err := h.Counter(group, name)
		return have >= before+n, err
	})
}

// counter reads a counter of a host.
func (r *run) counter(h *Host, group, name string) (n uint64) {
	r.try(func() (err error) { n, err = h.Counter(group, name); return err })
	return n
}

// passes lets time pass: where a while without anything is the matter itself.
func (r *run) passes(d time.Duration) {
	r.tell("nothing happens for %v", d)
	r.try(func() error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	})
}

// joins starts one more process on a host.
func (r *run) joins(h *Host, comm string) (p *Peer) {
	r.try(func() (err error) {
		if p, err = h.Start(comm); err == nil {
			r.crowd = append(r.crowd, p)
		}
		return err
	})
	return p
}

// expectEnd takes the other side's end of sending for what it is.
func expectEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("the other side's end was expected, not %v", err)
}
