package diagnose

import "tcpstory/internal/tcp"

// Where records were lost, a segment, a window or an answer may have passed unseen. What
// a connection had under way then is in doubt, in each direction, until the numbers of a
// later segment prove that nothing of it is missing: only then it is held against
// anybody, and no more surely than probably.

// doubt takes in that something was lost, if r does not know yet.
func (e *Engine) doubt(r *record) {
	if r.gap == e.gap {
		return
	}
	if r.gap = e.gap; r.opened > e.gap {
		return
	}
	r.stalls.sent, r.stalls.ackAt = 0, 0
	if !r.doubted() {
		r.doubtful = e.gap
	}
	for _, s := range [...]*stream{&r.in, &r.out} {
		s.doubt = s.known
		s.unsure, s.stood = s.zero != 0, s.acked
	}
}

// doubted: what was said last, and by whom, is not certain.
func (r *record) doubted() bool { return r.in.doubt || r.out.doubt }

// unclear: whether what goes on of what comes and goes is so still is not known.
func (r *record) unclear() bool { return r.doubted() || r.in.unsure || r.out.unsure }

// proves clears doubts by a segment that comes from my: it begins where what was seen of
// my ends, or asks for an answer from just before; and it has all that was seen of its.
func (e *Engine) proves(r *record, my, its *stream, p *tcp.Packet, now int64) {
	if !r.doubted() {
		return
	}
	if p.Seq == my.next || p.Seq == my.next-1 && p.PayloadLen <= 1 {
		my.doubt = false
	}
	if p.Flags.Has(tcp.ACK) && p.Ack == its.next {
		its.doubt = false
	}
	if !r.doubted() {
		e.wake(r, now)
	}
}

// confirms is for a window that was closed before something was lost and is closed now:
// it was all the time, unless something has passed.
func (s *stream) confirms(now int64) {
	if s.unsure && s.acked != s.stood {
		s.zero, s.probes = now, 0
	}
	s.unsure = false
}

// weakened: something was lost that may have been about r.
func (e *Engine) weakened(r *record) bool {
	return e.gap != 0 && (e.gap >= r.opened || r.torn)
}

// begins notes that r was seen from its beginning: that was not lost.
func (r *record) begins(ev *tcp.Event) {
	switch {
	case !r.torn:
	case ev.Kind == tcp.KindState && (ev.Old == tcp.Close || ev.Old == tcp.Listen),
		ev.Kind == tcp.KindSocket, ev.Kind == tcp.KindConnectFailed, r.Older,
		ev.Packet.IsTCP && ev.Packet.Flags.Has(tcp.SYN), answersSegment(ev):
		r.torn = false
	}
}
