package lab

import (
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// cookie: a SYN cookie was sent, which may be so always.
var cookie = []Verdict{{Rule: "syn-queue-full", Place: AfterTheWire, May: true, Certainty: Probably}}

// twofold are the cases of two troubles at once.
var twofold = []Scenario{
	{
		Name: "cookie-queue-full", Port: 7771, Topology: Routed, act: acceptQueueFullCookies,
		About: "the queue is full when a SYN cookie comes back",
		Story: Story{
			Client: clientOpens.then(tcp.Close), Listener: true, ClientErrno: unix.ETIMEDOUT,
			Standing: Standing{Client: tcp.Established},
		},
		Verdicts: Verdicts{
			Client: then(said("retransmit-timeout", OnTheWay), perhaps("loss-timeouts", OnTheWay)),
			Server: then(byCounter("accept-queue-full", InApplication), cookie),
			Both: then(byCounter("accept-queue-full", InApplication), cookie,
				perhaps("retransmit-timeout", AfterTheWire), perhaps("loss-timeouts", AfterTheWire)),
			Others: []string{"syn-queue-full"},
		},
		Proof: []Count{{Server, "TcpExt", "SyncookiesSent", 3}, {Server, "TcpExt", "ListenOverflows", 2}},
	},
	{
		Name: "loss-then-reset", Port: 7772, Topology: Routed, act: lossThenReset,
		About: "time-outs, and then the peer's reset",
		Story: Story{
			Client: clientOpens.then(tcp.Close), Server: serverOpens.then(tcp.Close), Listener: true,
			ClientErrno: unix.ECONNRESET,
			Standing:    Standing{Client: tcp.Established, Server: tcp.Established},
		},
		Verdicts: Verdicts{
			Client: then(counted("loss-timeouts", OnTheWay, "timeouts", 3), said("rst-by-peer", InApplication)),
			Server: said("rst-linger", InApplication),
			Both:   then(counted("loss-timeouts", OnTheWay, "timeouts", 3), said("rst-linger", InApplication)),
		},
		Proof: []Count{{Client, "TcpExt", "TCPTimeouts", 3}, {Client, "Tcp", "EstabResets", 1}},
	},
	{
		Name: "slow-zero-window", Port: 7773, act: slowBehindZeroWindow,
		About: "an application reads late, and answers late",
		Story: timelyStory(),
		Verdicts: Verdicts{
			Client: then(said("slow-application", InApplication), said("peer-zero-window", InApplication)),
			Server: then(said("slow-application", InApplication), said("own-zero-window", InApplication)),
			Both:   then(said("slow-application", InApplication), said("own-zero-window", InApplication)),
			Held:   true,
		},
		Proof: []Count{{Client, "TcpExt", "TCPWinProbe", 2}},
	},
}

// acceptQueueFullCookies: the queue has room when the SYN comes, and none when the
// cookie does; the client believes itself connected, and nobody knows of it.
func acceptQueueFullCookies(r *run) {
	r.sysctl(r.server, "net.ipv4.tcp_syncookies", "2") // always
	r.sysctl(r.client, "net.ipv4.tcp_retries2", "2")
	r.listenFor(shortQueue)
	f := r.routerDrops("the handshake's last ACK", Rule{ToPort: r.scenario.Port, Flags: tcp.ACK})
	r.connect()
	r.try(func() error { return r.clientPeer.Outcome(r.ctx, conn) })
	r.caught(f, 1)
	r.lift(f)
	others := r.fillsQueue()
	r.send(r.clientPeer, requestSize)
	r.stand()
	r.errs(r.clientPeer, unix.ETIMEDOUT)
	others.leaves()
}

func lossThenReset(r *run) {
	r.sysctl(r.client, "net.ipv4.tcp_early_retrans", "0")
	r.establish()
	r.exchange()
	r.timesOutThrice()
	r.stand()
	r.abort(r.serverPeer)
	r.errs(r.clientPeer, unix.ECONNRESET)
}

func slowBehindZeroWindow(r *run) {
	r.listenFor(backlog, smallBuffer)
	r.connect()
	r.connected()
	sent := r.closesWindow(r.clientPeer)
	r.stand()
	r.receive(r.serverPeer, sent)
	r.acknowledged(r.client)
	r.stand()
	r.delivers(r.serverPeer, r.clientPeer, responseSize)
	r.orderly(r.clientPeer, r.serverPeer)
}
