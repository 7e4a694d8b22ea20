package render

// transport prints length bytes of proto at off, behind the IP header at iph.
func (d *dissection) transport(proto uint8, off int, length uint32, iph int, fragmented bool) {
	for proto == protoAH && !d.cut {
		d.proto = "ah"
		if !d.have(off, 1) {
			d.truncated()
			return
		}
		proto = d.u8(off)
		size := d.authentication(off)
		off, length = off+size, length-uint32(size)
	}
	if d.cut {
		return
	}
	v6 := d.isV6(iph)
	switch {
	case proto == protoTCP:
		d.tcp(off, length, iph, fragmented)
	case proto == protoUDP:
		d.udp(off, length, iph, fragmented)
	case proto == protoICMP && !v6:
		d.icmp4(off, length, fragmented)
	case proto == protoICMPv6 && v6:
		d.icmp6(off, length, iph, fragmented)
	case proto == protoICMP:
		d.put("[ICMP requires IPv4]")
		d.invalid()
	case proto == protoICMPv6:
		d.put("[ICMPv6 requires IPv6]")
		d.invalid()
	case proto == protoIPIP:
		d.ip4(off, int(length))
	case proto == protoIPv6:
		d.ip6(off, int(length))
	case proto == protoESP:
		d.encapsulated(off, length)
	case proto == protoNone:
		d.put("no next header")
	default:
		d.otherProtocol(proto, length)
	}
}

// otherProtocol gives a protocol that tcpdump would decode its name and
// length, and one that it would not, what tcpdump says.
func (d *dissection) otherProtocol(proto uint8, length uint32) {
	if name, ok := protoNames[uint16(proto)]; ok && !isHeader6(proto) {
		d.put(name)
		d.dec(", length ", length)
		return
	}
	d.dec(" ip-proto-", uint32(proto))
	d.dec(" ", length)
}

// isHeader6 names the protocols that are headers of IPv6, out of place here.
func isHeader6(proto uint8) bool {
	switch proto {
	case protoHopByHop, protoRouting, protoFragment, protoDestOpts, protoMobility, protoMobilityOld:
		return true
	}
	return false
}

// authentication prints an authentication header (RFC 4302) and returns its size.
func (d *dissection) authentication(off int) int {
	d.put("AH")
	words := d.u8(off + 1)
	size := (int(words) + 2) * 4
	d.put("(")
	if d.opts.Verbose > 0 {
		d.dec("length=", uint32(words))
		d.dec("(", uint32(size))
		d.put("-bytes),")
	}
	if reserved := d.u16(off + 2); reserved != 0 {
		d.hex("reserved=0x", uint64(reserved), 1)
		d.put("[MustBeZero],")
	}
	d.hex("spi=0x", uint64(d.u32(off+4)), 8)
	d.put(",")
	d.hex("seq=0x", uint64(d.u32(off+8)), 1)
	d.put(",icv=0x")
	d.hexBytes(off+12, size-12, 0)
	d.put("): ")
	return size
}

func (d *dissection) encapsulated(off int, length uint32) {
	d.proto = "esp"
	if !d.have(off, 9) {
		d.truncated()
		return
	}
	d.hex("ESP(spi=0x", uint64(d.u32(off)), 8)
	d.hex(",seq=0x", uint64(d.u32(off+4)), 1)
	d.dec("), length ", length)
}

// udp prints a UDP header.
func (d *dissection) udp(off int, length uint32, iph int, fragmented bool) {
	d.proto = "udp"
	if !d.have(off+2, 2) {
		if d.direct(iph, protoUDP) {
			d.addresses(iph)
			d.put(": ")
		}
		d.truncated()
		return
	}
	sport, dport := d.u16(off), d.u16(off+2)
	d.endpoints(iph, protoUDP, sport, dport)
	if length < 8 {
		d.dec("truncated-udp ", length)
		return
	}
	if !d.have(off+4, 2) {
		d.truncated()
		return
	}
	stated := uint32(d.u16(off + 4))
	if stated == 0 && length > 65535 {
		stated = length // a jumbogram, RFC 2675
	}
	if stated < 8 {
		d.dec("truncated-udplength ", stated)
		return
	}
	stated, length = stated-8, min(stated, length)-8
	if !d.have(off, 8) {
		d.truncated()
		return
	}
	d.udpChecksum(off, length+8, iph, fragmented)
	if stated > length && !fragmented {
		d.dec("UDP, bad length ", stated)
		d.dec(" > ", length)
		return
	}
	d.dec("UDP, length ", stated)
}

// direct reports whether proto follows the IP header at iph without others
// between them.
func (d *dissection) direct(iph int, proto uint8) bool {
	if d.isV6(iph) {
		return d.f[iph+6] == proto
	}
	return d.f[iph+9] == proto
}

// udpChecksum prints the verdict on the checksum: over IPv4 from -vv on, over
// IPv6, where it is mandatory, from -v on.
func (d *dissection) udpChecksum(off int, total uint32, iph int, fragmented bool) {
	v6 := d.isV6(iph)
	if fragmented || d.opts.Verbose == 0 || !v6 && d.opts.Verbose < 2 {
		return
	}
	is := d.u16(off + 6)
	if is == 0 && !v6 {
		d.put("[no cksum] ")
		return
	}
	if !d.have(off, int(total)) {
		return
	}
	wrong := d.transportChecksum(iph, off, total, protoUDP)
	if wrong == 0 {
		d.put("[udp sum ok] ")
		return
	}
	d.hex("[bad udp cksum 0x", uint64(is), 4)
	d.hex(" -> 0x", uint64(checksumShould(is, wrong)), 4)
	d.put("!] ")
}
