package tcp

import "encoding/binary"

// Timestamps returns what the timestamps option (RFC 7323) of a TCP segment says:
// TSval, and TSecr, the other end's TSval that it echoes. 0 where there is none, or
// where it was not captured.
func (p *Packet) Timestamps() (value, echo uint32) {
	const end, nop, timestamps, length = 0, 1, 8, 10
	from, to := p.L4Offset+20, min(p.L4Offset+p.HeaderLen, len(p.Frame))
	if !p.IsTCP || from >= to {
		return 0, 0
	}
	o := p.Frame[from:to]
	for len(o) >= 2 && o[0] != end {
		n := int(o[1])
		switch {
		case o[0] == nop:
			n = 1
		case o[0] == timestamps && n == length && len(o) >= length:
			return binary.BigEndian.Uint32(o[2:]), binary.BigEndian.Uint32(o[6:])
		case n < 2:
			return 0, 0
		}
		o = o[min(n, len(o)):]
	}
	return 0, 0
}
