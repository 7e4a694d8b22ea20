package diagnose

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// packet takes in a packet. On loopback one sighting is both ends'.
func (e *Engine) packet(r *record, s *conn.Step) {
	p := &s.Event.Packet
	if p.IsQuote {
		e.complaint(r, s)
		return
	}
	if !p.IsTCP {
		return
	}
	e.segment(r, s, s.Outgoing)
	if p.Loopback && s.Conn.Peer != nil {
		if other := e.recordOf(s.Conn.Peer, false); other != nil && other != r {
			other.Role = s.Conn.Peer.Role
			e.segment(other, s, !s.Outgoing)
		}
	}
}

// segment takes in a segment that r's end has sent, or that has arrived there.
func (e *Engine) segment(r *record, s *conn.Step, out bool) {
	p := &s.Event.Packet
	r.saw.packets++
	e.doubt(r)
	if !out {
		r.arrives(p, s.Event.Time)
	}
	if p.Flags&(tcp.SYN|tcp.FIN|tcp.RST) != 0 {
		e.control(r, s, out)
	} else if r.Role == conn.RoleServer && !r.born && !out && r.saw.synIn > 0 && p.Flags.Has(tcp.ACK) {
		r.asked = s.Event.Time
		if r.saw.ackIn++; r.saw.ackIn == 1 {
			e.noteSegment(r, s, out)
		}
	}
	my, its := &r.out, &r.in
	if !out {
		my, its = its, my
	}
	e.proves(r, my, its, p, s.Event.Time)
	if p.Flags.Has(tcp.RST) {
		my.cuts(its, p, s.Event.Time)
		return
	}
	if p.Flags.Has(tcp.ACK) {
		e.acknowledges(r, its, s, out)
	}
	e.speaks(r, my, its, s, out)
	if !p.Flags.Has(tcp.SYN) {
		e.window(r, my, its, s, out)
	}
}

// arrives notes when something arrived, and how far it came.
func (r *record) arrives(p *tcp.Packet, now int64) {
	r.heard = now
	at := p.IPOffset + 8 // time to live; in IPv6 the hop limit is one before
	if p.EtherType == etherIPv6 {
		at--
	}
	if at >= len(p.Frame) {
		return
	}
	if p.Flags.Has(tcp.RST) {
		r.rstHops = p.Frame[at]
	} else {
		r.hops = p.Frame[at]
	}
}

const etherIPv6 = 0x86dd

// control counts what opens and closes a connection.
func (e *Engine) control(r *record, s *conn.Step, out bool) {
	f := s.Event.Packet.Flags
	w := &r.saw
	switch {
	case f.Has(tcp.RST):
		bump(&w.rstOut, &w.rstIn, out)
	case f.Has(tcp.SYN | tcp.ACK):
		bump(&w.synAckOut, &w.synAckIn, out)
		if out && s.Event.New == tcp.StateUnknown && s.Event.Packet.Dir == tcp.DirOut {
			w.bareSynAck++
		}
		if !out && w.synOut == 1 {
			r.rtt = time.Duration(s.Event.Time - w.firstSyn)
		}
	case f.Has(tcp.SYN):
		if bump(&w.synOut, &w.synIn, out); w.firstSyn == 0 {
			w.firstSyn = s.Event.Time
		}
		r.asked = s.Event.Time
	default:
		bump(&w.finOut, &w.finIn, out)
	}
	e.noteSegment(r, s, out)
	if f.Has(tcp.SYN) && r.State != tcp.Established {
		e.wake(r, s.Event.Time+int64(e.lim.After))
	}
}

func bump(sent, got *uint32, out bool) {
	if out {
		*sent++
	} else {
		*got++
	}
}

// noteSegment keeps a segment as evidence.
func (e *Engine) noteSegment(r *record, s *conn.Step, out bool) {
	p := &s.Event.Packet
	c := Clue{Sight: Arrived, Time: s.Event.Time, Flags: p.Flags, Seq: p.Seq, Ack: p.Ack, Len: uint32(p.PayloadLen),
		Window: p.Window, Device: p.Device, Translate: s.Translated}
	if out {
		c.Sight = Left
	}
	e.note(r, c)
}

// speaks follows what one direction sends.
func (e *Engine) speaks(r *record, my, its *stream, s *conn.Step, out bool) {
	p, now := &s.Event.Packet, s.Event.Time
	n := uint32(p.PayloadLen)
	end := p.Seq + n
	if p.Flags.Has(tcp.SYN) {
		my.known, my.first, my.next, my.acked = true, p.Seq+1, end+1, p.Seq
		r.mss = min(cmp.Or(r.mss, largestMSS), cmp.Or(mssOf(p), largestMSS))
		r.mptcp = p.Flags.Has(tcp.ACK) && option(p, mptcpOption) != nil
		return
	}
	if p.Flags.Has(tcp.FIN) {
		end++
		if my.fin = true; my.ended == 0 {
			my.ended = now
			if r.told != nil {
				e.wake(r, now+int64(settle))
			}
		}
	}
	if !my.known {
		my.known, my.first, my.next, my.acked = true, p.Seq, p.Seq, p.Seq
	}
	if end == p.Seq {
		if out && p.Seq == my.next-1 || !out && p.Seq == my.next-1 {
			my.probes++ // of the window, or a keepalive
		}
		return
	}
	if int32(end-my.next) <= 0 {
		return // again
	}
	if out && !my.outstanding() {
		if before := max(my.last, its.last, my.ackAt, its.ackAt); before > 0 {
			r.pause = now - max(before, e.gap)
		}
	}
	if !out && n > 0 {
		r.before = before{end, my.next, r.turn, my.aside, my.last, my.said, my.asked}
	}
	fresh := end - my.next // with what was left out in the middle of the stream
	if my.next, my.last = end, now; n == 0 {
		return
	}
	if out {
		r.saw.sends(r.segments(fresh), now, e.lim.Calm)
	}
	if n > my.largest && n > my.probe {
		my.probe, my.probeTo = n, end
	}
	e.stall(r, s, out)
	heard := its.last // an answer; at the other end, when it tells that it has it
	if !out {
		heard = max(heard, its.ackAt)
	}
	aside := n <= e.lim.Aside && its.last > 0 && now-heard < int64(atOnce)
	if speaker := turnOf(out); r.turn != speaker || my.doubt {
		r.turn, my.asked, my.aside, my.pace = speaker, now, aside, 0
		r.lostBefore, r.settled = e.lost, false
		my.askSeq, my.askLen, my.askAck, my.askWin = p.Seq, n, p.Ack, p.Window
		if !r.doubted() {
			e.answered(r, its, s, out)
		}
	} else {
		my.pace = max(my.pace, now-my.said)
	}
	my.said, my.more = now, !p.Flags.Has(tcp.PSH)
	my.doubt = false
	my.aside = my.aside && aside
	if clientSpeaks(r, out) { // even where no answer is known to be due: it may get known
		e.wake(r, now+int64(e.lim.Slow))
	}
}

// mptcpOption is RFC 8684's kind.
const mptcpOption = 30

// What a SYN says at most, and what is taken where none was seen.
const (
	largestMSS = 1<<16 - 1
	usualMSS   = 1448
)

// segments is how many the network carries for n bytes: a device that cuts them up
// itself is given many at once.
func (r *record) segments(n uint32) uint32 {
	mss := cmp.Or(uint32(r.mss), usualMSS)
	return (n + mss - 1) / mss
}

func turnOf(out bool) turn {
	if out {
		return ours
	}
	return theirs
}

// clientSpeaks: what is sent now may ask for an answer.
func clientSpeaks(r *record, out bool) bool {
	return r.Role == conn.RoleClient && out || r.Role == conn.RoleServer && !out
}

// acknowledges follows what the other direction's receiver says of it.
func (e *Engine) acknowledges(r *record, its *stream, s *conn.Step, out bool) {
	p, now := &s.Event.Packet, s.Event.Time
	if !its.known {
		its.known, its.first, its.next, its.acked = true, p.Ack, p.Ack, p.Ack
		return
	}
	moved := int32(p.Ack - its.acked)
	if moved > 0 {
		its.acked, its.ackAt = p.Ack, now
		if !its.fin || its.saidAck < its.said {
			its.saidAck = now
			if now-its.said > int64(settle) && clientSpeaks(r, !out) {
				e.wake(r, now+int64(e.lim.Slow)) // from now on an answer is due
			}
		}
		if unseen := p.Ack - its.next; int32(unseen) > 0 { // it spoke, and was not seen; when, and when that was acknowledged, is not known
			if !out {
				r.saw.sends(r.segments(unseen), now, e.lim.Calm)
			}
			its.next, its.last, its.said, its.saidAck, its.more, its.doubt = p.Ack, now, now, 0, false, false
			r.turn = turnOf(!out)
		}
		if p.PayloadLen == 0 && clientSpeaks(r, !out) && !its.outstanding() {
			r.stalls.ackAt = now
		}
		if its.probe > 0 && int32(p.Ack-its.probeTo) >= 0 {
			its.largest, its.probe = its.probe, 0
		}
	}
	if out {
		return
	}
	if moved > 0 && r.saw.probing {
		r.saw.probing = false
		r.saw.probed++
		e.wake(r, now+int64(settle))
	}
	switch {
	case moved > 0 && r.saw.row > 0:
		e.recovered(r, now)
	case moved == 0 && r.saw.row > 0 && p.PayloadLen == 0:
		r.saw.deadAcks++
		if r.saw.deadAcks == 1 {
			e.noteSegment(r, s, out)
		}
	}
	if r.saw.tlp+r.saw.rto > 0 && saysTwice(s.Event) {
		r.saw.needless++
		e.noteSegment(r, s, out)
	}
}

// recovered ends a row of time-outs.
func (e *Engine) recovered(r *record, now int64) {
	r.saw.lossTo = now
	r.saw.row, r.saw.deadAcks = 0, 0
	if r.told != nil {
		e.wake(r, now)
	}
}

// window follows whether a receiver lets the other send.
func (e *Engine) window(r *record, my, its *stream, s *conn.Step, out bool) {
	p, now := &s.Event.Packet, s.Event.Time
	switch {
	case p.Window == 0 && its.zero == 0:
		its.zero, its.probes = now, 0
		e.noteSegment(r, s, out)
		e.wake(r, now+int64(e.lim.After))
	case p.Window == 0:
		e.noteSegment(r, s, out)
		if its.unsure {
			its.confirms(now)
			e.wake(r, now)
		}
	case its.zero != 0:
		e.noteSegment(r, s, out)
		if lasted := now - its.zero; !its.unsure { // else it may have opened long ago
			its.closed.add(lasted, its.probes, now, int64(e.lim.After))
		}
		its.zero, its.opened, its.unsure = 0, now, false
		if r.told != nil {
			e.wake(r, now)
		}
	}
}

// add is for one that has ended.
func (c *closure) add(lasted int64, probes uint32, now, long int64) {
	if lasted > c.lasted {
		c.lasted, c.probes = lasted, probes
	}
	if lasted >= long {
		c.at = now
	}
}

// answered is called when a direction begins to speak after the other.
func (e *Engine) answered(r *record, its *stream, s *conn.Step, out bool) {
	if clientSpeaks(r, out) || its.last == 0 || r.Role == conn.RoleUnknown {
		return // the client's time to think
	}
	now := s.Event.Time
	e.learnsAnswer(r)
	if late := now - e.due(r, its); late >= int64(e.lim.Slow) && its.zero == 0 {
		if r.slow++; late > r.waited.to-r.waited.due {
			r.waited = wait{from: its.last, due: now - late, to: now, acked: its.saidAck, aside: its.aside}
		}
		r.waited.last = now
		e.noteRequest(r, its, !out)
		e.noteSegment(r, s, out)
		e.wake(r, now)
	}
}

// noteRequest keeps the first segment of what was said last as evidence.
func (e *Engine) noteRequest(r *record, asked *stream, out bool) {
	c := Clue{Sight: Arrived, Time: asked.asked, Flags: tcp.PSH | tcp.ACK, Seq: asked.askSeq, Len: asked.askLen,
		Ack: asked.askAck, Window: asked.askWin}
	if out {
		c.Sight = Left
	}
	if f := r.file; f != nil && slices.ContainsFunc(f.clues[:f.n], func(have Clue) bool { return have.like(&c) && have.Last >= c.Time }) {
		return
	}
	e.note(r, c)
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
	e.answering[r.server()] = true
}

// server is the address that was connected to, as r's end has it.
func (r *record) server() netip.AddrPort {
	if r.Role == conn.RoleServer {
		return r.Flow.Local
	}
	return r.Flow.Remote
}

// complaint takes in an ICMP error.
func (e *Engine) complaint(r *record, s *conn.Step) {
	p := &s.Event.Packet
	if s.Outgoing && !p.Loopback {
		return // this host complains
	}
	if p.L4Offset+2 > len(p.Frame) {
		return
	}
	e.note(r, Clue{Sight: Complained, Time: s.Event.Time, Device: p.Device,
		ICMP: ICMP{V6: p.Protocol == 58, Type: p.Frame[p.L4Offset], Code: p.Frame[p.L4Offset+1]}})
	if r.told != nil {
		e.wake(r, s.Event.Time)
	}
}
