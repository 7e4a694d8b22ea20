package lab

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// refusing are the stories of firewalls that let no connection begin.
var refusing = []Scenario{
	{
		Name: "local-output-drop", Port: 7719, act: localOutputDrop,
		About: "the client's own firewall drops its SYN",
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
		About: "a firewall answers ICMP host unreachable",
		Story: icmpStory(unix.EHOSTUNREACH, unix.EHOSTUNREACH),
	},
	{
		Name: "icmp-prohibited", Port: 7721, act: rejected(RejectProhibited),
		About: "a firewall answers ICMP prohibited",
		Story: icmpStory(unix.EHOSTUNREACH, unix.EACCES),
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

// translating are the stories whose two ends see different addresses.
var translating = []Scenario{
	{
		Name: "dnat-client", Port: 7722, Topology: Pair, act: translated(Client, Output),
		About: "the client's firewall translates (DNAT)",
		Story: translatedStory(true),
	},
	{
		Name: "dnat-router", Port: 7723, Topology: Routed, act: translated(Router, Prerouting),
		About: "a router translates (DNAT)",
		Story: translatedStory(false),
	},
	{
		Name: "dnat-server", Port: 7724, Topology: Pair, act: translated(Server, Prerouting),
		About: "the server's firewall translates (DNAT)",
		Story: translatedStory(false),
	},
}

func translatedStory(atClient bool) Story {
	return Story{
		Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
		Standing:   Standing{Client: tcp.Established, Server: tcp.Established},
		Packets:    ">S <S. >. >P. <. <P. >. >F. <. <F. >.",
		Translated: true, TranslatedAtClient: atClient,
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
		r.connect(Option{})
		r.fails()
		r.stand()
	}
}

// translated has one host's firewall lead the virtual address to the server.
func translated(host string, hook Hook) func(*run) {
	return func(r *run) {
		r.breaks("the "+host+"'s firewall leads the virtual address to the server", r.lab.Host(host), Rule{
			Hook: hook, ToPort: r.scenario.Port, To: r.target().Addr(),
			Action: Translate, Target: netip.AddrPortFrom(r.server.Addr(r.family), r.scenario.Port),
		})
		r.establish()
		r.exchange()
		r.stand()
		r.orderly(r.clientPeer, r.serverPeer)
	}
}
