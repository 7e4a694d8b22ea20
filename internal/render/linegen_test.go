package render

import (
	"encoding/binary"
	"math/rand/v2"

	"tcpstory/internal/tcp"
)

// frame is a made-up frame. The bytes at frozen say which dissector comes
// next; damage leaves them alone, for other dissectors are not ours.
type frame struct {
	b      []byte
	frozen map[int]bool
}

func newFrame() *frame { return &frame{frozen: map[int]bool{}} }

func (f *frame) put(b ...byte) *frame { f.b = append(f.b, b...); return f }

func (f *frame) freeze(b ...byte) *frame {
	for i := range b {
		f.frozen[len(f.b)+i] = true
	}
	return f.put(b...)
}

func (f *frame) put16(v uint16) *frame { f.b = binary.BigEndian.AppendUint16(f.b, v); return f }
func (f *frame) put32(v uint32) *frame { f.b = binary.BigEndian.AppendUint32(f.b, v); return f }

func (f *frame) random(r *rand.Rand, n int) *frame {
	for range n {
		f.b = append(f.b, byte(r.Uint32()))
	}
	return f
}

// be16 is v in network order.
func be16(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }

// fix16 overwrites two bytes.
func (f *frame) fix16(at int, v uint16) { binary.BigEndian.PutUint16(f.b[at:], v) }

// fixSum puts a right checksum at at, over what starts at from and the
// pseudo-header that sum already holds.
func (f *frame) fixSum(at, from int, sum uint64) {
	f.fix16(at, 0)
	f.fix16(at, checksum(onesSum(sum, f.b[from:])))
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// chance is true in percent of a hundred cases.
func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// port avoids those whose payload tcpdump decodes.
func port(r *rand.Rand) uint16 { return uint16(20000 + r.IntN(10)*7) }

// generator makes frames of one link type.
type generator struct {
	r    *rand.Rand
	link tcp.LinkType
}

func (g *generator) linkHeader(f *frame, etherType uint16) {
	r := g.r
	switch g.link {
	case tcp.LinkEthernet:
		f.random(r, 12)
		for chance(r, 20) {
			f.freeze(be16(pick[uint16](r, 0x8100, 0x88a8, 0x9100, 0x9200))...).random(r, 2)
		}
		f.freeze(be16(etherType)...)
	case tcp.LinkSLL:
		f.put16(uint16(r.IntN(6))).freeze(0, 1).put16(uint16(5+r.IntN(3))).random(r, 8)
		g.cookedTail(f, etherType)
	case tcp.LinkSLL2:
		outer := etherType
		tagged := chance(r, 20)
		if tagged {
			outer = 0x8100
		}
		f.freeze(be16(outer)...).put16(0).freeze(0, 13, 0xbb, byte(0xa0+r.IntN(3)), 0, 1)
		f.put(byte(r.IntN(6)), byte(5+r.IntN(3))).random(r, 8)
		if tagged {
			f.random(r, 2).freeze(be16(etherType)...)
		}
	case tcp.LinkNull:
		family := uint32(2)
		if etherType == etherIPv6 {
			family = pick[uint32](r, 24, 28, 30)
		}
		f.freeze(binary.LittleEndian.AppendUint32(nil, family)...)
	case tcp.LinkLoop:
		f.freeze(0, 0, 0, map[bool]byte{true: 24, false: 2}[etherType == etherIPv6])
	}
}

func (g *generator) cookedTail(f *frame, etherType uint16) {
	if chance(g.r, 20) {
		f.freeze(0x81, 0).random(g.r, 2)
	}
	f.freeze(be16(etherType)...)
}

// make returns a random frame and its length on the wire.
func (g *generator) make() (b []byte, length int) {
	r, f := g.r, newFrame()
	if chance(r, 5) && g.link != tcp.LinkRaw && g.link != tcp.LinkNull && g.link != tcp.LinkLoop {
		g.linkHeader(f, etherARP)
		g.arp(f)
	} else if chance(r, 50) {
		g.linkHeader(f, etherIPv4)
		g.ip4(f, g.innermost(false))
	} else {
		g.linkHeader(f, etherIPv6)
		g.ip6(f, g.innermost(true))
	}
	g.damage(f)
	length = len(f.b)
	if chance(r, 10) { // padding
		f.random(r, r.IntN(20))
		length = len(f.b)
	}
	if chance(r, 15) {
		f.b = f.b[:1+r.IntN(len(f.b))]
	}
	return f.b, length
}

func (g *generator) damage(f *frame) {
	if !chance(g.r, 30) {
		return
	}
	for range 1 + g.r.IntN(3) {
		at := g.r.IntN(min(len(f.b), 120))
		if !f.frozen[at] {
			f.b[at] = pick(g.r, byte(g.r.Uint32()), f.b[at]^1<<g.r.IntN(8), 0, 255)
		}
	}
}

// layer appends a transport's bytes; sum is the pseudo-header without length.
type layer struct {
	proto byte
	build func(f *frame, sum uint64)
}

func (g *generator) innermost(v6 bool) layer {
	switch n := g.r.IntN(100); {
	case n < 65:
		return layer{protoTCP, g.tcp}
	case n < 75:
		return layer{protoUDP, g.udp}
	case n < 97 && v6:
		return layer{protoICMPv6, g.icmp6}
	case n < 97:
		return layer{protoICMP, g.icmp4}
	case n < 98:
		return layer{protoESP, func(f *frame, _ uint64) { f.random(g.r, g.r.IntN(30)) }}
	}
	return layer{253, func(f *frame, _ uint64) { f.random(g.r, g.r.IntN(30)) }}
}

func (g *generator) addr4() []byte {
	return []byte{10, 0, byte(g.r.IntN(2)), byte(1 + g.r.IntN(2))}
}

func (g *generator) ip4(f *frame, in layer) {
	r, at := g.r, len(f.b)
	f.freeze(0x45).put(pick[byte](r, 0, 0, 0, 1, 2, 3, 0xb8)).put16(0).put16(uint16(r.Uint32()))
	fragment := pick[uint16](r, 0, 0x4000, 0x4000, 0x4000, 0x4000, 0x2000, 0x8000, 100, 0x2007)
	f.put16(fragment).put(pick[byte](r, 64, 63, 1, 0, 255))
	proto, ah := in.proto, chance(r, 4)
	if ah {
		proto = protoAH
	}
	f.freeze(proto).put16(0)
	src, dst := g.addr4(), g.addr4()
	f.put(src...).put(dst...)
	if chance(r, 12) {
		g.ip4Options(f)
	}
	headerLen := len(f.b) - at
	f.b[at] = 0x40 | byte(headerLen/4)
	if ah {
		g.authentication(f, in.proto)
	}
	sum := onesSum(onesSum(uint64(in.proto), src), dst)
	in.build(f, sum)
	f.fix16(at+2, uint16(len(f.b)-at))
	if chance(r, 2) {
		f.fix16(at+2, uint16(r.IntN(100)))
	}
	f.fix16(at+10, checksum(onesSum(0, f.b[at:at+headerLen])))
}

func (g *generator) ip4Options(f *frame) {
	r, from := g.r, len(f.b)
	for range 1 + r.IntN(3) {
		switch r.IntN(6) {
		case 0:
			f.put(ip4OptNop)
		case 1:
			f.put(ip4OptAlert, 4, 0, byte(r.IntN(2)))
		case 2:
			n := r.IntN(3)
			f.put(pick[byte](r, ip4OptRecord, ip4OptLSRR, ip4OptSSRR), byte(3+4*n), byte(4*(1+r.IntN(3)))).random(r, 4*n)
		case 3:
			f.put(ip4OptTimestamp, 12, pick[byte](r, 5, 9, 13, 0), pick[byte](r, 0, 1, 3, 2, 0x10)).random(r, 8)
		case 4:
			f.put(ip4OptSecurity, 6).random(r, 4)
		case 5:
			f.put(byte(r.Uint32()), byte(r.IntN(5)), 0, 0)
		}
	}
	for (len(f.b)-from)%4 != 0 {
		f.put(ip4OptEnd)
	}
	f.b = f.b[:min(len(f.b), from+40)]
}

func (g *generator) authentication(f *frame, next byte) {
	f.freeze(next).put(byte(1+g.r.IntN(4)), 0, byte(g.r.IntN(2)))
	words := int(f.b[len(f.b)-3])
	f.random(g.r, 4*words+4)
}

func (g *generator) addr6() []byte {
	r := g.r
	a := make([]byte, 16)
	switch r.IntN(8) {
	case 0:
		a[15] = byte(r.IntN(3))
	case 1:
		a[10], a[11] = 0xff, 0xff
		copy(a[12:], g.addr4())
	case 2:
		copy(a[12:], g.addr4())
	case 3:
		for i := range a {
			a[i] = byte(r.IntN(2) * r.IntN(256))
		}
	case 4:
		a[0], a[1], a[9], a[15] = 0x20, 1, 1, byte(r.IntN(2))
	default:
		copy(a, []byte{0xfd, 0})
		a[15] = byte(1 + r.IntN(2))
	}
	return a
}

func (g *generator) ip6(f *frame, in layer) {
	r, at := g.r, len(f.b)
	f.freeze(0x60).put(pick[byte](r, 0, 0, 0x20, 0x0f)).put16(pick[uint16](r, 0, 0, 0x1234))
	f.put16(0)
	chain := g.chain6()
	next := func(i int) byte {
		if i < len(chain) {
			return chain[i]
		}
		return in.proto
	}
	f.freeze(next(0)).put(pick[byte](r, 64, 1, 255))
	src, dst := g.addr6(), g.addr6()
	f.put(src...).put(dst...)
	for i, kind := range chain {
		g.extension6(f, kind, next(i+1))
	}
	in.build(f, onesSum(onesSum(uint64(in.proto), src), dst))
	f.fix16(at+4, uint16(len(f.b)-at-40))
	if chance(r, 2) {
		f.fix16(at+4, uint16(r.IntN(100)))
	}
}

func (g *generator) chain6() (chain []byte) {
	for chance(g.r, 20) {
		chain = append(chain, pick[byte](g.r, protoHopByHop, protoDestOpts, protoRouting, protoFragment, protoAH))
	}
	return chain
}

func (g *generator) extension6(f *frame, kind, next byte) {
	r := g.r
	switch kind {
	case protoAH:
		g.authentication(f, next)
	case protoFragment:
		f.freeze(next).put(0).put16(pick[uint16](r, 0, 1, 1, 8, 0x101)).random(r, 4)
	case protoRouting:
		n := r.IntN(3)
		f.freeze(next).put(byte(2*n), pick[byte](r, 0, 2, 4, 4, 3), byte(r.IntN(3))).put32(pick[uint32](r, 0, 7))
		for range n {
			f.put(g.addr6()...)
		}
	default:
		f.freeze(next).put(1)
		g.options6(f, 14)
	}
}

// options6 appends n bytes of options.
func (g *generator) options6(f *frame, n int) {
	r, end := g.r, len(f.b)+n
	switch r.IntN(5) {
	case 0:
		f.put(ip6OptAlert, 2, 0, 0)
	case 1:
		f.put(ip6OptJumbo, 4).put32(pick[uint32](r, 100, 70000))
	case 2:
		f.put(0x1e, 3, 1, 2, 3)
	case 3:
		f.put(ip6OptPad1)
	}
	if left := end - len(f.b); left >= 2 {
		f.put(ip6OptPadN, byte(left-2))
	}
	for len(f.b) < end {
		f.put(0)
	}
}

func (g *generator) udp(f *frame, sum uint64) {
	r, at := g.r, len(f.b)
	f.freeze(be16(port(r))...).freeze(be16(port(r))...).put16(0).put16(0).random(r, r.IntN(20))
	f.fix16(at+4, uint16(len(f.b)-at))
	if chance(r, 60) {
		f.fixSum(at+6, at, sum+uint64(len(f.b)-at))
	}
	if chance(r, 5) {
		f.fix16(at+4, uint16(r.IntN(40)))
	}
}

func (g *generator) arp(f *frame) {
	r := g.r
	f.freeze(be16(pick[uint16](r, 1, 1, 1, 6, 99))...).put16(pick[uint16](r, etherIPv4, etherIPv4, etherIPv4, 0x86dd))
	f.put(6, 4).freeze(be16(pick[uint16](r, 1, 2, 3, 4, 8, 9))...).random(r, 10)
	if chance(r, 50) {
		f.put(0, 0, 0, 0, 0, 0)
	} else {
		f.random(r, 6)
	}
	f.put(g.addr4()...)
}
