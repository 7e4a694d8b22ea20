package render

// quoted is a packet for an ICMP error to quote, cut as routers do.
func (g *generator) quoted(f *frame, v6 bool) {
	r, at := g.r, len(f.b)
	in := layer{protoTCP, g.tcp}
	if chance(r, 30) {
		in = layer{protoUDP, g.udp}
	}
	if v6 {
		g.ip6(f, in)
	} else {
		g.ip4(f, in)
		if chance(r, 50) {
			f.b = f.b[:at+int(f.b[at]&15)*4+8]
		}
	}
}

func (g *generator) icmp4(f *frame, _ uint64) {
	r, at := g.r, len(f.b)
	typ := pick[byte](r, 0, 8, 3, 3, 3, 3, 4, 5, 9, 10, 11, 11, 12, 13, 14, 15, 16, 17, 18, 40)
	code := byte(r.IntN(4))
	if typ == 3 {
		code = byte(r.IntN(18))
	}
	f.freeze(typ).put(code).put16(0)
	switch typ {
	case 3, 4, 5, 11, 12:
		f.put16(0).put16(pick[uint16](r, 0, 1400))
		g.quoted(f, false)
		if chance(r, 20) {
			g.multipart(f, at)
		}
	case 9:
		n := r.IntN(3)
		f.put(byte(n), pick[byte](r, 2, 2, 3)).put16(pick[uint16](r, 20, 1800, 7300)).random(r, 8*n)
	default:
		f.random(r, 4+r.IntN(30))
	}
	if chance(r, 80) {
		f.fixSum(at+2, at, 0)
	}
}

// multipart pads the quote and appends extensions (RFC 4884).
func (g *generator) multipart(f *frame, at int) {
	r := g.r
	for len(f.b) < at+icmpExtensionAt {
		f.put(0)
	}
	f.b = f.b[:at+icmpExtensionAt]
	from := len(f.b)
	f.put(pick[byte](r, 0x20, 0x20, 0x20, 0x10), 0, 0, 0)
	f.put16(8).put(1, 1).random(r, 4)
	if chance(r, 50) {
		f.put16(8).put(2, 3).random(r, 4)
	}
	f.fixSum(from+2, from, 0)
	f.b[at+5] = pick[byte](r, 0, 32)
}

func (g *generator) icmp6(f *frame, sum uint64) {
	r, at := g.r, len(f.b)
	typ := pick[byte](r, 1, 1, 1, 2, 3, 4, 128, 129, 130, 130, 131, 132, 133, 134, 134, 135, 136, 137, 143)
	code := byte(r.IntN(5))
	f.freeze(typ).freeze(code).put16(0)
	switch typ {
	case 1, 2, 3, 4:
		f.put32(pick[uint32](r, 1280, 40))
		g.quoted(f, true)
	case 130, 131, 132:
		f.random(r, 2).put16(0).put(g.addr6()...)
		if typ == 130 && chance(r, 60) {
			n := r.IntN(3)
			f.random(r, 2).put16(uint16(n))
			for range n {
				f.put(g.addr6()...)
			}
		}
	case 133:
		f.put32(0)
		g.discovery(f)
	case 134:
		f.random(r, 12)
		g.discovery(f)
	case 135, 136:
		f.random(r, 4).put(g.addr6()...)
		g.discovery(f)
	case 137:
		f.put32(0).put(g.addr6()...).put(g.addr6()...)
		g.discovery(f)
	case 143:
		g.listenerReport(f)
	default:
		f.random(r, 4+r.IntN(30))
	}
	if chance(r, 80) {
		f.fixSum(at+2, at, sum+uint64(len(f.b)-at))
	}
}

func (g *generator) listenerReport(f *frame) {
	r, groups := g.r, g.r.IntN(3)
	f.put16(0).put16(uint16(groups))
	for range groups {
		n := r.IntN(3)
		f.put(byte(r.IntN(8)), 0).put16(uint16(n)).put(g.addr6()...)
		for range n {
			f.put(g.addr6()...)
		}
	}
}

// discovery appends neighbour discovery options.
func (g *generator) discovery(f *frame) {
	r := g.r
	for range r.IntN(4) {
		switch r.IntN(8) {
		case 0, 1:
			f.freeze(byte(1+r.IntN(2)), 1).random(r, 6)
		case 2:
			f.freeze(3, 4).random(r, 2).put32(pick(r, 1<<32-1, r.Uint32())).random(r, 8).put(g.addr6()...)
		case 3:
			f.freeze(5, 1).random(r, 6)
		case 4:
			f.freeze(25, 3).random(r, 6).put(g.addr6()...)
		case 5:
			f.freeze(24, byte(1+r.IntN(3)))
			f.random(r, int(f.b[len(f.b)-1])*8-2)
		case 6:
			f.freeze(pick[byte](r, 7, 8, 99), 1).random(r, 6)
		case 7:
			f.freeze(4, 2).random(r, 14)
		}
	}
}
