package lab

import (
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// dying are the stories of connections that end by a reset or a time-out.
var dying = []Scenario{
	{
		Name: "refused", Port: 7712, act: refused,
		About:    "nobody listens: a RST answers the SYN",
		Verdicts: everywhere(said("refused", InApplication)),
		Story: Story{
			Client:      Path{tcp.Close, tcp.SynSent, tcp.Close},
			Packets:     ">S <R.",
			ClientErrno: unix.ECONNREFUSED,
			Facts: []Fact{
				{Host: Server, Kind: tcp.KindSendReset, Reason: "NO_SOCKET"},
				{Host: Client, Kind: tcp.KindReceiveReset},
				{Host: Client, Kind: tcp.KindSocketError, Errno: unix.ECONNREFUSED},
			},
		},
	},
	{
		Name: "abort", Port: 7713, act: abort,
		About: "the client aborts by a RST (SO_LINGER 0)", // nothing was said: no more than a health check
		Story: Story{
			Client: clientOpens.then(tcp.Close), Server: serverOpens.then(tcp.Close), Listener: true,
			Standing:    Standing{Client: tcp.Established, Server: tcp.Established},
			Packets:     ">S <S. >. >R.",
			ServerErrno: unix.ECONNRESET,
			Facts: []Fact{
				{Host: Client, Kind: tcp.KindSendReset},
				{Host: Server, Kind: tcp.KindReceiveReset},
				{Host: Server, Kind: tcp.KindSocketError, Errno: unix.ECONNRESET},
			},
		},
	},
	{
		Name: "reset-unread", Port: 7714, act: resetUnread,
		About: "closing with unread data: a RST, not a FIN",
		Verdicts: Verdicts{
			Client: said("rst-by-peer", InApplication),
			Server: said("rst-unread-data", InApplication),
			Both:   said("rst-unread-data", InApplication),
		},
		Story: Story{
			Client: clientOpens.then(tcp.Close), Server: serverOpens.then(tcp.Close), Listener: true,
			Standing:    Standing{Client: tcp.Established, Server: tcp.Established},
			Packets:     ">S <S. >. >P. <. <R.",
			ClientErrno: unix.ECONNRESET,
			Facts: []Fact{
				{Host: Server, Kind: tcp.KindSendReset, Reason: "TCP_ABORT_ON_CLOSE"},
				{Host: Client, Kind: tcp.KindReceiveReset},
				{Host: Client, Kind: tcp.KindSocketError, Errno: unix.ECONNRESET},
			},
		},
	},
	{
		Name: "keepalive-death", Port: 7715, act: keepaliveDeath,
		About: "the peer is cut off: keepalive gives up",
		Verdicts: Verdicts{
			Client: then(said("keepalive-death", OnTheWay), perhaps("rst-no-socket", AfterTheWire)),
			Server: then(perhaps("dropped-locally", AfterTheWire), perhaps("rst-by-peer", InApplication)),
			Both: then(said("keepalive-death", AfterTheWire), perhaps("dropped-locally", AfterTheWire),
				perhaps("rst-no-socket", AfterTheWire), perhaps("rst-by-peer", InApplication)),
		},
		Story: Story{
			Client: clientOpens.then(tcp.Close), Server: serverOpens.then(tcp.FinWait1, tcp.Close), Listener: true,
			Standing:    Standing{Server: tcp.Established},
			Packets:     ">S <S. >. (>.)+ >R. <F. >R",
			ClientErrno: unix.ETIMEDOUT, ServerErrno: unix.ECONNRESET,
			Facts: []Fact{
				{Host: Server, Kind: tcp.KindDrop, Reason: "NETFILTER_DROP"},
				{Host: Client, Kind: tcp.KindSendReset, Reason: "TCP_KEEPALIVE_TIMEOUT"},
				{Host: Client, Kind: tcp.KindSocketError, Errno: unix.ETIMEDOUT},
				{Host: Server, Kind: tcp.KindReceiveReset},
			},
		},
	},
}

// losing are the stories of lost segments that come again.
var losing = []Scenario{
	{
		Name: "retransmit", Port: 7716, act: retransmit,
		About: "a segment is lost twice: time-outs (RTO)",
		Verdicts: Verdicts{
			Client: counted("loss-timeouts", OnTheWay, "timeouts", 2),
			Server: perhaps("dropped-locally", AfterTheWire),
			Both: then(counted("loss-timeouts", AfterTheWire, "timeouts", 2),
				perhaps("dropped-locally", AfterTheWire)),
		},
		Story: Story{
			Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
			Standing: Standing{Client: tcp.Established, Server: tcp.Established},
			Packets:  ">S <S. >. >P. >P. >P. <. >F. <. <F. >.",
			Facts:    lossFacts(tcp.RetransmitRTO),
		},
	},
	{
		Name: "fast-retransmit", Port: 7717, act: fastRetransmit,
		About: "one of many segments is lost: fast retransmit",
		Verdicts: Verdicts{ // one loss is nothing, the firewall may be something
			Server: perhaps("dropped-locally", AfterTheWire),
			Both:   perhaps("dropped-locally", AfterTheWire),
		},
		Story: Story{
			Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
			Standing: Standing{Client: tcp.Established, Server: tcp.Established},
			// The first of eight is lost; ACKs come between, as they can.
			Packets: ">S <S. >. >P. (>P.|<.){9,20} >F. <. <F. >.",
			Facts:   lossFacts(tcp.RetransmitFast),
		},
	},
	{
		Name: "tail-loss", Port: 7718, act: tailLoss,
		About: "the last segment is lost: tail loss probe (TLP)",
		Story: Story{
			Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
			Standing: Standing{Client: tcp.Established, Server: tcp.Established},
			Packets:  ">S <S. >. >P. <. >P. >P. <. >F. <. <F. >.",
			Facts:    lossFacts(tcp.RetransmitTLP),
		},
	},
}

func lossFacts(again tcp.RetransmitKind) []Fact {
	return []Fact{
		{Host: Server, Kind: tcp.KindDrop, Reason: "NETFILTER_DROP"},
		{Host: Client, Kind: tcp.KindRetransmit, Again: again},
	}
}

func refused(r *run) {
	r.tell("nobody listens on %s", r.accepting())
	r.connect()
	r.fails()
	r.stand()
}

func abort(r *run) {
	r.establish()
	r.stand()
	r.abort(r.clientPeer)
	r.errs(r.serverPeer, unix.ECONNRESET)
}

func resetUnread(r *run) {
	r.establish()
	r.send(r.clientPeer, requestSize)
	r.arrived(r.server, requestSize)
	r.acknowledged(r.client)
	r.stand()
	r.close(r.serverPeer)
	r.errs(r.clientPeer, unix.ECONNRESET)
}

// keepalive gives up after one unanswered probe, two seconds from now.
var keepalive = []Option{
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 1},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
}

func keepaliveDeath(r *run) {
	r.establish()
	f := r.breaks("the server's firewall drops what comes to the port", r.server,
		Rule{Hook: Input, ToPort: r.scenario.Port})
	r.tell("the client turns on keepalive: a probe after 1 s, one more second to answer")
	for _, opt := range keepalive {
		r.try(func() error { return r.clientPeer.SetOption(r.ctx, conn, opt) })
	}
	r.errs(r.clientPeer, unix.ETIMEDOUT)
	r.stand()
	r.lift(f)
	r.close(r.serverPeer)
}

// loses has the server's firewall drop the next n segments with data.
func (r *run) loses(n uint32) *Fault {
	return r.breaks("the server's firewall drops what comes next with data", r.server,
		Rule{Hook: Input, ToPort: r.scenario.Port, Data: true, First: n})
}

func retransmit(r *run) {
	r.sysctl(r.client, "net.ipv4.tcp_early_retrans", "0") // no tail loss probe first
	r.establish()
	f := r.loses(2)
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.caught(f, 2)
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

func fastRetransmit(r *run) {
	const pieces = 8
	r.establish()
	r.loses(1)
	r.sendPieces(r.clientPeer, pieces, requestSize)
	r.receive(r.serverPeer, pieces*requestSize)
	r.acknowledged(r.client)
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

func tailLoss(r *run) {
	r.establish()
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	f := r.loses(1)
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.caught(f, 1)
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}
