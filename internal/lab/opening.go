package lab

import (
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// synCount 1 is the fewest SYN retransmissions; with the kernel's linear
// time-outs a connection attempt then ends after 3 s.
var synCount = Option{unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1}

// opening are the stories of how a connection begins, or does not.
var opening = []Scenario{
	{
		Name: "handshake", Port: 7701, act: handshake,
		About: "connect to a listener",
		Story: Story{
			Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
			Standing: Standing{Client: tcp.Established, Server: tcp.Established},
			Packets:  ">S <S. >. >F. <. <F. >.",
		},
	},
	{
		Name: "syn-sent", Port: 7702, act: synSent,
		About: "the server's firewall drops the SYN",
		Verdicts: Verdicts{
			Client: counted("syn-unanswered", OnTheWay, "syns", 2),
			Server: said("syn-dropped-locally", AfterTheWire),
			Both:   said("syn-dropped-locally", AfterTheWire),
		},
		Story: Story{
			Client: Path{tcp.Close, tcp.SynSent, tcp.Close}, Listener: true,
			Standing:    Standing{Client: tcp.SynSent},
			Packets:     ">S (>S)+",
			ClientErrno: unix.ETIMEDOUT,
			Facts: []Fact{
				{Host: Server, Kind: tcp.KindDrop, Reason: "NETFILTER_DROP"},
				{Host: Client, Kind: tcp.KindRetransmit, Again: tcp.RetransmitSYN},
				{Host: Client, Kind: tcp.KindSocketError, Errno: unix.ETIMEDOUT},
			},
		},
	},
	{
		Name: "syn-recv", Port: 7703, act: synRecv,
		About: "the client's firewall drops the SYN-ACK",
		Verdicts: Verdicts{
			Client: said("synack-dropped-locally", AfterTheWire),
			Server: said("synack-unanswered", OnTheWay),
			Both:   said("synack-dropped-locally", AfterTheWire),
		},
		Story: Story{
			Client: Path{tcp.Close, tcp.SynSent, tcp.Close}, Listener: true,
			Standing:    Standing{Client: tcp.SynSent, Server: tcp.SynRecv},
			Packets:     ">S <S. (>S|<S.)+",
			ClientErrno: unix.ETIMEDOUT,
			Facts: []Fact{
				{Host: Client, Kind: tcp.KindDrop, Reason: "NETFILTER_DROP"},
				{Host: Client, Kind: tcp.KindRetransmit, Again: tcp.RetransmitSYN},
				{Host: Server, Kind: tcp.KindSynAckAgain},
				{Host: Client, Kind: tcp.KindSocketError, Errno: unix.ETIMEDOUT},
			},
		},
	},
}

func handshake(r *run) {
	r.establish()
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

// orderly closes both ends, the second when the first one's FIN is known to be
// acknowledged: so that ACK is a packet of its own.
func (r *run) orderly(first, second *Peer) {
	r.close(first)
	r.await(first.host, tcp.FinWait2)
	r.close(second)
}

func synSent(r *run) {
	r.breaks("the server's firewall drops what comes to the port", r.server,
		Rule{Hook: Input, ToPort: r.scenario.Port})
	r.listen()
	r.connect(synCount)
	r.stand()
	r.fails()
}

func synRecv(r *run) {
	r.sysctl(r.server, "net.ipv4.tcp_synack_retries", "1")
	r.breaks("the client's firewall drops what comes from the port", r.client,
		Rule{Hook: Input, FromPort: r.scenario.Port})
	r.listen()
	r.connect(synCount)
	r.stand()
	r.fails()
}
