package diagnose

import (
	"fmt"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// A RST is how some programs end a connection in good order: a health check that has
// seen that somebody listens, a browser or a pool that drops what it needs no more.
// Nothing is lost by that, and nobody is troubled.

// cuts takes in a segment with RST: it tells how far both directions have come.
func (my *stream) cuts(its *stream, p *tcp.Packet, now int64) {
	const far = 1 << 30 // no number of this connection's
	if ahead := int32(p.Seq - my.next); my.known && ahead > 0 && ahead < far {
		my.next, my.last = p.Seq, now // it said more than was seen, and it is not known when
	}
	if ahead := int32(p.Ack - its.next); p.Flags.Has(tcp.ACK) && its.known && ahead > 0 && ahead < far {
		its.next, its.last = p.Ack, now
	}
}

// ordinary reports a RST that ends what was at an end: of a connection on which
// nothing was said, by who opened it; or on which every request was answered, all of
// it acknowledged, no window closed, and nothing said or acknowledged for a while: by
// either end. A server that stops in the middle of an answer and resets later mostly looks
// the same as one whose idle time-out is a RST, and those are very many more. It does not
// where it has paused as long within this answer before, or its last segment announces
// more (no PSH). Where what arrives is not seen at one end (addresses that are local by a
// route only), the other's view holds.
func (x *exam) ordinary(sender turn) bool {
	r := x.r
	if r.heard == 0 {
		return r.well == sender || r.peer != nil && r.peer.ended(sender.other(), r.closed, x.lim)
	}
	return r.ended(sender, r.closed, x.lim)
}

// ended reports that a RST at a time took nothing away. sender: whose it was; nobody:
// it is not known, and then it may have.
func (r *record) ended(sender turn, at int64, l *Limits) bool {
	if r.Older && !r.begun || !r.in.known || !r.out.known || sender == nobody {
		return false
	}
	if r.wordless() {
		return (sender == ours) == (r.Role == conn.RoleClient)
	}
	return r.atRest() && time.Duration(at-r.moved()) >= l.Rest && r.midAnswer(sender, at) == ""
}

// midAnswer says by what a server's RST is known to have cut off the answer that it gave
// last; "": it is not.
func (r *record) midAnswer(sender turn, at int64) string {
	s := &r.in
	if sender == ours {
		s = &r.out
	}
	switch {
	case r.turn != sender || s.ended != 0: // at rest, the server has spoken last
		return ""
	case s.more:
		return "in the middle of an answer: its last segment announced more (no PSH)"
	case at-s.said < restPaces*s.pace:
		return "in the middle of an answer, by its pace: the last part came " + seconds(time.Duration(at-s.said)) +
			" before, and it had paused " + seconds(time.Duration(s.pace)) + " within it"
	}
	return ""
}

// restPaces is how many times as long as any pause within an answer has to pass for it to
// be at its end.
const restPaces = 2

// attests: an end that is forgotten first leaves its view to the other.
func (r *record) attests(l *Limits) {
	if p, sender := r.peer, r.resetBy(); p != nil && p.heard == 0 && r.ended(sender, r.closed, l) {
		p.well = sender.other()
	}
}

// resetBy is who has sent the RST that ended the connection, as the kernel has it at
// this end, else as the wire; nobody: it is not known.
func (r *record) resetBy() turn {
	w := &r.saw
	switch {
	case w.reset == weAborted:
		return ours
	case w.reset == theyAborted:
		return theirs
	case w.reset != noReset: // it answered a segment that met no socket
		return nobody
	case w.rstOut > 0 && w.rstIn == 0:
		return ours
	case w.rstIn > 0 && w.rstOut == 0:
		return theirs
	}
	return nobody
}

// moved is when anything was said last that was new, or acknowledged.
func (r *record) moved() int64 { return max(r.in.moved(), r.out.moved()) }

// moved is likewise; a bare FIN says nothing.
func (s *stream) moved() int64 {
	if s.ended != 0 && s.last == s.ended {
		return max(s.said, s.saidAck)
	}
	return max(s.last, s.ackAt)
}

// wordless: neither end has said anything.
func (r *record) wordless() bool { return r.in.wordless() && r.out.wordless() }

func (s *stream) wordless() bool { return s.next-s.lastByte() == s.first }

// atRest: the client asked, the server spoke last, all that was said was acknowledged,
// and nobody waits for a window to open.
func (r *record) atRest() bool {
	answer := theirs
	if r.Role == conn.RoleServer {
		answer = ours
	}
	return r.turn == answer && !r.doubted() && !r.in.wordless() && !r.out.wordless() && !r.in.unacked() && !r.out.unacked() &&
		r.in.zero == 0 && r.out.zero == 0
}

// restLimits are the numbers of a RST that is no trouble.
func restLimits(l *Limits) []Limit {
	return []Limit{
		{"none of one that ends", "nothing: neither end has said a byte, and who opened the connection resets it (a health check)"},
		lasting("nor of one that follows an answered and acknowledged request, no window closed, by at least", l.Rest),
		{"and, where it is the server's, by the longest pause within that answer", fmt.Sprintf("%d times; and its last segment has PSH", restPaces)},
	}
}
