package diagnose

import (
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
// it acknowledged, and nothing said for a while. Where what arrives is not seen at one
// end (addresses that are local by a route only), the other's view holds.
func (x *exam) ordinary(ours bool) bool {
	r := x.r
	if r.heard == 0 {
		return r.well || r.peer != nil && r.peer.ended(!ours, r.closed, x.lim)
	}
	return r.ended(ours, r.closed, x.lim)
}

// ended reports that a RST at a time, ours or the other end's, took nothing away.
func (r *record) ended(ours bool, at int64, l *Limits) bool {
	if r.Older || !r.in.known || !r.out.known {
		return false
	}
	if r.wordless() {
		return ours == (r.Role == conn.RoleClient)
	}
	return r.atRest() && time.Duration(at-max(r.in.last, r.out.last)) >= l.Rest
}

// attests: an end that is forgotten first leaves its view to the other.
func (r *record) attests(l *Limits) {
	if p := r.peer; p != nil && p.heard == 0 {
		p.well = r.ended(r.Role == conn.RoleClient, r.closed, l)
	}
}

// wordless: neither end has said anything.
func (r *record) wordless() bool { return r.in.next == r.in.first && r.out.next == r.out.first }

// atRest: the client asked, the server spoke last, and all that was said was acknowledged.
func (r *record) atRest() bool {
	answer := theirs
	if r.Role == conn.RoleServer {
		answer = ours
	}
	return r.turn == answer && r.in.next != r.in.first && r.out.next != r.out.first && !r.in.outstanding() && !r.out.outstanding()
}

// restLimits are the numbers of a RST that is no trouble.
func restLimits(l *Limits) []Limit {
	return []Limit{
		{"none of one that ends", "nothing: neither end has said a byte, and who opened the connection resets it (a health check)"},
		lasting("nor of one that follows an answered and acknowledged request by at least", l.Rest),
	}
}
