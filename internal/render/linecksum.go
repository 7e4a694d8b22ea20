package render

import "encoding/binary"

// onesSum adds the 16-bit words of b to sum (RFC 1071); carries gather in the
// upper half. An odd last byte counts as the upper half of a word.
func onesSum(sum uint64, b []byte) uint64 {
	for len(b) >= 4 {
		sum += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// checksum folds sum into the Internet checksum; 0 where the field that was
// summed along is right.
func checksum(sum uint64) uint16 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// checksumShould is what the field that holds is ought to hold, wrong being
// the checksum over everything, the field included.
func checksumShould(is, wrong uint16) uint16 {
	sum := uint32(is) + uint32(wrong)
	sum = sum&0xffff + sum>>16
	return uint16(sum&0xffff + sum>>16)
}

// transportChecksum sums the pseudo-header of the IP header at iph and n
// bytes of proto at off, which were captured.
func (d *dissection) transportChecksum(iph, off int, n uint32, proto uint8) uint16 {
	sum := uint64(proto) + uint64(n)
	if d.isV6(iph) {
		sum = onesSum(sum, d.f[iph+8:iph+24])
		sum = onesSum(sum, d.f[d.finalDst6(iph):][:16])
	} else {
		sum = onesSum(sum, d.f[iph+12:iph+16])
		sum = onesSum(sum, d.f[d.finalDst4(iph):][:4])
	}
	return checksum(onesSum(sum, d.f[off:off+int(n)]))
}

// finalDst4 returns where the destination that the checksum covers stands:
// the last address of a source route, or that of the header.
func (d *dissection) finalDst4(iph int) int {
	at, end := iph+20, min(iph+int(d.f[iph]&15)*4, d.end)
	for at+1 < end && d.f[at] != ip4OptEnd {
		size := 1
		if d.f[at] != ip4OptNop {
			size = int(d.f[at+1])
			if size < 2 || at+size > end {
				break
			}
		}
		if kind := d.f[at]; (kind == ip4OptLSRR || kind == ip4OptSSRR) && size >= 7 {
			return at + size - 4
		}
		at += size
	}
	return iph + 16
}

// finalDst6 returns where the destination that the checksum covers stands:
// the last address of a routing header, or that of the header.
func (d *dissection) finalDst6(iph int) int {
	header := iph + 24
	next, at := d.f[iph+6], iph+40
	for d.have(at, 8) {
		size := (int(d.f[at+1]) + 1) * 8
		switch next {
		case protoFragment:
			size = 8
		case protoHopByHop, protoDestOpts, protoMobility, protoMobilityOld:
		case protoRouting:
			if last := lastSegment(d.f[at+1], d.f[at+2], at); last != 0 && d.have(last, 16) {
				return last
			}
			return header
		default:
			return header
		}
		next, at = d.f[at], at+size
	}
	return header
}

// lastSegment returns the offset of a routing header's final address; 0 if
// its type or length says that there is none. Segment routing lists them
// backwards.
func lastSegment(length, typ uint8, at int) int {
	switch {
	case length%2 == 1:
		return 0
	case typ == 4:
		return at + 8
	case (typ == 0 || typ == 2) && length > 0:
		return at + 8 + (int(length)/2-1)*16
	}
	return 0
}
