package render

import (
	"encoding/binary"

	"tcpstory/internal/tcp"
)

// options are the TCP options that the views name (RFC 9293 3.2, RFC 7323,
// RFC 2018).
type options struct {
	set          optionSet
	mss          uint16
	wscale       uint8
	blocks       int
	sack         [4][2]uint32
	tsVal, tsEcr uint32
}

type optionSet uint8

const (
	optMSS optionSet = 1 << iota
	optWScale
	optSackOK
	optSack
	optTS
)

func (o *options) has(s optionSet) bool { return o.set&s != 0 }

// parse reads the options that were captured. It stops at the first that does
// not hold; one that is longer or shorter than it must be is passed over.
func (o *options) parse(p *tcp.Packet) {
	o.set = 0
	b := optionBytes(p)
	for len(b) > 0 {
		const eol, nop = 0, 1
		if b[0] == nop {
			b = b[1:]
			continue
		}
		if b[0] == eol || len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		o.take(b[0], b[2:b[1]])
		b = b[b[1]:]
	}
}

func optionBytes(p *tcp.Packet) []byte {
	from, to := p.L4Offset+20, min(p.L4Offset+p.HeaderLen, len(p.Frame))
	if !p.IsTCP || from >= to {
		return nil
	}
	return p.Frame[from:to]
}

func (o *options) take(kind byte, v []byte) {
	switch {
	case kind == 2 && len(v) == 2:
		o.set |= optMSS
		o.mss = binary.BigEndian.Uint16(v)
	case kind == 3 && len(v) == 1:
		o.set |= optWScale
		o.wscale = v[0]
	case kind == 4 && len(v) == 0:
		o.set |= optSackOK
	case kind == 5 && len(v)%8 == 0 && len(v) > 0:
		o.set |= optSack
		o.blocks = min(len(v)/8, len(o.sack))
		for i := range o.blocks {
			o.sack[i] = [2]uint32{binary.BigEndian.Uint32(v[8*i:]), binary.BigEndian.Uint32(v[8*i+4:])}
		}
	case kind == 8 && len(v) == 8:
		o.set |= optTS
		o.tsVal, o.tsEcr = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
	}
}
