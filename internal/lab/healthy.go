package lab

import (
	"time"

	"tcpstory/internal/tcp"
)

// healthy are cases of nothing wrong at all, though some look like trouble. All
// else of ordinary traffic is in a load (LoadOptions.Shapes).
var healthy = []Scenario{
	{
		Name: "keepalive-answered", Port: 7781, act: keepaliveAnswered,
		About: "an idle connection, keepalives are answered",
		Story: timelyStory(),
		Proof: []Count{{Client, "TcpExt", "TCPKeepAlive", 1}},
	},
	{
		Name: "long-poll", Port: 7782, act: longPoll,
		About: "an answer that takes 2.4 s, as it may",
		Story: timelyStory(),
	},
	{
		Name: "half-closed", Port: 7783, act: halfClosed,
		About: "a client with no more to say listens on",
		Story: timelyStory(),
	},
	{
		Name: "bulk", Port: 7784, act: bulk,
		About: "4 MB one way, read as they come",
		Story: timelyStory(),
	},
	{
		Name: "many-requests", Port: 7785, act: manyRequests,
		About: "100 small requests on one connection",
		Story: timelyStory(),
	},
	{
		Name: "slow-but-fine", Port: 7786, Topology: Routed, act: slowButFine,
		About: "a reader slower than its writer, not full",
		Story: timelyStory(),
	},
	{
		Name: "brief-close-wait", Port: 7787, act: briefCloseWait,
		About: "a client that takes 2.4 s to close, as it may",
		Story: Story{
			Client: clientOpens.then(closesLast...), Server: serverOpens.then(closesFirst...), Listener: true,
			Standing: Standing{Client: tcp.CloseWait, Server: tcp.FinWait2},
		},
	},
}

// shortOfTrouble is a fifth less than 3 s, after which a bad condition is told of.
const shortOfTrouble = 2400 * time.Millisecond

func keepaliveAnswered(r *run) {
	r.establish()
	r.exchange()
	before := r.counter(r.client, "TcpExt", "TCPKeepAlive")
	r.options(r.clientPeer, keepalive...)
	r.moved(r.client, "TcpExt", "TCPKeepAlive", before, 1)
	r.exchange()
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

func longPoll(r *run) {
	r.establish()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.passes(shortOfTrouble)
	r.delivers(r.serverPeer, r.clientPeer, responseSize)
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

func halfClosed(r *run) {
	r.establish()
	r.stand()
	r.send(r.clientPeer, requestSize)
	r.shutdown(r.clientPeer)
	r.receive(r.serverPeer, requestSize)
	for range 8 {
		r.send(r.serverPeer, responseSize)
		r.receive(r.clientPeer, responseSize)
		r.passes(500 * time.Millisecond)
	}
	r.close(r.serverPeer)
	r.await(r.client, tcp.TimeWait)
	r.close(r.clientPeer)
}

func bulk(r *run) {
	const rounds, pieces, size = 128, 2, 16 << 10
	r.establish()
	for range rounds {
		r.try(func() error { return r.clientPeer.Send(r.ctx, conn, pieces, size) })
		r.try(func() error { return r.serverPeer.Receive(r.ctx, conn, pieces*size) })
	}
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

func manyRequests(r *run) {
	r.establish()
	r.options(r.clientPeer, noDelay)
	r.options(r.serverPeer, noDelay)
	for range 100 {
		r.try(func() error { return r.clientPeer.Send(r.ctx, conn, 1, requestSize) })
		r.try(func() error { return r.serverPeer.Receive(r.ctx, conn, requestSize) })
		r.try(func() error { return r.serverPeer.Send(r.ctx, conn, 1, responseSize) })
		r.try(func() error { return r.clientPeer.Receive(r.ctx, conn, responseSize) })
	}
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

// slowButFine: what lies unread grows, and is less than the window.
func slowButFine(r *run) {
	const pieces, size = 20, 1000
	r.establish()
	for range pieces {
		r.send(r.serverPeer, size)
	}
	r.stand()
	r.passes(500 * time.Millisecond)
	r.receive(r.clientPeer, pieces*size)
	r.orderly(r.clientPeer, r.serverPeer)
}

func briefCloseWait(r *run) {
	r.establish()
	r.exchange()
	r.shutdown(r.serverPeer)
	r.stand()
	r.passes(shortOfTrouble)
	r.close(r.clientPeer)
}
