package ordertest

import "tcpstory/internal/tcp"

// find looks a packet up among those of one end; nil: it was not seen.
func (w *wire) find(p Packet) *segment {
	if w == nil {
		return nil
	}
	from, to := w.in, w.out
	if p.Out {
		from, to = w.out, w.in
	}
	switch p.Sign {
	case SignSYN:
		return first(from, func(s *segment) bool { return s.flags&(tcp.SYN|tcp.ACK) == tcp.SYN })
	case SignSYNACK:
		return first(from, func(s *segment) bool { return s.flags.Has(tcp.SYN | tcp.ACK) })
	case SignFIN:
		return first(from, func(s *segment) bool { return s.flags.Has(tcp.FIN) })
	case SignReset:
		return first(from, func(s *segment) bool { return s.flags.Has(tcp.RST) })
	case SignOwnReset:
		return first(from, func(s *segment) bool { return s.flags.Has(tcp.RST | tcp.ACK) })
	case SignThird:
		return third(from, to)
	case SignFINAck:
		return ackOfFIN(from, to)
	}
	return nil
}

func first(list []segment, is func(*segment) bool) *segment {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// third finds the bare acknowledgment of the SYN-ACK that the other side sent.
func third(from, to []segment) *segment {
	synack := first(to, func(s *segment) bool { return s.flags.Has(tcp.SYN | tcp.ACK) })
	if synack == nil {
		return nil
	}
	return first(from, func(s *segment) bool {
		return s.flags == tcp.ACK && s.payload == 0 && s.seq == synack.ack && s.ack == synack.seq+1
	})
}

// ackOfFIN finds the first segment that acknowledges the other side's FIN.
func ackOfFIN(from, to []segment) *segment {
	fin := first(to, func(s *segment) bool { return s.flags.Has(tcp.FIN) })
	if fin == nil {
		return nil
	}
	end := fin.seq + fin.payload + 1
	return first(from, func(s *segment) bool { return s.flags.Has(tcp.ACK) && s.ack == end })
}
