package lab

import (
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// refusing are the stories of firewalls that let no connection begin.
var refusing = []Scenario{
	{
		Name: "local-output-drop", Port: 7719, act: localOutputDrop,
		About:    "the client's own firewall drops its SYN",
		Verdicts: atClient(said("syn-blocked-locally", BeforeTheWire)),
		Story: Story{
			Client: Path{tcp.Close, tcp.SynSent, tcp.Close}, Listener: true,
			Standing:    Standing{Client: tcp.SynSent},
			ClientErrno: unix.ETIMEDOUT,
			Facts: []Fact{
				{Host: Client, Kind: tcp.KindDrop, Reason: "NETFILTER_DROP"},
				{Host: Client, Kind: tcp.KindSocketError, Errno: unix.ETIMEDOUT},
			},
		},
	},
	{
		Name: "icmp-unreachable", Port: 7720, act: rejected(RejectHostUnreachable),
		About:    "a firewall answers ICMP host unreachable",
		Verdicts: rejectedHere("unreachable"),
		Story:    icmpStory(unix.EHOSTUNREACH, unix.EHOSTUNREACH),
	},
	{
		Name: "icmp-prohibited", Port: 7721, act: rejected(RejectProhibited),
		About:    "a firewall answers ICMP prohibited",
		Verdicts: rejectedHere("prohibited"),
		Story:    icmpStory(unix.EHOSTUNREACH, unix.EACCES),
	},
}

// icmpStory: an error that arrives while connect holds its socket is only
// noted, so that usually the answer to the second SYN ends the attempt.
func icmpStory(errno4, errno6 unix.Errno) Story {
	return Story{
		Client: Path{tcp.Close, tcp.SynSent, tcp.Close}, Listener: true,
		Packets:     ">S <icmp (>S <icmp)?",
		ClientErrno: errno4, ClientErrno6: errno6,
		Facts: []Fact{{Host: Server, Kind: tcp.KindDrop, Reason: "NETFILTER_DROP"}},
	}
}

// rejectedHere: the client is told that, and who sees the server's host knows by whom.
func rejectedHere(rule string) Verdicts {
	return Verdicts{
		Client: said(rule, OnTheWay),
		Server: said("syn-dropped-locally", AfterTheWire),
		Both:   then(said("syn-dropped-locally", AfterTheWire), perhaps(rule, OnTheWay)),
	}
}

func localOutputDrop(r *run) {
	r.breaks("the client's own firewall drops what goes to the port", r.client,
		Rule{Hook: Output, ToPort: r.scenario.Port})
	r.listen()
	r.connect(synCount)
	r.stand()
	r.fails()
}

func rejected(how Action) func(*run) {
	return func(r *run) {
		r.breaks("the server's firewall rejects what comes to the port by an ICMP error", r.server,
			Rule{Hook: Input, ToPort: r.scenario.Port, Action: how})
		r.listen()
		r.connect()
		r.fails()
		r.stand()
	}
}
