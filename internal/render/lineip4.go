package render

// IPv4 option kinds (IANA registry).
const (
	ip4OptEnd        = 0
	ip4OptNop        = 1
	ip4OptRecord     = 7
	ip4OptTimestamp  = 68
	ip4OptTraceroute = 82
	ip4OptSecurity   = 130
	ip4OptLSRR       = 131
	ip4OptSSRR       = 137
	ip4OptAlert      = 148
)

// ip4 prints the datagram at off; length is what the layer below says.
func (d *dissection) ip4(off, length int) {
	was := d.end
	d.ip4Datagram(off, length)
	d.end = was
}

func (d *dissection) ip4Datagram(off, length int) {
	d.proto = "ip"
	if version := d.u8(off) >> 4; version != 4 {
		d.wrongVersion(version)
		return
	}
	if !d.opts.Link {
		d.put("IP ")
	}
	if !d.have(off, 20) {
		d.truncated()
		return
	}
	if length < 20 {
		d.dec("truncated-ip ", uint32(length))
		return
	}
	headerLen := int(d.u8(off)&15) * 4
	if headerLen < 20 {
		d.dec("bad-hlen ", uint32(headerLen))
		return
	}
	total := int(d.u16(off + 2))
	if length < total {
		d.dec("truncated-ip - ", uint32(total-length))
		d.put(" bytes missing! ")
	}
	if total < headerLen {
		d.dec("bad-len ", uint32(total))
		return
	}
	d.limit(off, total)
	if d.opts.Verbose > 0 && !d.ip4Verbose(off, headerLen) {
		return
	}
	d.ip4Payload(off, headerLen, total-headerLen)
}

func (d *dissection) wrongVersion(version uint8) {
	if version == 6 {
		d.put("IP6, wrong link-layer encapsulation")
	} else {
		d.dec("IP", uint32(version))
	}
	d.invalid()
}

func (d *dissection) ip4Payload(off, headerLen, length int) {
	fragment := d.u16(off + 6)
	proto := d.u8(off + 9)
	if fragment&0x1fff != 0 {
		d.addresses(off)
		d.dec(": ip-proto-", uint32(proto))
		return
	}
	if !printsOwnAddresses(proto) {
		d.addresses(off)
		d.put(": ")
	}
	if !d.have(off, headerLen) {
		d.dec(" [remaining caplen(", uint32(d.end-off))
		d.dec(") < header length(", uint32(headerLen))
		d.put(")]")
		d.need(off, headerLen)
		return
	}
	const moreFragments = 0x2000
	d.transport(proto, off+headerLen, uint32(length), off, fragment&moreFragments != 0)
}

// printsOwnAddresses reports whether a protocol's line begins with addresses
// and ports, not with the addresses alone.
func printsOwnAddresses(proto uint8) bool { return proto == protoTCP || proto == protoUDP }

var ecnNames = [4]string{1: ",ECT(1)", 2: ",ECT(0)", 3: ",CE"}

var ip4FlagNames = []bitName{{0x2000, "+"}, {0x4000, "DF"}, {0x8000, "rsvd"}}

// ip4Verbose prints the header's fields. It reports whether to go on.
func (d *dissection) ip4Verbose(off, headerLen int) bool {
	tos, ttl, fragment, proto := d.u8(off+1), d.u8(off+8), d.u16(off+6), d.u8(off+9)
	d.hex("(tos 0x", uint64(tos), 1)
	d.put(ecnNames[tos&3])
	if ttl >= 1 {
		d.dec(", ttl ", uint32(ttl))
	}
	d.dec(", id ", uint32(d.u16(off+4)))
	d.dec(", offset ", uint32(fragment&0x1fff)*8)
	d.put(", flags [")
	d.bits(ip4FlagNames, uint32(fragment&0xe000))
	d.put("], proto ")
	d.named(protoNames, uint16(proto), "unknown")
	d.dec(" (", uint32(proto))
	d.dec("), length ", uint32(d.u16(off+2)))
	complete := true
	if headerLen > 20 {
		d.put(", options (")
		if complete = d.ip4Options(off+20, headerLen-20); !complete {
			d.put(" [truncated-option]")
		}
		d.put(")")
	}
	d.ip4Checksum(off, headerLen)
	d.put(")\n    ")
	if !complete {
		d.addresses(off)
		d.put(": ")
		d.truncated()
	}
	return complete
}

func (d *dissection) ip4Checksum(off, headerLen int) {
	if d.cut || !d.have(off, headerLen) {
		return
	}
	if wrong := checksum(onesSum(0, d.f[off:off+headerLen])); wrong != 0 {
		is := d.u16(off + 10)
		d.hex(", bad cksum ", uint64(is), 1)
		d.hex(" (->", uint64(checksumShould(is, wrong)), 1)
		d.put(")!")
	}
}
