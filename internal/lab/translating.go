package lab

import "tcpstory/internal/tcp"

// translating are the stories whose two ends see different addresses, and one of
// the bridge that such hosts often share.
var translating = []Scenario{
	{
		Name: "dnat-client", Port: 7722, Topology: Pair, act: translated(Client, Output, false),
		About: "the client's firewall translates (DNAT)",
		Story: translatedStory(true),
	},
	{
		Name: "dnat-router", Port: 7723, Topology: Routed, act: translated(Router, Prerouting, false),
		About: "a router translates (DNAT)",
		Story: translatedStory(false),
	},
	{
		Name: "dnat-server", Port: 7724, Topology: Pair, act: translated(Server, Prerouting, false),
		About: "the server's firewall translates (DNAT)",
		Story: translatedStory(false),
	},
	{
		Name: "dnat-masquerade", Port: 7725, Topology: Routed, act: translated(Router, Prerouting, true),
		About: "a router translates both ends (DNAT, SNAT)",
		Story: translatedStory(false),
	},
	{
		Name: "dnat-loopback", Port: 7726, Topology: Alone, act: translated(Client, Output, false),
		About: "the host's own firewall leads to 127.0.0.1",
		Story: translatedStory(true),
	},
	{
		Name: "hairpin", Port: 7727, Topology: Hairpin, act: translated(Router, Prerouting, true),
		About: "a router joins two neighbours (DNAT, SNAT)",
		Story: translatedStory(false),
	},
	{
		Name: "bridge", Port: 7728, Topology: Bridge, act: bridged,
		About: "client and server on one bridge",
		Story: exchangeStory(),
	},
}

func exchangeStory() Story {
	return Story{
		Client: clientOpens.then(closesFirst...), Server: serverOpens.then(closesLast...), Listener: true,
		Standing: Standing{Client: tcp.Established, Server: tcp.Established},
		Packets:  ">S <S. >. >P. <. <P. >. >F. <. <F. >.",
	}
}

func translatedStory(atClient bool) Story {
	s := exchangeStory()
	s.Translated, s.TranslatedAtClient = true, atClient
	return s
}

func bridged(r *run) {
	r.establish()
	r.exchange()
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

// translated has one host's firewall lead the virtual address to the server; with
// masquerade, the server sees that host in the client's place.
func translated(host string, hook Hook, masquerade bool) func(*run) {
	return func(r *run) {
		h := r.lab.Host(host)
		r.breaks("the "+host+"'s firewall leads the virtual address to the server", h, Rule{
			Hook: hook, ToPort: r.scenario.Port, To: r.target().Addr(),
			Action: Translate, Target: r.accepting(),
		})
		if masquerade {
			r.breaks("and puts its own address in the client's place", h,
				Rule{Hook: Postrouting, ToPort: r.scenario.Port, Action: Masquerade})
		}
		bridged(r)
	}
}
