package lab

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// never is the client's path when no connection comes about.
var never = Path{tcp.Close, tcp.SynSent, tcp.Close}

// unanswered are the cases of a SYN that finds no way, there or back.
var unanswered = []Scenario{
	{
		Name: "syn-lost", Port: 7731, Topology: Routed, act: handshakeLoses(tcp.SYN, false),
		About:    "the SYN is lost on the way",
		Story:    timesOut(tcp.StateUnknown).wire(">S (>S)+", nothing),
		Verdicts: atClient(counted("syn-unanswered", OnTheWay, "syns", 3)),
		Proof:    []Count{{Client, "TcpExt", "TCPSynRetrans", 1}},
	},
	{
		Name: "synack-lost", Port: 7732, Topology: Routed, act: handshakeLoses(tcp.SYN|tcp.ACK, true),
		About: "the SYN-ACK is lost on the way back",
		Story: timesOut(tcp.SynRecv).wire(">S (>S)+", ">S <S. (>S|<S.)+"),
		Verdicts: Verdicts{
			Client: counted("syn-unanswered", OnTheWay, "syns", 3),
			Server: said("synack-unanswered", OnTheWay),
			Both:   said("synack-unanswered", OnTheWay),
		},
		Proof: []Count{{Client, "TcpExt", "TCPSynRetrans", 1}, {Server, "Tcp", "RetransSegs", 1}},
	},
	{
		Name: "no-neighbour", Port: 7733, act: noNeighbour,
		About:    "nobody answers ARP or neighbour discovery",
		Story:    Story{Client: never, ClientErrno: unix.EHOSTUNREACH}.wire(nothing, nothing),
		Verdicts: atClient([]Verdict{{Rule: "neighbour-unresolved", Place: BeforeTheWire, Certainty6: Probably}}), // IPv6's drop has no reason
	},
	{
		Name: "no-route", Port: 7734, act: noRoute(unix.RTN_THROW, unix.ENETUNREACH),
		About:    "connect finds no route",
		Verdicts: atClient(needing("connect-failed", "no-route")),
	},
	{
		Name: "route-prohibited", Port: 7735, act: noRoute(unix.RTN_PROHIBIT, unix.EACCES),
		About:    "connect finds a route that prohibits it",
		Verdicts: atClient(needing("connect-failed", "no-route")),
	},
	{
		Name: "no-free-port", Port: 7736, act: noFreePort,
		About:    "connect finds no free port",
		Verdicts: atClient([]Verdict{{Rule: "no-free-port", Place: BeforeTheWire, Certainty: Probably, SureBy: "connect-failed"}}),
	},
	{
		Name: "host-unreachable", Port: 7737, Topology: Routed, act: hostUnreachable,
		About:    "no ARP answer to a router: host unreachable",
		Story:    Story{Client: never, ClientErrno: unix.EHOSTUNREACH}.wire(">S (>S)* (<icmp)+", nothing),
		Verdicts: atClient(said("unreachable", OnTheWay)),
	},
	{
		Name: "net-unreachable", Port: 7738, Topology: Routed, act: netUnreachable,
		About:    "a router has no route: net unreachable",
		Story:    Story{Client: never, ClientErrno: unix.ENETUNREACH}.wire(">S <icmp (>S <icmp)?", nothing),
		Verdicts: atClient(said("unreachable", OnTheWay)),
	},
	{
		Name: "router-prohibits", Port: 7739, Topology: Routed, act: routerProhibits,
		About:    "a router's firewall answers ICMP prohibited",
		Story:    Story{Client: never, ClientErrno: unix.EHOSTUNREACH, ClientErrno6: unix.EACCES}.wire(">S <icmp (>S <icmp)?", nothing),
		Verdicts: atClient(said("prohibited", OnTheWay)),
	},
	{
		Name: "refused-behind-nat", Port: 7740, Topology: Routed, act: refusedBehindNAT,
		About: "a router translates, and nobody listens",
		Story: Story{
			Client: never, ClientErrno: unix.ECONNREFUSED, Translated: true,
		}.wire(">S <R.", ">S <R."),
		Verdicts: everywhere(said("refused", InApplication)),
		Proof:    []Count{{Server, "Tcp", "OutRsts", 1}},
	},
}

// timesOut is the story of a SYN that is never answered, with the server's socket
// as it is meanwhile.
func timesOut(server tcp.State) Story {
	return Story{
		Client: never, Listener: true, ClientErrno: unix.ETIMEDOUT,
		Standing: Standing{Client: tcp.SynSent, Server: server},
	}
}

// needing is a verdict on what connect() does before any SYN.
func needing(event, rule string) []Verdict {
	return []Verdict{{Rule: rule, Place: BeforeTheWire, Needs: event}}
}

// handshakeLoses has the router drop one packet of the handshake, each time.
func handshakeLoses(flags tcp.Flags, back bool) func(*run) {
	return func(r *run) {
		rule := Rule{ToPort: r.scenario.Port, Flags: flags}
		if back {
			rule.FromPort, rule.ToPort = rule.ToPort, 0
			r.sysctl(r.server, "net.ipv4.tcp_synack_retries", "1")
		}
		r.routerDrops(flags.String()+" packets", rule)
		r.listen()
		r.connect(synCount)
		r.stand()
		r.fails()
	}
}

// hurries makes a host give up a silent neighbour after 3 × 200 ms.
func (r *run) hurries(h *Host, device string) {
	r.sysctl(h, "net.ipv4.neigh."+device+".retrans_time_ms", "200")
	r.sysctl(h, "net.ipv6.neigh."+device+".retrans_time_ms", "200")
}

func noNeighbour(r *run) {
	r.hurries(r.client, r.client.device)
	r.aims("10.77.0.9", "fd77::9")
	r.connect()
	r.fails()
	r.stand()
}

func hostUnreachable(r *run) {
	r.hurries(r.router(), "veth1")
	r.aims("10.77.1.9", "fd77:0:0:1::9")
	r.connect()
	r.fails()
	r.stand()
}

func netUnreachable(r *run) {
	r.aims(Virtual4.String(), Virtual6.String())
	r.connect()
	r.fails()
}

func routerProhibits(r *run) {
	r.breaks("the router's firewall rejects what goes to the port by an ICMP error", r.router(),
		Rule{Hook: Forward, ToPort: r.scenario.Port, Action: RejectProhibited})
	r.listen()
	r.connect()
	r.fails()
}

// noRoute leads the virtual address nowhere, in one of the ways there are.
func noRoute(kind int, want unix.Errno) func(*run) {
	return func(r *run) {
		r.aims(Virtual4.String(), Virtual6.String())
		r.tell("the client has no route to %s", r.absent)
		r.try(func() error { return r.client.misroute(r, kind) })
		r.failsAtOnce(conn, want)
		r.try(func() error { return r.clientPeer.CloseSocket(r.ctx, conn) })
	}
}

func (h *Host) misroute(r *run, kind int) error {
	nowhere := &netlink.Route{Dst: ipNet(prefixOf(r.absent)), Type: kind}
	r.undo = append(r.undo, func() error {
		return h.route(func(nl router) error { return wrap(nl.RouteDel(nowhere), "remove a route on the "+h.name) })
	})
	return h.route(func(nl router) error { return wrap(nl.RouteAdd(nowhere), "add a route on the "+h.name) })
}

// onlyPort is the one that the client may take.
const onlyPort = "45000 45000"

func noFreePort(r *run) {
	const second = "second"
	r.sysctl(r.client, "net.ipv4.ip_local_port_range", onlyPort)
	r.establish()
	r.failsAtOnce(second, unix.EADDRNOTAVAIL)
	r.try(func() error { return r.clientPeer.CloseSocket(r.ctx, second) })
	r.orderly(r.clientPeer, r.serverPeer)
}

func refusedBehindNAT(r *run) {
	r.breaks("the router leads the virtual address to the server", r.router(), Rule{
		Hook: Prerouting, ToPort: r.scenario.Port, To: r.target().Addr(), Action: Translate, Target: r.accepting(),
	})
	r.connect()
	r.fails()
}
