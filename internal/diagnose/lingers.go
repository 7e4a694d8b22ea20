package diagnose

import (
	"fmt"
	"time"

	"tcpstory/internal/tcp"
)

// lingering are the rules about connections that do not come to their end.
var lingering = []Rule{
	{
		Name: "close-wait-leak", Family: WillNotDie, Place: Application, find: closeWait, Limits: afterLimit("in CLOSE_WAIT, sending nothing"),
		Says: "the other end has closed, and this end's program does not close its socket",
		Next: "the process's code: a response body or connection that is never closed; ss -tnp state close-wait",
	},
	{
		Name: "fin-wait2-stuck", Family: WillNotDie, Place: Application, find: finWait2, Limits: afterLimit("in FIN_WAIT2, receiving nothing"),
		Says: "this end has closed, and the other end's program does not",
		Next: "the process at the other end (CLOSE_WAIT there); net.ipv4.tcp_fin_timeout ends it when nobody holds the socket here",
	},
	{
		Name: "fin-wait1-unanswered", Family: WillNotDie, Place: OnTheWay, find: finWait1, Limits: afterLimit("in FIN_WAIT1, nothing acknowledged"),
		Says: "this end has closed, and its FIN, or data before it, is not acknowledged",
		Next: "is the other host up? firewalls on the way; the same trace at the other end",
	},
	{
		Name: "last-ack-unanswered", Family: WillNotDie, Place: OnTheWay, find: lastAck, Limits: afterLimit("in LAST_ACK, nothing acknowledged"),
		Says: "both ends have closed, and the last FIN is not acknowledged",
		Next: "firewalls that drop what they think is over; the same trace at the other end",
	},
	{
		Name: "time-wait-pile", Family: WillNotDie, Place: Application, find: timeWaits,
		Says: "so many connections to one destination stand in TIME_WAIT that the local ports run out",
		Next: "keep connections and use them again (keep-alive, a pool); net.ipv4.ip_local_port_range; net.ipv4.tcp_tw_reuse=1",
		Limits: func(l *Limits) []Limit {
			return []Limit{{"of the local ports", fmt.Sprintf("%d %%", l.PortShare)}, count("and connections", leastPile)}
		},
	},
}

// quiet is since when nothing has moved that could end the state.
func (r *record) quiet() int64 {
	switch r.State {
	case tcp.CloseWait:
		return max(r.since, r.out.last, r.out.ackAt)
	case tcp.FinWait2:
		return max(r.since, r.in.last)
	}
	return max(r.since, r.out.ackAt)
}

// hangs judges a state that does not end.
func hangs(x *exam, in tcp.State, text string, cites sights) (f Finding, ok bool) {
	r := x.r
	f = Finding{Certainty: Sure, cites: cites | of(Moved, Existed)}
	lasted := int64(0)
	switch {
	case r.State == in && r.closed == 0 && x.lasts(r.quiet()):
		f.Standing = true
		lasted = x.now - r.since
	case r.hung == in:
		lasted = r.hungFor
	default:
		return f, false
	}
	f.Text = fmt.Sprintf("%s for %s%s: %s", in, x.atLeast(), seconds(time.Duration(lasted)), text)
	return f, true
}

// atLeast: of an older socket it is not known when it came to this.
func (x *exam) atLeast() string {
	if x.r.Older && x.clue(func(c *Clue) bool { return c.Sight == Existed && c.New == x.r.State }) != nil {
		return "at least "
	}
	return ""
}

func closeWait(x *exam) (f Finding, ok bool) {
	if x.r.State == tcp.CloseWait && x.r.out.outstanding() && x.r.out.known {
		return f, false // it still has something to say
	}
	return hangs(x, tcp.CloseWait, "the other end has closed, this end's program does not", of(Arrived))
}

func finWait2(x *exam) (f Finding, ok bool) {
	if x.r.saw.finIn > 0 && x.r.hung != tcp.FinWait2 {
		return f, false // it has come; for an orphan, the kernel tells no more
	}
	return hangs(x, tcp.FinWait2, "this end has closed, the other end's program does not", of(Left))
}

func finWait1(x *exam) (f Finding, ok bool) { return unanswered(x, tcp.FinWait1) }
func lastAck(x *exam) (f Finding, ok bool)  { return unanswered(x, tcp.LastAck) }

func unanswered(x *exam, in tcp.State) (f Finding, ok bool) {
	if x.r.out.zero != 0 {
		return f, false // it waits behind data that the other end does not take
	}
	text := "its FIN is not acknowledged"
	if n := x.r.saw.finOut; n > 1 {
		text = fmt.Sprintf("its FIN left %d times and is not acknowledged", n)
	}
	if f, ok = hangs(x, in, text, of(Left, Arrived, Resent, DroppedOut, DroppedIn, Failed)); ok {
		f.Place = x.lossPlace()
	}
	return f, ok
}

func timeWaits(x *exam) (f Finding, ok bool) {
	p := x.r.pile
	if p == nil {
		return f, false
	}
	p.who = nil
	x.e.note(x.r, Clue{Sight: Moved, Time: p.since, Old: tcp.FinWait2, New: tcp.TimeWait, Count: p.n})
	f = Finding{Certainty: Sure, Standing: true, cites: of(Moved), Text: fmt.Sprintf(
		"%d connections from %s to %s stand in TIME_WAIT, of %d local ports", p.n, x.r.Flow.Local.Addr(), x.r.Flow.Remote, p.ports)}
	return f.number("connections", p.n), true
}
