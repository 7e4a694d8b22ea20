package render

import (
	"encoding/binary"
	"strconv"
)

// isV6 reports whether the IP header at iph, which was read already, is IPv6.
func (d *dissection) isV6(iph int) bool { return d.f[iph]>>4 == 6 }

// addresses prints "SRC > DST" of the IP header at iph.
func (d *dissection) addresses(iph int) {
	if d.isV6(iph) {
		d.addr6(iph + 8)
		d.put(" > ")
		d.addr6(iph + 24)
		return
	}
	d.addr4(iph + 12)
	d.put(" > ")
	d.addr4(iph + 16)
}

// endpoints prints "SRC.PORT > DST.PORT: "; the addresses are left out where
// other headers stand between the IP header and the ports, for they were
// printed there.
func (d *dissection) endpoints(iph int, proto uint8, sport, dport uint16) {
	src, dst, direct := iph+12, iph+16, d.f[iph+9] == proto
	addr := (*dissection).addr4
	if d.isV6(iph) {
		src, dst, direct = iph+8, iph+24, d.f[iph+6] == proto
		addr = (*dissection).addr6
	}
	if direct {
		addr(d, src)
		d.put(".")
	}
	d.dec("", uint32(sport))
	d.put(" > ")
	if direct {
		addr(d, dst)
		d.put(".")
	}
	d.dec("", uint32(dport))
	d.put(": ")
}

func (d *dissection) addr4(off int) {
	if d.need(off, 4) {
		d.b = appendAddr4(d.b, d.f[off:off+4])
	}
}

func (d *dissection) addr6(off int) {
	if d.need(off, 16) {
		d.b = appendAddr6(d.b, d.f[off:off+16])
	}
}

func appendAddr4(dst, a []byte) []byte {
	for i, v := range a[:4] {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = appendByte(dst, v)
	}
	return dst
}

func appendByte(dst []byte, v byte) []byte {
	switch {
	case v >= 100:
		return append(dst, '0'+v/100, '0'+v/10%10, '0'+v%10)
	case v >= 10:
		return append(dst, '0'+v/10, '0'+v%10)
	}
	return append(dst, '0'+v)
}

// appendAddr6 appends an address as RFC 5952 writes it, but ends it in dotted
// decimal also where it is IPv4-compatible (::1.2.3.4), as tcpdump does.
func appendAddr6(dst, a []byte) []byte {
	var words [8]uint16
	for i := range words {
		words[i] = binary.BigEndian.Uint16(a[2*i:])
	}
	from, to := longestZeros(&words)
	for i := 0; i < 8; i++ {
		if i == from {
			dst = append(dst, ':', ':')
			i = to
			if i == 8 {
				break
			}
		} else if i > 0 {
			dst = append(dst, ':')
		}
		if i == 6 && from == 0 && to == 6 {
			return appendAddr4(dst, a[12:])
		}
		dst = strconv.AppendUint(dst, uint64(words[i]), 16)
		if i == 5 && from == 0 && to == 5 && words[5] == 0xffff {
			return appendAddr4(append(dst, ':'), a[12:])
		}
	}
	return dst
}

// longestZeros returns the first longest run of two zeros or more as
// [from, to), or -1.
func longestZeros(words *[8]uint16) (from, to int) {
	from, to = -1, -1
	for i := 0; i < 8; i++ {
		start := i
		for i < 8 && words[i] == 0 {
			i++
		}
		if n := i - start; n >= 2 && n > to-from {
			from, to = start, i
		}
	}
	return from, to
}
