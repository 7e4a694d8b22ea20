package diagnose

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// dying are the rules about connections that end before their time.
var dying = []Rule{
	{
		Name: "middlebox-forgot", Family: Dies, Place: OnTheWay, find: middlebox,
		Says:   "something on the way has forgotten a connection that was idle: the other end's socket still stands, and hears nothing",
		Next:   "idle time-outs of NAT gateways, load balancers, firewalls on the way; keepalive with a shorter interval than theirs",
		Limits: func(l *Limits) []Limit { return []Limit{lasting("idle before (--idle)", l.Idle)} },
	},
	{
		Name: "user-timeout", Family: Dies, Place: OnTheWay, find: userTimeout,
		Says: "what was sent was not acknowledged within TCP_USER_TIMEOUT, and the kernel gave up",
		Next: "the path; is the program's TCP_USER_TIMEOUT meant to be so short?",
	},
	{
		Name: "keepalive-death", Family: Dies, Place: OnTheWay, find: keepaliveDeath,
		Says: "the other end did not answer keepalive probes, and the kernel gave up",
		Next: "is the other host up? did it, or something on the way, forget the connection?",
	},
	{
		Name: "retransmit-timeout", Family: Dies, Place: OnTheWay, find: retransmitTimeout,
		Says: "what was sent was never acknowledged, however often it was sent again, and the kernel gave up (ETIMEDOUT)",
		Next: "is the other host up? the path (mtr --tcp); the same trace at the other end",
	},
	{
		Name: "rst-unread-data", Family: Dies, Place: Application, find: rstUnread,
		Says: "this end's program closed the connection with data unread, or that still came: the kernel sends a RST, and what was under way is lost",
		Next: "why the program does not read to the end before it closes (a time-out, an error, a limit)",
	},
	{
		Name: "rst-linger", Family: Dies, Place: Application, find: rstLinger, Limits: restLimits,
		Says: "this end's program aborted the connection (SO_LINGER 0): a RST, and what was under way is lost",
		Next: "the program: an abort on purpose (load balancers, health checks) or in an error path",
	},
	{
		Name: "rst-no-socket", Family: Dies, Place: AfterWire, find: rstNoSocket,
		Says: "a segment of a connection met no socket here, and was answered by a RST: this host, or its program, had forgotten it",
		Next: "was the program restarted? does a load balancer send old connections to another host? did keepalive give up here before?",
	},
	{
		Name: "rst-by-peer", Family: Dies, Place: Application, find: rstByPeer, Limits: restLimits,
		Says: "a RST came in the middle of the connection: the other end's program aborted or crashed, or something on the way speaks in its name",
		Next: "the other end's log at that time; the same trace there says who sent it",
	},
}

// died reports an end by an error of a connection that was open.
func (x *exam) died(errno unix.Errno) bool {
	r := x.r
	return x.over && r.errno == int32(errno) && r.from != tcp.SynSent && r.from != tcp.SynRecv && r.from != tcp.StateUnknown
}

func (x *exam) peerStands() bool {
	p := x.r.peer
	return p != nil && p.born && (p.closed == 0 || p.closed > x.r.closed) && p.saw.reset == noReset && p.saw.rstOut == 0
}

func middlebox(x *exam) (f Finding, ok bool) {
	r := x.r
	rst := x.died(unix.ECONNRESET)
	if !rst && !x.died(unix.ETIMEDOUT) || !x.peerStands() || r.pause < int64(x.lim.Idle) || x.lossPlace() != OnTheWay {
		return f, false
	}
	if int32(r.peer.in.next-r.out.next) >= 0 {
		return f, false // it got what was sent
	}
	f = Finding{Certainty: Probably, cites: of(Left, Arrived, Resent, ResetReceived, Moved, Failed)}
	f.Text = fmt.Sprintf("after %s without a word the next segment never reached the other end, whose socket still stands", seconds(time.Duration(r.pause)))
	if rst {
		f.Certainty = Sure
		f.Text += "; the RST that came was not its"
	}
	return f, true
}

func userTimeout(x *exam) (f Finding, ok bool) {
	if !x.died(unix.ETIMEDOUT) || x.r.patience == 0 || x.keptAlive() != nil {
		return f, false
	}
	return Finding{Certainty: Sure, Place: x.lossPlace(), cites: of(Left, Resent, DroppedOut, DroppedIn, Moved, Failed),
		Text: fmt.Sprintf("what was sent was not acknowledged within TCP_USER_TIMEOUT (%s); %s", seconds(x.r.patience), x.sentAgain())}, true
}

func (x *exam) sentAgain() string {
	n := x.r.saw.rto + x.r.saw.tlp
	if n == 0 {
		return "it was not even sent again"
	}
	return fmt.Sprintf("it was sent again %s", times(n))
}

// keptAlive is the clue that keepalive has given up.
func (x *exam) keptAlive() *Clue {
	return x.clue(func(c *Clue) bool { return c.Sight == ResetSent && c.Reason == "TCP_KEEPALIVE_TIMEOUT" })
}

func keepaliveDeath(x *exam) (f Finding, ok bool) {
	if !x.died(unix.ETIMEDOUT) {
		return f, false
	}
	said := x.keptAlive()
	if said == nil && (x.r.saw.rto+x.r.saw.tlp > 0 || x.r.out.outstanding() || x.r.patience > 0 || x.clue(func(c *Clue) bool { return c.Sight == DroppedOut && c.Len > 0 }) != nil) {
		return f, false
	}
	f = Finding{Certainty: Sure, Place: x.lossPlace(), cites: of(Left, Arrived, DroppedOut, DroppedIn, ResetSent, Moved, Failed)}
	f.Text = "keepalive probes were not answered, and the kernel gave up"
	if n := x.r.out.probes; n > 0 {
		since := x.r.heard
		if gap := x.e.gap; gap < x.r.closed {
			since = max(since, gap)
		}
		f.Text = fmt.Sprintf("%s not answered, nothing was heard for %s, and the kernel gave up", plural(n, "keepalive probe"), seconds(time.Duration(x.r.closed-since)))
	}
	if said == nil {
		f.Certainty = Probably
	}
	return f, true
}

func retransmitTimeout(x *exam) (f Finding, ok bool) {
	w := &x.r.saw
	if !x.died(unix.ETIMEDOUT) || x.keptAlive() != nil || x.r.out.zero != 0 {
		return f, false
	}
	f = Finding{Certainty: Sure, Place: x.lossPlace(), cites: of(Left, Resent, DroppedOut, DroppedIn, Moved, Failed, Complained)}
	out := x.clue(func(c *Clue) bool { return c.Sight == DroppedOut })
	switch {
	case out != nil:
		f.Text = fmt.Sprintf("what was sent never reached a device: this host itself threw %s away (%s), and the kernel gave up after %s", plural(out.Count, "segment"), reason(out.Reason), x.since(x.r.out.last))
	case w.rto+w.tlp == 0:
		return f, false
	default:
		f.Text = fmt.Sprintf("a segment of %d bytes was sent %d times in %s and never acknowledged: the kernel gave up", w.deadLen, w.rto+w.tlp+1, x.since(x.r.out.last))
	}
	return f.number("timeouts", w.rto), true
}

// abortReasons are the kernel's for a RST of close(), as names of enum sk_rst_reason.
var abortReasons = map[string]string{
	"TCP_ABORT_ON_CLOSE": "rst-unread-data", "TCP_ABORT_ON_DATA": "rst-unread-data",
	"TCP_STATE": "rst-linger", "TCP_ABORT_ON_LINGER": "rst-linger",
}

// aborted is the clue that this end's program has aborted, and by which rule.
func (x *exam) aborted() (*Clue, string) {
	if x.r.saw.reset != weAborted || !x.over {
		return nil, ""
	}
	c := x.clue(func(c *Clue) bool { return c.Sight == ResetSent })
	if c == nil {
		return nil, ""
	}
	if rule, ok := abortReasons[c.Reason]; ok {
		return c, rule
	}
	if x.r.errno == 0 && (x.r.from == tcp.Established || x.r.from == tcp.CloseWait) {
		return c, "rst-linger" // before 6.10 there is no reason; it was close()
	}
	return nil, ""
}

func rstUnread(x *exam) (f Finding, ok bool) {
	c, rule := x.aborted()
	if rule != "rst-unread-data" {
		return f, false
	}
	text := "this end's program closed with unread data: a RST instead of a FIN"
	if c.Reason == "TCP_ABORT_ON_DATA" {
		text = "data still came when this end's program had closed: answered by a RST"
	}
	return Finding{Certainty: Sure, Text: text + x.unread(), cites: of(ResetSent, Moved, Left)}, true
}

// unread says how much the other end had sent.
func (x *exam) unread() string {
	if s := &x.r.in; s.known && s.next != s.first {
		return fmt.Sprintf("; the other end had sent %d bytes", s.next-s.first)
	}
	return ""
}

func rstLinger(x *exam) (f Finding, ok bool) {
	c, rule := x.aborted()
	if rule != "rst-linger" || x.r.from == tcp.SynSent {
		return f, false
	}
	f = Finding{Certainty: Sure, Text: fmt.Sprintf("this end's program aborted %s after the beginning (SO_LINGER 0): a RST instead of a FIN", x.span()), cites: of(ResetSent, Moved, Left)}
	switch {
	case x.r.errno == int32(unix.ECONNABORTED): // tcp_abort()
		f.Text = fmt.Sprintf("this end's socket was destroyed %s after the beginning, not by its own program: a RST", x.span())
		f.Next = "who destroys sockets here (SOCK_DESTROY): ss -K, a container network's agent, an administrator"
	case x.r.Role == conn.RoleServer && !x.r.Task.Known() && !x.r.Older && c.Reason != "":
		f.Certainty = Probably
		f.Text = fmt.Sprintf("nobody had accepted it when its listener was closed, %s after the beginning: a RST", x.span())
		f.Next = "was the service stopped or restarted? does it accept as fast as clients come?"
	case c.Reason == "":
		f.Certainty = Probably
		f.Text = fmt.Sprintf("this end's program ended it by a RST %s after the beginning: SO_LINGER 0, or unread data", x.span())
		return f, !(x.r.wordless() && x.ordinary(ours)) // what was acknowledged may be unread
	default:
		x.cuts(&f, ours)
		return f, !x.ordinary(ours)
	}
	return f, true
}

func rstNoSocket(x *exam) (f Finding, ok bool) {
	w := &x.r.saw
	if w.reset != weRefused || w.refused&tcp.SYN != 0 || w.refusedLen == 0 {
		return f, false
	}
	return Finding{Certainty: Sure, cites: of(ResetSent, Arrived, Left, Moved),
		Text: fmt.Sprintf("a segment with %d bytes met no socket here: answered by a RST", w.refusedLen)}, true
}

func rstByPeer(x *exam) (f Finding, ok bool) {
	r := x.r
	st := r.saw.resetState
	if r.saw.reset != theyAborted || !x.over || st != tcp.Established && st != tcp.CloseWait && !x.halfClosed(st) {
		return f, false
	}
	f = Finding{Certainty: Sure, cites: of(Arrived, ResetReceived, Moved, Failed),
		Text: fmt.Sprintf("a RST ended it %s after the beginning%s", x.span(), x.pending())}
	switch {
	case x.peerStands():
		f.Place = OnTheWay
		f.Text += "; the other end's socket still stands: something on the way sent it"
	case r.rstHops != 0 && r.hops != 0 && r.rstHops != r.hops: // or it took another way, or its system has another for a RST
		f.Place, f.Certainty = OnTheWay, Probably
		f.Text += fmt.Sprintf("; its hop limit (%d) is not that of the other end's packets (%d): something on the way sent it", r.rstHops, r.hops)
	case st == tcp.FinWait1 || st == tcp.FinWait2:
		if how := r.cutsHalf(); how != "" {
			f.Certainty = Probably
			f.Text += ", " + how
		}
	default:
		x.cuts(&f, theirs)
		return f, !x.ordinary(theirs)
	}
	return f, true
}

// halfClosed: this end has said all, and its program still has the socket, to read what
// comes: the kernel tells it of the error, and would tell nobody of an orphan's. A RST is
// how many a server answers that FIN, and many a client ends what was answered: it is
// trouble where it takes something away.
func (x *exam) halfClosed(st tcp.State) bool {
	r := x.r
	return (st == tcp.FinWait1 || st == tcp.FinWait2) && r.heard != 0 && !r.doubted() &&
		(r.asksStill() || x.unreceived() || r.cutsHalf() != "") &&
		x.clue(func(c *Clue) bool { return c.Sight == Failed && c.Errno == int32(unix.ECONNRESET) }) != nil
}

// asksStill: this client's question has had no answer.
func (r *record) asksStill() bool {
	return r.Role == conn.RoleClient && r.turn == ours && !r.out.aside && !r.out.farewell(&r.in)
}

// unreceived: not all that this end said has come to the other's kernel, as far as it
// tells; its FIN and its farewell do not count.
func (x *exam) unreceived() bool {
	s := &x.r.out
	if !s.unacked() || s.farewell(&x.r.in) && s.next-s.askSeq <= mostFarewell {
		return false
	}
	return x.clue(func(c *Clue) bool {
		return c.Sight == Arrived && c.Flags.Has(tcp.RST|tcp.ACK) && int32(s.next-s.lastByte()-c.Ack) <= 0
	}) == nil
}

// mostFarewell is what is said at most to take leave, bytes: close_notify, QUIT, GOAWAY.
const mostFarewell = 256

// cutsHalf says by what the other end's RST is known to have cut its answer off.
func (r *record) cutsHalf() string {
	if r.Role != conn.RoleClient {
		return "" // what its client still says is no answer
	}
	return r.midAnswer(theirs, r.closed)
}

// cuts says of a RST by which it is known to have cut an answer off, if nothing surer
// makes it trouble.
func (x *exam) cuts(f *Finding, sender turn) {
	if r := x.r; r.atRest() && time.Duration(r.closed-r.moved()) >= x.lim.Rest {
		if how := r.midAnswer(sender, r.closed); how != "" {
			f.Certainty = Probably
			f.Text += ", " + how
		}
	}
}

// pending says what the RST has cut off.
func (x *exam) pending() string {
	r := x.r
	switch {
	case r.doubted():
	case r.turn == ours && r.Role == conn.RoleClient:
		return ", with a request under way"
	case r.turn == theirs && r.Role == conn.RoleServer && r.out.ended == 0:
		return ", with a request unanswered"
	}
	return ""
}
