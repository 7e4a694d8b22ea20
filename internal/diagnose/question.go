package diagnose

import (
	"fmt"
	"net/netip"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// question is what a client has said that is not answered.
type question struct {
	asks, answers *stream
	from          int64 // since when an answer is due, ns
	asker         turn
}

// waiting is the question that r's connection waits with, or has ended with.
func (x *exam) waiting() (q question, ok bool) {
	r := x.r
	switch {
	case r.mptcp: // the answer may come by another subflow
		return q, false
	case r.Role == conn.RoleClient && r.turn == ours:
		q = question{asks: &r.out, answers: &r.in, asker: ours}
	case r.Role == conn.RoleServer && r.turn == theirs:
		q = question{asks: &r.in, answers: &r.out, asker: theirs}
	default:
		return q, false
	}
	a := q.asks
	unacked := a.outstanding() && (!r.doubted() || r.saw.row > 0) // else it would have been sent again
	if unacked || a.zero != 0 || a.aside || a.farewell(q.answers) || r.settled || !x.over && !r.asks() {
		if due := a.said + int64(x.lim.Slow); due > x.now {
			x.again(due) // it is looked at for another's sake, and too early
		}
		return q, false
	}
	q.from = max(a.said, a.opened) // behind a closed window it was not read
	if r.lostBefore == x.e.lost {
		q.from = max(q.from, a.saidAck) // it may have taken several attempts
	}
	if late := a.ended - a.said; a.ended != 0 && late < int64(x.lim.Slow) {
		q.from = max(q.from, a.ended) // it had no more to say
	}
	return q, true
}

// due is since when an answer to what was asked is due: the way there may have cost
// several attempts, and its kernel's acknowledgement says that it has come. Where
// something was lost by us, that may be it.
func (e *Engine) due(r *record, asked *stream) int64 {
	if asked.saidAck > asked.said && r.lostBefore == e.lost {
		return max(asked.last, asked.saidAck)
	}
	return asked.last
}

// mostAnswering bounds what is known of servers.
const mostAnswering = 1 << 14

// learnsAnswer: this server answers, so that its silence means something.
func (e *Engine) learnsAnswer(r *record) {
	if r.replies++; r.replies > 1 {
		return
	}
	if len(e.answering) >= mostAnswering {
		clear(e.answering)
	}
	r.teaches = !e.answering[r.address()]
	e.answering[r.address()] = true
}

// address is where a server is. One that means another server in each namespace (loopback,
// link-local) has its own, any other 0: what was seen of it elsewhere counts.
type address struct {
	netns uint32
	at    netip.AddrPort
}

// server is the address that was connected to, as r's end has it.
func (r *record) server() netip.AddrPort {
	if r.Role == conn.RoleServer {
		return r.Flow.Local
	}
	return r.Flow.Remote
}

// address is server's.
func (r *record) address() address {
	at := r.server()
	if a := at.Addr().Unmap(); a.IsLoopback() || a.IsLinkLocalUnicast() {
		return address{r.Netns, at}
	}
	return address{at: at}
}

// expected is why an answer to a question can be expected at all: what a client says may
// be a stream one way (logs, metrics, an upload), which nobody answers.
type expected uint8

const (
	notExpected expected = iota
	fromServer           // who answers others, or has spoken here, answers
	fromNobody           // no program has read it, so none can have taken it for what needs no answer
)

// expects says so.
func (x *exam) expects(q *question) expected {
	r := x.r
	switch {
	case r.replies > 0 || q.answers.spoke() || x.e.answering[r.address()]:
		return fromServer
	case x.neverRead():
		return fromNobody
	}
	return notExpected
}

// spoke: it has carried data.
func (s *stream) spoke() bool { return s.said != 0 }

// neverRead: the request lies, or lay for too long, in this host's socket, and no program
// read anything from it, as far as one has to: the kernel may read it itself (ofProcess).
// What MPTCP does no event tells.
func (x *exam) neverRead() bool {
	r := x.r
	late := r.readAt != 0 && !r.unreadSaid && r.readAt-max(r.in.asked, r.taken) >= int64(x.e.lim.Slow)
	return r.Role == conn.RoleServer && r.born && !r.Older && !r.mptcp && !x.e.weakened(r) && (!acted(r.Via) || late)
}

// acted: a process has done something with the socket, besides having it.
func acted(v tcp.Via) bool { return v != tcp.ViaUnknown && v != tcp.ViaHeld }

// waitedUntil is when the wait for an answer was over: who waits has closed, after long
// enough, or the other end has, or the connection has ended; 0: it goes on.
func (x *exam) waitedUntil(q *question) (at int64, how string) {
	r := x.r
	if at, how = r.closed, "it ended"; r.saw.reset != noReset || r.saw.rstIn+r.saw.rstOut > 0 {
		how = "it was reset"
	}
	left := [...]string{ours: "this end closed", theirs: "the other end closed"}
	if t := q.answers.ended; t != 0 && (at == 0 || t < at) {
		at, how = t, left[q.asker.other()]
	}
	if t := q.asks.ended; t > q.from && (at == 0 || t < at) {
		at, how = t, left[q.asker]
	}
	return at, how
}

// unansweredRequest judges a request that has had no answer. What goes on is no more than
// probable: an answer may be meant to take so long.
func unansweredRequest(x *exam) (f Finding, ok bool) {
	r := x.r
	q, ok := x.waiting()
	switch {
	case !ok:
		return f, false
	case r.doubted():
		return x.perhapsUnanswered(&q)
	case r.peer != nil && (&exam{e: x.e, r: r.peer}).neverRead():
		return f, false // the other end's host knows more
	}
	why := x.expects(&q)
	until, how := x.waitedUntil(&q)
	if why == fromNobody {
		q.from = max(q.asks.asked, q.asks.opened, r.taken)
		if t := r.readAt; t != 0 && (until == 0 || t < until) {
			until, how = t, "a program read it"
		}
	}
	standing := until == 0
	if standing {
		until = x.now
	}
	waited := time.Duration(until - q.from)
	switch {
	case waited < x.lim.Slow && standing:
		x.again(q.from + int64(x.lim.Slow))
		return f, false
	case waited < x.lim.Slow:
		return f, false
	case why == notExpected:
		if standing && waited < x.lim.Calm {
			x.again(x.now + int64(waited)) // the server may be found to answer others
		}
		return f, false
	}
	x.e.noteRequest(r, q.asks, q.asker == ours)
	f = Finding{Certainty: Probably, Standing: standing, proven: true, since: q.from, cites: of(Left, Arrived)}
	f.Text = "a request was acknowledged" + x.ackTime(q.asks.said, q.asks.saidAck) + ", and " + x.unansweredText(&q, why, standing, seconds(waited))
	if !standing {
		f.Text += " when " + how
		r.waited.last = max(r.waited.last, until)
	}
	if why == fromNobody && !x.e.ofProcess(r) {
		f.Certainty = Unknown
		f.Text += "; whether one listens there, or the kernel itself, is not known"
	}
	return f.number("answers", r.slow+1), true
}

// unansweredText says what it waits, or has waited, for.
func (x *exam) unansweredText(q *question, why expected, standing bool, waited string) string {
	has, lies := "has", "lies"
	if !standing {
		has, lies = "had", "lay"
	}
	switch {
	case why == fromServer && q.asker == ours:
		return fmt.Sprintf("the other end's program %s not answered for %s", has, waited)
	case why == fromServer:
		return fmt.Sprintf("this end's program %s not answered for %s", has, waited)
	case x.r.held:
		return fmt.Sprintf("%s unread for %s: this end's program %s the connection, and %s never read from it", lies, waited, has, has)
	}
	return fmt.Sprintf("%s unread for %s: as far as is known, no program %s accepted the connection", lies, waited, has)
}

// fewestLost is how many events an answer and its acknowledgement are: where fewer were
// lost, one of the two would have been seen.
const fewestLost = 2

// inDoubt is how many times longer a request has to hang where an answer may have been
// lost by us: what comes of the connection meanwhile proves whether it was.
const inDoubt = 2

// perhapsUnanswered judges a request of which no segment proves since something was lost
// whether it was answered.
func (x *exam) perhapsUnanswered(q *question) (f Finding, ok bool) {
	r := x.r
	if x.over || q.asks.ended != 0 || q.answers.ended != 0 || x.expects(q) != fromServer {
		return f, false
	}
	from := max(q.from, r.doubtful)
	if due := from + inDoubt*int64(x.lim.Slow); x.now < due {
		x.again(due)
		return f, false
	}
	lost := x.e.lost - r.lostBefore
	if x.clue(func(c *Clue) bool { return c.Sight == Missed && c.Time == r.doubtful }) == nil {
		x.e.note(r, Clue{Sight: Missed, Time: r.doubtful, Count: uint32(min(lost, 1<<31))})
	}
	x.e.noteRequest(r, q.asks, q.asker == ours)
	f = Finding{Certainty: Unknown, Standing: true, proven: true, since: from, cites: of(Left, Arrived, Missed)}
	f.Text = fmt.Sprintf("no answer to a request was seen for %s, nor anything else; one may be among the %d events that were lost", seconds(time.Duration(x.now-q.from)), lost)
	if lost < fewestLost {
		f.Certainty = Probably
		f.Text = fmt.Sprintf("no answer to a request was seen for %s, nor anything else; the event that was lost cannot have been an answer and its acknowledgement", seconds(time.Duration(x.now-q.from)))
	}
	return f.number("answers", r.slow+1), true
}
