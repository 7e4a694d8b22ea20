package lab

import (
	"golang.org/x/sys/unix"
)

// stalling are the cases of a connection that stands, and of nobody's packets lost.
var stalling = []Scenario{
	{
		Name: "zero-window", Port: 7749, act: zeroWindow(true),
		About: "the server does not read: its window is closed",
		Story: timelyStory(),
		Verdicts: Verdicts{
			Client: said("peer-zero-window", InApplication),
			Server: said("own-zero-window", InApplication),
			Both:   then(said("own-zero-window", InApplication), perhaps("peer-zero-window", InApplication)),
			Held:   true,
		},
		Proof: []Count{{Client, "TcpExt", "TCPWinProbe", 2}, {Server, "TcpExt", "TCPToZeroWindowAdv", 1}},
	},
	{
		Name: "zero-window-client", Port: 7750, act: zeroWindow(false),
		About: "the client does not read: its window is closed",
		Story: timelyStory(),
		Verdicts: Verdicts{
			Client: said("own-zero-window", InApplication),
			Server: said("peer-zero-window", InApplication),
			Both:   then(said("own-zero-window", InApplication), perhaps("peer-zero-window", InApplication)),
			Held:   true,
		},
		Proof: []Count{{Server, "TcpExt", "TCPWinProbe", 2}, {Client, "TcpExt", "TCPToZeroWindowAdv", 1}},
	},
	{
		Name: "slow-application", Port: 7751, act: slowApplication,
		About:    "a request is acknowledged, the answer is late",
		Story:    timelyStory(),
		Verdicts: everywhere(said("slow-application", InApplication)).held(),
	},
	{
		Name: "nagle-delayed-ack", Port: 7752, act: nagleDelayedACK,
		About:    "small writes wait for a delayed ACK",
		Story:    timelyStory(),
		Verdicts: everywhere(counted("nagle-delayed-ack", InApplication, "stalls", nagleRounds)),
		Proof:    []Count{{Server, "TcpExt", "DelayedACKs", nagleRounds}},
	},
}

// smallBuffer is a receive buffer, and with it a window, that soon is full, bytes.
var (
	smallBuffer = Option{unix.SOL_SOCKET, unix.SO_RCVBUF, 8 << 10}
	smallQueue  = Option{unix.SOL_SOCKET, unix.SO_SNDBUF, 32 << 10}
)

// zeroWindow has one end not read what the other sends, until it is told to.
func zeroWindow(server bool) func(*run) {
	return func(r *run) {
		reader, writer := r.serverPeer, r.clientPeer
		if !server {
			reader, writer = writer, reader
		}
		r.listenFor(backlog, smallBuffer)
		r.connect(smallBuffer)
		r.connected()
		r.exchange()
		sent := r.closesWindow(writer)
		r.stand()
		r.receive(reader, sent)
		r.acknowledged(writer.host)
		r.orderly(r.clientPeer, r.serverPeer)
	}
}

// closesWindow writes until the other end's window is closed and has been probed.
func (r *run) closesWindow(writer *Peer) (bytes int) {
	before := r.counter(writer.host, "TcpExt", "TCPWinProbe")
	r.options(writer, smallQueue)
	bytes = r.fill(writer)
	r.moved(writer.host, "TcpExt", "TCPWinProbe", before, 2)
	return bytes
}

func slowApplication(r *run) {
	r.establish()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.stand()
	r.delivers(r.serverPeer, r.clientPeer, responseSize)
	r.orderly(r.clientPeer, r.serverPeer)
}

const nagleRounds = 10

// lazyACK has a receiver wait for data of its own that an ACK can travel with.
var lazyACK = Option{unix.IPPROTO_TCP, unix.TCP_QUICKACK, 0}

// nagleDelayedACK: the second half of each request waits for the ACK of the first,
// which waits for the answer, which waits for the second half.
func nagleDelayedACK(r *run) {
	r.establish()
	r.exchange() // a first round-trip time
	r.options(r.clientPeer, Option{unix.IPPROTO_TCP, unix.TCP_NODELAY, 0})
	for range nagleRounds {
		r.options(r.serverPeer, lazyACK)
		r.try(func() error { return r.clientPeer.Send(r.ctx, conn, 2, requestSize/2) })
		r.receive(r.serverPeer, requestSize)
		r.send(r.serverPeer, responseSize)
		r.receive(r.clientPeer, responseSize)
	}
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}
