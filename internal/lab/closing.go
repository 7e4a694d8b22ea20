package lab

import "tcpstory/internal/tcp"

// request and response of the stories that exchange data, bytes.
const (
	requestSize  = 100
	responseSize = 200
)

// closing are the stories of an orderly end, and of ends that hang.
var closing = []Scenario{
	{
		Name: "close-server-first", Port: 7704, act: closeServerFirst,
		About: "the server closes, then the client",
		Story: Story{
			Client: clientOpens.then(closesLast...), Server: serverOpens.then(closesFirst...), Listener: true,
			Standing: Standing{Client: tcp.CloseWait, Server: tcp.FinWait2},
			Packets:  ">S <S. >. >P. <. <P. >. <F. >. >F. <.",
		},
	},
	{
		Name: "close-client-first", Port: 7705, act: closeClientFirst,
		About: "the client closes, then the server",
		Story: Story{
			Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
			Standing: Standing{Client: tcp.FinWait2, Server: tcp.CloseWait},
			Packets:  ">S <S. >. >P. <. <P. >. >F. <. <F. >.",
		},
	},
	{
		Name: "fin-wait1", Port: 7706, act: finWait1,
		About: "the client's firewall drops the server's FIN",
		Verdicts: Verdicts{
			Client: perhaps("dropped-locally", AfterTheWire),
			Server: said("fin-wait1-unanswered", OnTheWay),
			Both:   said("fin-wait1-unanswered", AfterTheWire),
			Held:   true,
		},
		Story: Story{
			Client: clientOpens.then(closesLast...), Server: serverOpens.then(closesFirst...), Listener: true,
			Standing: Standing{Client: tcp.Established, Server: tcp.FinWait1},
			Packets:  ">S <S. >. <F. (<F.)+ >. >F. <.",
			Facts: []Fact{
				{Host: Client, Kind: tcp.KindDrop, Reason: "NETFILTER_DROP"},
				{Host: Server, Kind: tcp.KindRetransmit},
			},
		},
	},
	{
		Name: "fin-wait2", Port: 7707, act: finWait2,
		About: "the server closes, the client does not",
		Verdicts: Verdicts{
			Client: said("close-wait-leak", InApplication),
			Server: said("fin-wait2-stuck", InApplication),
			Both:   then(said("close-wait-leak", InApplication), perhaps("fin-wait2-stuck", InApplication)),
			Held:   true,
		},
		Story: Story{
			Client: clientOpens.then(closesLast...), Server: serverOpens.then(closesFirst...), Listener: true,
			Standing: Standing{Client: tcp.CloseWait, Server: tcp.FinWait2},
			Packets:  ">S <S. >. <F. >. >F. <.",
		},
	},
	{
		Name: "last-ack", Port: 7708, act: lastAck,
		About:    "the last ACK of a close is dropped",
		Verdicts: atClient(said("last-ack-unanswered", AfterTheWire)).held(),
		Story: Story{
			Client: clientOpens.then(closesLast...), Server: serverOpens.then(closesFirst...), Listener: true,
			Standing: Standing{Client: tcp.LastAck, Server: tcp.TimeWait},
			// TIME_WAIT answers a repeated FIN only so often (tcp_invalid_ratelimit).
			Packets: ">S <S. >. <F. >. >F. <. (>F. (<.)?)+",
			Facts: []Fact{
				{Host: Client, Kind: tcp.KindDrop, Reason: "NETFILTER_DROP"},
				{Host: Client, Kind: tcp.KindRetransmit},
			},
		},
	},
	{
		Name: "closing", Port: 7709, act: bothClose,
		About: "both close at once, the FINs cross",
		Story: Story{
			Client:   clientOpens.then(tcp.FinWait1, tcp.Closing, tcp.Close),
			Server:   serverOpens.then(tcp.FinWait1, tcp.Closing, tcp.Close),
			Listener: true,
			Standing: Standing{Client: tcp.FinWait1, Server: tcp.Closing},
			// The client's FIN comes again, and is answered again, if the moment
			// lasts longer than its time-out. On its way from the queue, the
			// server's ACK can be overtaken.
			Packets:  ">S <S. >. (>F.)+ <F. >. (<.)+",
			AtServer: ">S <S. >. (>F.)+ <F. ((<.)+ >. (<.)*|>. (<.)+)",
		},
	},
	{
		Name: "time-wait", Port: 7710, act: timeWait,
		About: "who closes first is left in TIME_WAIT",
		Story: Story{
			Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
			Standing: Standing{Client: tcp.TimeWait},
			Packets:  ">S <S. >. >F. <. <F. >.",
		},
	},
	{
		Name: "keepalive-timeout", Port: 7711, act: keepaliveTimeout,
		About: "nginx closes an idle HTTP connection",
		Story: Story{
			Client: clientOpens.then(closesLast...), Server: serverOpens.then(closesFirst...), Listener: true,
			Standing: Standing{Client: tcp.CloseWait, Server: tcp.FinWait2},
			Packets:  ">S <S. >. >P. <. <P. >. <F. >. >F. <.",
		},
	},
}

// exchange is a request and its response.
func (r *run) exchange() {
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.delivers(r.serverPeer, r.clientPeer, responseSize)
}

func closeServerFirst(r *run) {
	r.establish()
	r.exchange()
	r.close(r.serverPeer)
	r.stand()
	r.close(r.clientPeer)
}

func closeClientFirst(r *run) {
	r.establish()
	r.exchange()
	r.close(r.clientPeer)
	r.stand()
	r.close(r.serverPeer)
}

func finWait1(r *run) {
	r.establish()
	f := r.breaks("the client's firewall drops the server's FIN", r.client,
		Rule{Hook: Input, FromPort: r.scenario.Port, Flags: tcp.FIN})
	r.close(r.serverPeer)
	r.caught(f, 2)
	r.stand()
	r.lift(f)
	r.await(r.client, tcp.CloseWait)
	r.await(r.server, tcp.FinWait2)
	r.close(r.clientPeer)
}

func finWait2(r *run) {
	r.establish()
	r.shutdown(r.serverPeer)
	r.stand()
	r.close(r.clientPeer)
}

func lastAck(r *run) {
	r.establish()
	r.close(r.serverPeer)
	r.await(r.client, tcp.CloseWait)
	r.await(r.server, tcp.FinWait2)
	f := r.breaks("the client's firewall drops what comes from the port", r.client,
		Rule{Hook: Input, FromPort: r.scenario.Port})
	r.close(r.clientPeer)
	r.stand()
	r.caught(f, 2)
	r.lift(f)
}

func bothClose(r *run) {
	r.establish()
	r.holdLink()
	r.shutdown(r.clientPeer)
	r.shutdown(r.serverPeer)
	r.await(r.client, tcp.FinWait1)
	r.await(r.server, tcp.FinWait1)
	r.release(r.client, r.server)
	r.stand()
	r.release(r.server, r.client)
}

func timeWait(r *run) {
	r.establish()
	r.orderly(r.clientPeer, r.serverPeer)
	r.stand()
	if s, err := r.socket(r.client); err == nil {
		r.tell("TIME_WAIT has %v left", s.Expires)
	}
}
