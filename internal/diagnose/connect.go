package diagnose

import (
	"cmp"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// connecting are the rules about connections that do not come about.
var connecting = []Rule{
	{
		Name: "no-route", Family: CannotConnect, Place: BeforeWire, find: noRoute,
		Says: "connect() failed at once: the host has no route to the destination, or one that prohibits it",
		Next: "ip route get DESTINATION, in the process's network namespace; ip rule",
	},
	{
		Name: "no-free-port", Family: CannotConnect, Place: BeforeWire, find: noFreePort,
		Says: "connect() failed at once: every local port that it may use towards that destination is taken",
		Next: "ss -tan dst DESTINATION | sort by state; net.ipv4.ip_local_port_range; keep connections instead of making new ones",
	},
	{
		Name: "syn-blocked-locally", Family: CannotConnect, Place: BeforeWire, find: synBlocked, Limits: connectLimits,
		Says: "the kernel made the SYN, and this host itself threw it away before a device saw it",
		Next: "nft list ruleset (hook output, postrouting) in the process's network namespace; tc -s qdisc",
	},
	{
		Name: "neighbour-unresolved", Family: CannotConnect, Place: BeforeWire, find: neighbour, Limits: connectLimits,
		Says: "nobody answers ARP or neighbour discovery for the next hop, so the SYN cannot leave",
		Next: "ip neigh; is the next hop up, in this network, and the address right?",
	},
	{
		Name: "syn-dropped-locally", Family: CannotConnect, Place: AfterWire, find: synDropped, Limits: afterLimit("since the SYN, and none has reached a listener; or its client, if seen, has given up"),
		Says: "the SYN arrived at this host's device, and the host threw it away before a listener saw it",
		Next: "nft list ruleset (hook prerouting, input); net.ipv4.conf.*.rp_filter; the kernel's reason says which",
	},
	{
		Name: "synack-dropped-locally", Family: CannotConnect, Place: AfterWire, find: synAckDropped, Limits: connectLimits,
		Says: "the server answered, the answer arrived at this host's device, and never reached the socket",
		Next: "nft list ruleset (hook prerouting, input) in the process's network namespace; net.ipv4.conf.*.rp_filter",
	},
	{
		Name: "prohibited", Family: CannotConnect, Place: OnTheWay, find: prohibited, Limits: connectLimits,
		Says: "an ICMP error says that a firewall on the way does not allow it",
		Next: "the rules of the host that sent the ICMP error",
	},
	{
		Name: "unreachable", Family: CannotConnect, Place: OnTheWay, find: unreachable, Limits: connectLimits,
		Says: "an ICMP error says that the destination cannot be reached",
		Next: "the routes of the host that sent the ICMP error; is the destination up?",
	},
	{
		Name: "refused", Family: CannotConnect, Place: Application, find: refused,
		Says: "a RST answered the SYN: nobody listens there, or a firewall says so in the host's name",
		Next: "on the server: ss -ltn, does the service run, and listen on this address?",
	},
	{
		Name: "accept-queue-full", Family: CannotConnect, Place: Application, find: acceptQueue, Limits: queueLimits,
		Says: "the listener's program does not accept: its queue is full, and the kernel drops what completes a handshake, without a word",
		Next: "what the listening process does instead of accept(): strace -p; ss -ltn (Recv-Q against Send-Q); its backlog, net.core.somaxconn",
	},
	{
		Name: "syn-queue-full", Family: CannotConnect, Place: AfterWire, find: synQueue, Limits: queueLimits,
		Says: "more connections are half open than the listener allows (a SYN flood?): SYNs are dropped, or answered by SYN cookies",
		Next: "ss -tan state syn-recv: who are they? net.ipv4.tcp_max_syn_backlog, the backlog; net.ipv4.tcp_syncookies",
	},
	{
		Name: "synack-unanswered", Family: CannotConnect, Place: OnTheWay, find: synAckUnanswered, Limits: halfOpenLimits,
		Says: "this host answered the SYN, and the handshake's last ACK never came",
		Next: "the way back to the client: its firewall, asymmetric routes, a spoofed source (SYN flood)",
	},
	{
		Name: "syn-unanswered", Family: CannotConnect, Place: OnTheWay, find: synUnanswered, Limits: connectLimits,
		Says: "the SYN left this host and nothing came back: dropped beyond it, or the destination is down",
		Next: "the same trace on the server (does the SYN arrive? nstat -az TcpExtListenOverflows); firewalls on the way; traceroute -T",
	},
}

func connectLimits(l *Limits) []Limit {
	return []Limit{lasting("in this state", l.After), count("or given up by the program after SYNs", fewestSyns)}
}

func queueLimits(l *Limits) []Limit {
	return []Limit{count("SYNs, or last ACKs, that nobody takes", l.Syns), lasting("or one, for", l.After)}
}

func halfOpenLimits(l *Limits) []Limit {
	return []Limit{count("SYN-ACKs", fewestSyns), lasting("and half open, until the kernel gives up or for", l.After)}
}

// fewestSyns is how often a handshake's segment was sent at least where somebody can be
// said to have waited for the answer.
const fewestSyns = 2

// opening reports a client's attempt that has failed, or hangs long enough. A
// program that gives up sooner has its reasons, unless a SYN was sent again.
func (x *exam) opening() (standing, yes bool) {
	r := x.r
	if r.Role != conn.RoleClient || r.told == nil && !x.over && r.State != tcp.SynSent {
		return false, false
	}
	switch {
	case x.over && r.from != tcp.SynSent && r.from != tcp.StateUnknown:
		return false, false
	case x.over:
		return false, r.errno != 0 || r.saw.syn > 0 || r.saw.synOut+x.neverLeft() >= fewestSyns
	case r.State != tcp.SynSent:
		return false, false
	}
	return true, x.lasts(r.since)
}

// neverLeft is how many SYNs the kernel threw away before a device: they are not sent
// again in its eyes.
func (x *exam) neverLeft() (n uint32) {
	if r := x.r; r.saw.synOut > 0 {
		return 0 // it may tell of a device's queue too
	}
	if c := x.dropped(DroppedOut, tcp.SYN, handshake); c != nil {
		n = c.Count
	}
	return n
}

// lasts reports a condition that has stood long enough, or asks for another look
// when it will have.
func (x *exam) lasts(since int64) bool {
	due := since + int64(x.lim.After)
	if x.now >= due {
		return true
	}
	x.again(due)
	return false
}

// again asks for another look.
func (x *exam) again(at int64) {
	if x.next == 0 || at < x.next {
		x.next = at
	}
}

// clue finds the first clue that is so.
func (x *exam) clue(is func(*Clue) bool) *Clue {
	if f := x.r.file; f != nil {
		for i := range f.clues[:f.n] {
			if is(&f.clues[i]) {
				return &f.clues[i]
			}
		}
	}
	return nil
}

func (x *exam) dropped(which Sight, flags, of tcp.Flags) *Clue {
	return x.clue(func(c *Clue) bool { return c.Sight == which && c.Flags&of == flags })
}

// complained finds an ICMP error of a kind.
func (x *exam) complained(kind icmpKind) *Clue {
	return x.clue(func(c *Clue) bool { return c.Sight == Complained && icmpWords[c.ICMP].kind == kind })
}

const handshake = tcp.SYN | tcp.ACK | tcp.RST

func noRoute(x *exam) (f Finding, ok bool) {
	r := x.r
	c := x.clue(func(c *Clue) bool { return c.Sight == ConnectFailed })
	if c == nil || c.Errno == int32(unix.EADDRNOTAVAIL) {
		return f, false
	}
	why := map[unix.Errno]string{
		unix.ENETUNREACH: "there is no route", unix.EHOSTUNREACH: "the route says unreachable",
		unix.EACCES: "the route prohibits it", unix.EINVAL: "the route is a black hole, or the address is no destination",
	}[unix.Errno(c.Errno)]
	if why == "" {
		why = "the kernel refused"
	}
	return Finding{Certainty: Sure, Text: fmt.Sprintf("connect() failed at once with %s: %s, no SYN was made", errname(r.errno), why), cites: of(ConnectFailed)}, true
}

func noFreePort(x *exam) (f Finding, ok bool) {
	if !x.over || x.r.errno != int32(unix.EADDRNOTAVAIL) || x.r.saw.synOut > 0 {
		return f, false
	}
	f = Finding{Certainty: Sure, Text: "connect() found no free local port towards this destination: no SYN was made", cites: of(ConnectFailed, Moved)}
	if x.clue(func(c *Clue) bool { return c.Sight == ConnectFailed }) == nil {
		f.Certainty = Probably // inferred from SYN_SENT without a port
	}
	return f, true
}

func synBlocked(x *exam) (f Finding, ok bool) {
	standing, yes := x.opening()
	drop := x.dropped(DroppedOut, tcp.SYN, handshake)
	if x.unresolved() {
		return f, false
	}
	if !yes || drop == nil && (x.r.saw.synOut > 0 || x.blind()) || drop != nil && x.r.saw.synOut >= drop.Count || drop != nil && neighbourly(drop.Reason) {
		return f, false
	}
	if drop == nil {
		if x.r.errno == int32(unix.EADDRNOTAVAIL) || x.r.errno == int32(unix.EHOSTUNREACH) || x.clue(func(c *Clue) bool { return c.Sight == ConnectFailed }) != nil {
			return f, false
		}
		return Finding{Certainty: Unknown, Standing: standing, cites: of(Moved, Resent, Failed, NotedError),
			Text: fmt.Sprintf("no SYN in %s reached a device of this host, and the kernel gave no reason", x.span())}, true
	}
	return Finding{Certainty: Sure, Standing: standing, cites: of(DroppedOut, Moved, Failed, Resent, Left),
		Text: fmt.Sprintf("%s in %s thrown away by this host itself before the wire (%s)", plural(drop.Count, "SYN"), x.span(), reason(drop.Reason))}, true
}

func neighbour(x *exam) (f Finding, ok bool) {
	standing, yes := x.opening()
	drop := x.clue(func(c *Clue) bool { return c.Sight == DroppedOut && neighbourly(c.Reason) })
	if !yes || !x.unresolved() {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: standing, cites: of(DroppedOut, Moved, Failed, NotedError, Resent, Complained),
		Text: fmt.Sprintf("in %s no SYN could leave: the next hop does not answer ARP or neighbour discovery", x.span())}
	if drop == nil {
		f.Certainty = Probably
	}
	return f, true
}

// unresolved: the kernel says so, or so it seems: the SYN was held, thrown away
// without a reason of a firewall's, and the error is the one for it.
func (x *exam) unresolved() bool {
	if x.clue(func(c *Clue) bool { return c.Sight == DroppedOut && neighbourly(c.Reason) }) != nil {
		return true
	}
	drop := x.dropped(DroppedOut, tcp.SYN, handshake)
	return x.r.errno == int32(unix.EHOSTUNREACH) && x.r.saw.synOut == 0 && !x.blind() && (drop == nil || drop.Reason == "NOT_SPECIFIED" || drop.Reason == "")
}

// neighbourly are the kernel's reasons NEIGH_FAILED, NEIGH_QUEUEFULL, NEIGH_DEAD, NEIGH_CREATEFAIL.
func neighbourly(reason string) bool { return len(reason) > 6 && reason[:6] == "NEIGH_" }

func synAckDropped(x *exam) (f Finding, ok bool) {
	standing, yes := x.opening()
	if !yes || x.r.Role != conn.RoleClient {
		return f, false
	}
	drop := x.dropped(DroppedIn, tcp.SYN|tcp.ACK, handshake)
	if drop == nil && x.r.saw.synAckIn == 0 {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: standing, cites: of(Left, Arrived, DroppedIn, Moved, Failed, Resent)}
	if drop == nil {
		f.Certainty = Probably
		f.Text = fmt.Sprintf("%s arrived here in %s, and the socket never moved: no reason is told", plural(x.r.saw.synAckIn, "SYN-ACK"), x.span())
		return f, true
	}
	f.Next = dropWords[drop.Reason].next
	f.Text = fmt.Sprintf("%s arrived here in %s and this host threw them away (%s)", plural(drop.Count, "SYN-ACK"), x.span(), reason(drop.Reason))
	return f, true
}

func prohibited(x *exam) (f Finding, ok bool) { return byICMP(x, icmpProhibited) }
func unreachable(x *exam) (f Finding, ok bool) {
	if f, ok := byICMP(x, icmpUnreachable); ok {
		return f, ok
	}
	return byICMP(x, icmpPort)
}

func byICMP(x *exam, kind icmpKind) (f Finding, ok bool) {
	standing, yes := x.opening()
	c := x.complained(kind)
	if !yes || c == nil || c.Device == "lo" {
		return f, false
	}
	return Finding{Certainty: Sure, Standing: standing, cites: of(Left, Complained, Moved, Failed, NotedError, Resent),
		Text: fmt.Sprintf("%s, %s back: ICMP %s", plural(x.r.saw.synOut, "SYN"), times(c.Count), c.ICMP)}, true
}

func refused(x *exam) (f Finding, ok bool) {
	r := x.r
	switch {
	case r.Role == conn.RoleClient && x.over && (r.from == tcp.SynSent || r.from == tcp.StateUnknown) && r.errno == int32(unix.ECONNREFUSED):
		if x.complained(icmpPort) != nil || x.complained(icmpProhibited) != nil {
			return f, false
		}
		return Finding{Certainty: Sure, cites: of(Left, Arrived, ResetReceived, Failed, Moved),
			Text: fmt.Sprintf("a RST answered the SYN after %s: nobody listens on port %d there, or a firewall says so in the host's name", seconds(time.Duration(r.closed-r.opened)), r.Flow.Remote.Port())}, true
	case r.saw.reset == weRefused && r.saw.synIn > 0 && r.State == tcp.StateUnknown:
		return Finding{Certainty: Sure, cites: of(Arrived, ResetSent, Left),
			Text: fmt.Sprintf("%s came for port %d, where nobody listens: this host answered by a RST", plural(r.saw.synIn, "SYN"), r.Flow.Local.Port())}, true
	}
	return f, false
}

func synDropped(x *exam) (f Finding, ok bool) {
	drop := x.dropped(DroppedIn, tcp.SYN, handshake)
	if drop == nil || x.r.born || x.r.saw.synAckOut > 0 || !x.callerIsOver() && !x.lasts(drop.Time) {
		return f, false
	}
	return Finding{Certainty: Sure, Standing: true, cites: of(Arrived, DroppedIn), Next: dropWords[drop.Reason].next,
		Text: fmt.Sprintf("%s arrived in %s and this host threw them away before a listener saw them (%s)", plural(drop.Count, "SYN"), seconds(time.Duration(drop.Last-drop.Time)), reason(drop.Reason))}.number("syns", drop.Count), true
}

// callerIsOver: the client is here, and its attempt has ended.
func (x *exam) callerIsOver() bool { return x.r.peer != nil && x.r.peer.closed != 0 }

func synAckUnanswered(x *exam) (f Finding, ok bool) {
	r := x.r
	if r.Role != conn.RoleServer || r.State == tcp.Established || r.saw.synAckOut == 0 && r.saw.synAckAgain == 0 || r.saw.ackIn > 0 || r.saw.rstIn > 0 {
		return f, false
	}
	since := cmp.Or(r.since, r.saw.firstSyn, r.opened) // a SYN cookie leaves no socket that could be in a state
	if !x.over && !x.lasts(since) || x.over && r.from != tcp.SynRecv {
		return f, false
	}
	n := max(r.saw.synAckOut, r.saw.synAckAgain)
	if n < fewestSyns {
		return f, false
	}
	return Finding{Certainty: Sure, Standing: !x.over, cites: of(Arrived, Left, SynAckAgain, DroppedOut, Moved),
		Text: fmt.Sprintf("%s left in %s, the last ACK of the handshake never came", plural(n, "SYN-ACK"), seconds(time.Duration(x.now-since)))}, true
}

func synUnanswered(x *exam) (f Finding, ok bool) {
	standing, yes := x.opening()
	r := x.r
	if !yes || r.errno != 0 && r.errno != int32(unix.ETIMEDOUT) || r.saw.synAckIn > 0 || r.saw.synOut == 0 && !x.blind() {
		return f, false
	}
	f = Finding{Certainty: Sure, Standing: standing, cites: of(Left, Resent, Moved, Failed, NotedError)}
	if p := r.peer; p != nil && p.saw.synIn > 0 {
		if due := p.saw.firstSyn + int64(x.lim.After+countersLate); x.now < due && !x.over {
			x.again(due) // the counters may tell
			return f, false
		}
		f.Place, f.Certainty = AfterWire, Probably
		f.Text = fmt.Sprintf("%s arrived at the server's device in %s, and its kernel did not answer: no reason is told", plural(p.saw.synIn, "SYN"), x.span())
		return f.number("syns", r.saw.synOut), true
	}
	if r.saw.synOut == 0 {
		f.Certainty = Probably
		f.Text = fmt.Sprintf("%s in %s, and no answer was taken: packets were not watched, so whether they left is not known", plural(r.saw.syn+1, "SYN"), x.span())
		return f, true
	}
	f.Text = fmt.Sprintf("%s in %s reached the wire%s, nothing came back: dropped beyond this host, or the destination is down", plural(r.saw.synOut, "SYN"), x.span(), x.device())
	return f.number("syns", r.saw.synOut), true
}

// blind: packets were not watched.
func (x *exam) blind() bool { return x.e.noPackets }

// span is how long the attempt has lasted, in words.
func (x *exam) span() string { return seconds(time.Duration(x.until() - x.r.opened)) }

// until is now, or when the connection ended.
func (x *exam) until() int64 {
	if x.r.closed != 0 {
		return x.r.closed
	}
	return x.now
}

// device is " on NAME" of the first segment that left, or nothing.
func (x *exam) device() string {
	if c := x.clue(func(c *Clue) bool { return c.Sight == Left && c.Device != "" }); c != nil {
		return " on " + c.Device
	}
	return ""
}

func times(n uint32) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func plural(n uint32, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func errname(n int32) string {
	if name := unix.ErrnoName(unix.Errno(n)); name != "" {
		return name
	}
	return fmt.Sprintf("error %d", n)
}
