package lab

import (
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// arriving are the cases of segments that arrive at the server's device, and that its
// kernel does not take.
var arriving = []Scenario{
	{
		Name: "rp-filter-syn", Port: 7791, Topology: Routed, act: reversePathSyn,
		About: "the way back to the client is another: SYN",
		Story: timesOut(tcp.StateUnknown).wire(">S (>S)+", ">S (>S)+"),
		Verdicts: Verdicts{
			Client: counted("syn-unanswered", OnTheWay, "syns", 3),
			Server: byReversePath("syn-dropped-locally"),
			Both:   byReversePath("syn-dropped-locally"),
		},
	},
	{
		Name: "rp-filter", Port: 7792, Topology: Routed, act: reversePath,
		About: "the way back to the client becomes another",
		Story: timelyStory(),
		Verdicts: Verdicts{
			Client: said("loss-timeouts", OnTheWay),
			Server: byReversePath("dropped-locally"),
			Both:   then(said("loss-timeouts", AfterTheWire), byReversePath("dropped-locally")),
		},
		Proof: []Count{{Client, "TcpExt", "TCPTimeouts", untaken}},
	},
	{
		Name: "bad-checksum-syn", Port: 7793, Topology: Routed, act: badChecksumSyn,
		About: "SYNs come with a wrong checksum",
		Story: timesOut(tcp.StateUnknown).wire(">S (>S)+", ">S (>S)+"),
		Verdicts: Verdicts{
			Client: counted("syn-unanswered", OnTheWay, "syns", 3),
			Server: because("syn-dropped-locally", AfterTheWire, "TCP_CSUM"),
			Both:   because("syn-dropped-locally", AfterTheWire, "TCP_CSUM"),
		},
		Proof: []Count{{Server, "Tcp", "InCsumErrors", 2}},
	},
	{
		Name: "bad-checksum", Port: 7794, Topology: Routed, act: badChecksum,
		About: "segments come with a wrong checksum",
		Story: timelyStory(),
		Verdicts: Verdicts{
			Client: counted("loss-timeouts", OnTheWay, "timeouts", untaken),
			Server: because("dropped-locally", AfterTheWire, "TCP_CSUM"),
			Both: then(counted("loss-timeouts", AfterTheWire, "timeouts", untaken),
				because("dropped-locally", AfterTheWire, "TCP_CSUM")),
		},
		Proof: []Count{{Server, "Tcp", "InCsumErrors", untaken}, {Client, "TcpExt", "TCPTimeouts", untaken}},
	},
	{
		Name: "old-timestamps", Port: 7795, Topology: Routed, act: oldTimestamps,
		About: "a middlebox rewrites timestamps: too old",
		Story: timelyStory(),
		Verdicts: Verdicts{
			Client: counted("loss-timeouts", OnTheWay, "timeouts", untaken),
			Server: because("unacceptable-segments", AfterTheWire, "TCP_RFC7323_PAWS"),
			Both: then(counted("loss-timeouts", AfterTheWire, "timeouts", untaken),
				because("unacceptable-segments", AfterTheWire, "TCP_RFC7323_PAWS")),
		},
		Proof: []Count{{Server, "TcpExt", "PAWSEstab", untaken}, {Client, "TcpExt", "TCPTimeouts", untaken}},
	},
}

// untaken is how often a segment comes in vain.
const untaken = 3

// byReversePath: the kernel checks where IPv4's senders are to be reached, a firewall IPv6's.
func byReversePath(rule string) []Verdict {
	return []Verdict{{Rule: rule, Place: AfterTheWire, Reason: "IP_RPFILTER", Reason6: "NETFILTER_DROP"}}
}

// detour leads the server's way back to the client over another device than its
// packets come by, where the server checks that (rp_filter; a firewall, as firewalld
// makes it, for IPv6), until it is called.
func (r *run) detour() (straight func()) {
	const spare, end = "spare0", "spare1"
	h := r.server
	r.sysctl(h, "net.ipv4.conf."+h.device+".rp_filter", "1")
	if r.family == IPv6 {
		r.breaks("the server's firewall drops what comes by another device than the way back", h,
			Rule{Hook: Prerouting, ToPort: r.scenario.Port, Astray: true})
	}
	r.tell("the server's way back to the client leads over %s", spare)
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: spare, Index: indexBase + 1}, PeerName: end}
	remove := func() error {
		return h.route(func(nl router) error { return wrap(nl.LinkDel(link), "remove "+spare+" on the "+h.name) })
	}
	r.try(func() error {
		return h.route(func(nl router) error {
			if err := nl.LinkAdd(link); err != nil {
				return wrap(err, "add "+spare+" on the "+h.name)
			}
			for _, device := range []string{spare, end} {
				if err := nl.up(device); err != nil {
					return err
				}
			}
			back := &netlink.Route{Dst: ipNet(prefixOf(r.client.Addr(r.family))), LinkIndex: link.Attrs().Index}
			return wrap(nl.RouteAdd(back), "add a route on the "+h.name)
		})
	})
	return func() {
		r.tell("the server's way back is straight again")
		r.try(remove)
	}
}

func reversePathSyn(r *run) {
	r.detour()
	r.listen()
	r.connect(synCount)
	r.stand()
	r.fails()
}

func reversePath(r *run) {
	r.sysctl(r.client, "net.ipv4.tcp_early_retrans", "0")
	r.establish()
	r.exchange()
	straight := r.detour()
	before := r.counter(r.client, "TcpExt", "TCPTimeouts")
	r.send(r.clientPeer, requestSize)
	r.moved(r.client, "TcpExt", "TCPTimeouts", before, untaken-1)
	straight()
	r.receive(r.serverPeer, requestSize)
	r.acknowledged(r.client)
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

// mangles has the router spoil what the client sends.
func (r *run) mangles(why string, rule Rule) *Fault {
	rule.Hook, rule.ToPort = Forward, r.scenario.Port
	return r.breaks("the router "+why, r.router(), rule)
}

// sums has the client's kernel write checksums, which a veth else leaves undone.
func (r *run) sums() {
	r.try(func() error { return r.client.sumsUp(r.client.device, false) })
}

func badChecksumSyn(r *run) {
	r.sums()
	r.mangles("changes SYNs to the port, and not their checksum", Rule{Action: Corrupt})
	r.listen()
	r.connect(synCount)
	r.stand()
	r.fails()
}

// inVain has the client send a segment that is spoilt several times, and then arrives.
func inVain(r *run, why string, rule Rule) {
	r.sysctl(r.client, "net.ipv4.tcp_early_retrans", "0")
	r.establish()
	r.exchange()
	rule.Data, rule.First = true, untaken
	f := r.mangles(why, rule)
	r.delivers(r.clientPeer, r.serverPeer, requestSize)
	r.caught(f, untaken)
	r.stand()
	r.orderly(r.clientPeer, r.serverPeer)
}

func badChecksum(r *run) {
	r.sums()
	inVain(r, "changes what comes next with data, and not its checksum", Rule{Action: Corrupt})
}

// farPast is how much older than true a rewritten timestamp is.
const farPast = 10 * time.Minute

// oldTimestamps: without an offset of their own, timestamps are the monotonic clock's
// milliseconds.
func oldTimestamps(r *run) {
	r.sysctl(r.client, "net.ipv4.tcp_timestamps", "2")
	var now unix.Timespec
	r.try(func() error { return unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) })
	past := time.Duration(now.Nano()) - farPast
	inVain(r, "rewrites the timestamp of what comes next with data", Rule{Action: Backdate, Stamp: uint32(past.Milliseconds())})
}
