package lab

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// queueing are the cases of a listener whose queues are full.
var queueing = []Scenario{
	{
		Name: "accept-queue-full", Port: 7741, act: acceptQueueFull,
		About: "nobody accepts: the listener's queue is full",
		Story: timesOut(tcp.StateUnknown),
		Verdicts: Verdicts{
			Client: counted("syn-unanswered", OnTheWay, "syns", 3),
			Server: byCounter("accept-queue-full", InApplication),
			Both:   byCounter("accept-queue-full", InApplication),
		},
		Proof: []Count{{Server, "TcpExt", "ListenOverflows", 2}},
	},
	{
		Name: "accept-queue-late", Port: 7744, Topology: Routed, act: acceptQueueLate,
		About: "the queue is full when the last ACK comes",
		Story: Story{
			Client: clientOpens.then(tcp.Close), Listener: true, ClientErrno: unix.ETIMEDOUT,
			Standing: Standing{Client: tcp.Established, Server: tcp.SynRecv},
		},
		Verdicts: Verdicts{
			Client: then(said("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay),
				perhaps("rst-no-socket", AfterTheWire)),
			Server: then(said("accept-queue-full", InApplication), perhaps("synack-unanswered", OnTheWay)),
			Both: then(said("accept-queue-full", InApplication), perhaps("synack-unanswered", OnTheWay),
				perhaps("retransmit-timeout", AfterTheWire), perhaps("loss-timeouts", AfterTheWire),
				perhaps("rst-no-socket", AfterTheWire)),
		},
		Proof: []Count{{Server, "TcpExt", "ListenOverflows", 2}, {Client, "TcpExt", "TCPAbortOnTimeout", 1}},
	},
	{
		Name: "syn-queue-full", Port: 7742, Topology: Routed, act: synQueueFull,
		About: "a SYN flood, no cookies: the SYN is dropped",
		Story: timesOut(tcp.StateUnknown),
		Verdicts: Verdicts{
			Client: counted("syn-unanswered", OnTheWay, "syns", 3),
			Server: byCounter("syn-queue-full", AfterTheWire),
			Both:   byCounter("syn-queue-full", AfterTheWire),
			Others: []string{"syn-queue-full", "synack-unanswered"},
		},
		Proof: []Count{{Server, "TcpExt", "TCPReqQFullDrop", 2}},
	},
	{
		Name: "syn-cookies", Port: 7743, Topology: Routed, act: synCookies,
		About: "a SYN flood: SYN cookies let a client in",
		Story: Story{
			Client: clientOpens.then(closesFirst...), Listener: true,
			Standing: Standing{Client: tcp.Established, Server: tcp.Established},
		},
		Verdicts: Verdicts{
			Server: probably("syn-queue-full", AfterTheWire), // a cookie may be sent always
			Both:   probably("syn-queue-full", AfterTheWire),
			Others: []string{"syn-queue-full", "synack-unanswered", "refused"}, // at last nobody listens
			Held:   true,                                                       // so long that the counters are read
		},
		Proof: []Count{{Server, "TcpExt", "SyncookiesRecv", 1}, {Server, "TcpExt", "TCPReqQFullDoCookies", 1}},
	},
}

// shortQueue takes one connection, and one more.
const shortQueue = 1

// crowd are connections that nobody accepts.
type crowd struct {
	*run
	peer *Peer
	size int
}

func memberName(i int) string { return fmt.Sprint("crowd-", i) }

// fillsQueue has others connect until the accept queue is full.
func (r *run) fillsQueue() crowd {
	c := crowd{r, r.joins(r.client, "tcplab-crowd"), shortQueue + 1}
	r.tell("%d others connect, and nobody accepts them", c.size)
	for i := range c.size {
		r.try(func() error { _, err := c.peer.Connect(r.ctx, memberName(i), r.target()); return err })
		r.try(func() error { return c.peer.Outcome(r.ctx, memberName(i)) })
	}
	r.poll("the accept queue to be full", func() (bool, error) { return r.waiting(uint32(c.size)) })
	return c
}

// waiting reports whether so many connections wait to be accepted.
func (r *run) waiting(n uint32) (bool, error) {
	socks, err := r.server.Sockets(r.family)
	for _, s := range socks {
		if s.State == tcp.Listen && s.Flow.Local.Port() == r.scenario.Port {
			return s.Unread == n, nil
		}
	}
	return false, err
}

// leaves has the server accept them after all, and everyone close.
func (c crowd) leaves() {
	c.tell("the server accepts the others, and they close")
	for i := range c.size {
		c.try(func() error { return c.serverPeer.Accept(c.ctx, listener, memberName(i)) })
		c.try(func() error { return c.peer.CloseSocket(c.ctx, memberName(i)) })
		c.try(func() error { return expectEnd(c.serverPeer.Receive(c.ctx, memberName(i), 1)) })
		c.try(func() error { return c.serverPeer.CloseSocket(c.ctx, memberName(i)) })
	}
	c.poll("the others to be gone", func() (bool, error) { return c.gone() })
}

// gone reports whether the port has no connection on the server but TIME_WAIT.
func (r *run) gone() (bool, error) {
	socks, err := r.server.Sockets(r.family)
	for _, s := range socks {
		if s.Flow.Local.Port() == r.scenario.Port && s.State != tcp.Listen && s.State != tcp.TimeWait {
			return false, nil
		}
	}
	return true, err
}

func acceptQueueFull(r *run) {
	r.listenFor(shortQueue)
	others := r.fillsQueue()
	r.connect(synCount)
	r.stand()
	r.fails()
	others.leaves()
}

// latecomerPort is a client's that is known before it connects.
const latecomerPort = 45001

// acceptQueueLate: the queue has room when the SYN comes, and none when the
// handshake's last ACK does, which is dropped: the client believes itself connected.
func acceptQueueLate(r *run) {
	r.fewRetries()
	r.sysctl(r.server, "net.ipv4.tcp_synack_retries", "2")
	r.listenFor(shortQueue)
	f := r.routerDrops("the handshake's last ACK",
		Rule{FromPort: latecomerPort, ToPort: r.scenario.Port, Flags: tcp.ACK})
	r.try(func() (err error) {
		from := netip.AddrPortFrom(r.client.Addr(r.family), latecomerPort)
		r.local, err = r.clientPeer.ConnectFrom(r.ctx, conn, from, r.target())
		return err
	})
	r.try(func() error { return r.clientPeer.Outcome(r.ctx, conn) })
	r.caught(f, 1)
	others := r.fillsQueue()
	r.lift(f)
	r.send(r.clientPeer, requestSize)
	r.stand()
	r.errs(r.clientPeer, unix.ETIMEDOUT)
	r.close(r.clientPeer) // else it stays bound to its port
	r.await(r.server, tcp.StateUnknown)
	others.leaves()
}

// floods has the router open more connections than the SYN queue takes, and
// answer nothing.
func (r *run) floods() {
	const flood = 6
	p := r.joins(r.router(), "tcplab-flood")
	r.breaks("the router's firewall drops the answers to its own SYNs", r.router(),
		Rule{Hook: Input, FromPort: r.scenario.Port})
	for i := range flood {
		r.try(func() error { _, err := p.Connect(r.ctx, memberName(i), r.target()); return err })
	}
	r.poll("the SYN queue to be full", func() (bool, error) {
		socks, err := r.server.Sockets(r.family)
		half := 0
		for _, s := range socks {
			if s.State == tcp.SynRecv {
				half++
			}
		}
		return half > shortQueue, err
	})
}

func synQueueFull(r *run) {
	r.sysctl(r.server, "net.ipv4.tcp_syncookies", "0")
	r.listenFor(shortQueue)
	r.floods()
	r.connect(synCount)
	r.stand()
	r.fails()
}

func synCookies(r *run) {
	r.sysctl(r.server, "net.ipv4.tcp_syncookies", "1")
	r.listenFor(shortQueue)
	r.floods()
	r.connect()
	r.connected()
	r.exchange()
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}
