package render

import "tcpstory/internal/tcp"

func (g *generator) tcp(f *frame, sum uint64) {
	r, at := g.r, len(f.b)
	f.freeze(be16(port(r))...).freeze(be16(port(r))...)
	f.put32(pick[uint32](r, 1000, 1001, r.Uint32())).put32(pick[uint32](r, 5000, 5001, r.Uint32()))
	flags := pick(r, tcp.SYN, tcp.SYN|tcp.ACK, tcp.ACK, tcp.ACK|tcp.PSH, tcp.FIN|tcp.ACK, tcp.RST,
		tcp.RST|tcp.ACK, tcp.ACK, tcp.ACK, tcp.Flags(r.IntN(256)))
	f.put(0x50|byte(r.IntN(20)/19), byte(flags)).put16(uint16(r.Uint32())).put16(0).put16(uint16(r.IntN(3)))
	from := len(f.b)
	for n := r.IntN(5); n > 0; n-- {
		g.tcpOption(f)
	}
	for (len(f.b)-from)%4 != 0 {
		f.put(pick[byte](r, 0, 1))
	}
	if len(f.b)-from > 40 {
		f.b = f.b[:from+40]
	}
	f.b[at+12] |= byte(5+(len(f.b)-from)/4) << 4
	f.b[at+12] &= byte(5+(len(f.b)-from)/4)<<4 | 0xf
	if chance(r, 40) {
		f.random(r, r.IntN(60))
	}
	if chance(r, 80) {
		f.fixSum(at+16, at, sum+uint64(len(f.b)-at))
	}
}

// tcpOption appends one option, now and then of a wrong length.
func (g *generator) tcpOption(f *frame) {
	r := g.r
	if chance(r, 15) {
		f.put(1)
		return
	}
	kind := pick[byte](r, 2, 3, 4, 5, 5, 8, 8, 6, 7, 11, 12, 13, 19, 20, 28, 29, 30, 30, 30, 34, 254, 254, 253, 0, byte(r.Uint32()))
	size := map[byte]int{2: 2, 3: 1, 4: 0, 6: 4, 7: 4, 8: 8, 11: 4, 12: 4, 13: 4, 19: 16, 20: 2, 28: 2}
	n, fixed := size[kind]
	switch {
	case kind <= 1:
		f.put(kind)
		return
	case kind == 5:
		n = 8 * (1 + r.IntN(3))
	case kind == 30:
		g.multipath(f)
		return
	case kind == 254:
		n = 2 + r.IntN(4)
		f.put(kind, byte(n+2))
		f.put16(pick[uint16](r, 0xf989, 0xe2d4)).random(r, n-2)
		return
	case !fixed:
		n = r.IntN(10)
	}
	stated := n + 2
	if chance(r, 5) {
		stated = r.IntN(12)
	}
	f.put(kind, byte(stated)).random(r, n)
}

func (g *generator) multipath(f *frame) {
	r := g.r
	subtype := r.IntN(10)
	sizes := [][]int{{4, 12, 20, 22}, {12, 16, 24}, {8, 12, 16, 18, 20, 24, 28}, {8, 10, 16, 18, 20, 22, 28, 30},
		{4, 5, 6}, {3, 4}, {12}, {12}, {4}, {6}}[subtype]
	size := pick(r, sizes...)
	if chance(r, 5) {
		size = 2 + r.IntN(20)
	}
	f.put(30, byte(size))
	if size > 2 {
		f.put(byte(subtype)<<4 | byte(r.IntN(8)))
	}
	f.random(r, max(0, size-3))
}
