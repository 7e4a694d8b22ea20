package render

// ICMP types (RFC 792 and others).
const (
	icmpEchoReply    = 0
	icmpUnreachable  = 3
	icmpSourceQuench = 4
	icmpRedirect     = 5
	icmpEcho         = 8
	icmpRouterAdvert = 9
	icmpTimeExceeded = 11
	icmpParameter    = 12
	icmpStamp        = 13
	icmpStampReply   = 14
	icmpMaskReply    = 18

	icmpCodePort     = 3
	icmpCodeNeedFrag = 4
)

// icmpTypeNames are the types that a name says all about.
var icmpTypeNames = map[uint16]string{
	icmpSourceQuench: "source quench", 10: "router solicitation",
	15: "information request", 16: "information reply", 17: "address mask request",
}

// icmpUnreachNames are what stands before and behind the quoted destination.
var icmpUnreachNames = [...]struct{ before, behind string }{
	{"net ", " unreachable"},
	{"host ", " unreachable"},
	{"", " protocol "},
	{"", ""},
	{"", " unreachable - need to frag"},
	{"", " unreachable - source route failed"},
	{"net ", " unreachable - unknown"},
	{"host ", " unreachable - unknown"},
	{"", " unreachable - source host isolated"},
	{"net ", " unreachable - admin prohibited"},
	{"host ", " unreachable - admin prohibited"},
	{"net ", " unreachable - tos prohibited"},
	{"host ", " unreachable - tos prohibited"},
	{"host ", " unreachable - admin prohibited filter"},
	{"host ", " unreachable - host precedence violation"},
	{"host ", " unreachable - precedence cutoff"},
}

// icmpRedirectNames are what stands before and behind the destination.
var icmpRedirectNames = [...]struct{ before, behind string }{
	{"redirect ", " to net "}, {"redirect ", " to host "},
	{"redirect-tos ", " to net "}, {"redirect-tos ", " to host "},
}

// icmp4 prints an ICMP message of length bytes.
func (d *dissection) icmp4(off int, length uint32, fragmented bool) {
	d.proto = "icmp"
	typ, code := d.u8(off), d.u8(off+1)
	mark := len(d.b)
	d.put("ICMP ")
	d.icmp4Message(typ, code, off)
	if d.cut {
		d.b = d.b[:mark] // the message is told whole or not at all
		return
	}
	d.dec(", length ", length)
	if d.opts.Verbose == 0 {
		return
	}
	if !fragmented {
		d.icmp4Checksum(off, int(length))
	}
	if icmp4Quotes(typ) {
		d.icmp4Quote(off + 8)
	}
	d.proto = "icmp"
	if typ == icmpUnreachable || typ == icmpTimeExceeded || typ == icmpParameter {
		d.icmpExtension(off, int(length))
	}
}

// icmp4Quotes reports whether a type quotes the packet it is about.
func icmp4Quotes(typ uint8) bool {
	switch typ {
	case icmpUnreachable, icmpSourceQuench, icmpRedirect, icmpTimeExceeded, icmpParameter:
		return true
	}
	return false
}

func (d *dissection) icmp4Quote(at int) {
	d.put("\n\t")
	total := int(d.u16(at + 2))
	was := d.end
	d.end = min(at+total, d.end)
	if d.need(at+2, 2) { // the length itself is inside what it bounds
		d.ip4(at, total)
	}
	d.end = was
}

func (d *dissection) icmp4Checksum(off, length int) {
	if d.cut || !d.have(off, length) {
		return
	}
	if wrong := checksum(onesSum(0, d.f[off:off+length])); wrong != 0 {
		is := d.u16(off + 2)
		d.hex(" (wrong icmp cksum ", uint64(is), 1)
		d.hex(" (->", uint64(checksumShould(is, wrong)), 1)
		d.put(")!)")
	}
}

func (d *dissection) icmp4Message(typ, code uint8, off int) {
	switch typ {
	case icmpEcho, icmpEchoReply:
		name := "echo reply"
		if typ == icmpEcho {
			name = "echo request"
		}
		d.put(name)
		d.icmpIDSeq(", id ", ", seq ", off)
	case icmpUnreachable:
		d.icmp4Unreachable(code, off)
	case icmpRedirect:
		d.icmp4Redirect(code, off)
	case icmpRouterAdvert:
		d.icmp4Routers(off)
	case icmpTimeExceeded:
		d.icmp4TimeExceeded(code, off)
	case icmpParameter:
		d.icmp4Parameter(code, off)
	case icmpMaskReply:
		d.hex("address mask is 0x", uint64(d.u32(off+8)), 8)
	case icmpStamp:
		d.put("time stamp query")
		d.icmpIDSeq(" id ", " seq ", off)
	case icmpStampReply:
		d.put("time stamp reply")
		d.icmpIDSeq(" id ", " seq ", off)
		d.icmp4Clock(": org ", d.u32(off+8))
		d.icmp4Clock(", recv ", d.u32(off+12))
		d.icmp4Clock(", xmit ", d.u32(off+16))
	default:
		if name, ok := icmpTypeNames[uint16(typ)]; ok {
			d.put(name)
		} else {
			d.dec("type-#", uint32(typ))
		}
	}
}

func (d *dissection) icmpIDSeq(id, seq string, off int) {
	d.dec(id, uint32(d.u16(off+4)))
	d.dec(seq, uint32(d.u16(off+6)))
}

// icmp4Clock prints milliseconds since midnight UTC.
func (d *dissection) icmp4Clock(what string, ms uint32) {
	d.put(what)
	d.two(ms / 3600000)
	d.put(":")
	d.two(ms / 60000 % 60)
	d.put(":")
	d.two(ms / 1000 % 60)
	d.put(".")
	d.dec("", ms%1000/100)
	d.two(ms % 100)
}

// two prints at least two digits.
func (d *dissection) two(v uint32) {
	if v < 10 {
		d.put("0")
	}
	d.dec("", v)
}

func (d *dissection) icmp4Unreachable(code uint8, off int) {
	quote := off + 8
	if int(code) >= len(icmpUnreachNames) {
		d.addr4(quote + 16)
		d.dec(" unreachable - #", uint32(code))
		return
	}
	if code == icmpCodePort {
		d.icmp4Port(quote)
		return
	}
	names := icmpUnreachNames[code]
	d.put(names.before)
	d.addr4(quote + 16)
	d.put(names.behind)
	switch code {
	case 2:
		d.dec("", uint32(d.u8(quote+9)))
		d.put(" unreachable")
	case icmpCodeNeedFrag:
		if mtu := d.u16(off + 6); mtu != 0 {
			d.dec(" (mtu ", uint32(mtu))
			d.put(")")
		}
	}
}

// icmp4Port prints the port that the quoted packet was for.
func (d *dissection) icmp4Port(quote int) {
	headerLen := int(d.u8(quote)&15) * 4
	port, proto := d.u16(quote+headerLen+2), d.u8(quote+9)
	d.addr4(quote + 16)
	switch proto {
	case protoTCP:
		d.dec(" tcp port ", uint32(port))
	case protoUDP:
		d.dec(" udp port ", uint32(port))
	default:
		d.dec(" protocol ", uint32(proto))
		d.dec(" port ", uint32(port))
	}
	d.put(" unreachable")
}

func (d *dissection) icmp4Redirect(code uint8, off int) {
	behind := " to "
	if int(code) < len(icmpRedirectNames) {
		d.put(icmpRedirectNames[code].before)
		behind = icmpRedirectNames[code].behind
	} else {
		d.dec("redirect-#", uint32(code))
		d.put(" ")
	}
	d.addr4(off + 24)
	d.put(behind)
	d.addr4(off + 4)
}

func (d *dissection) icmp4TimeExceeded(code uint8, off int) {
	d.need(off+24, 4)
	switch code {
	case 0:
		d.put("time exceeded in-transit")
	case 1:
		d.put("ip reassembly time exceeded")
	default:
		d.dec("time exceeded-#", uint32(code))
	}
}

func (d *dissection) icmp4Parameter(code uint8, off int) {
	if code != 0 {
		d.dec("parameter problem - code ", uint32(code))
		return
	}
	d.dec("parameter problem - octet ", uint32(d.u8(off+4)))
}

// icmp4Routers prints a router advertisement (RFC 1256).
func (d *dissection) icmp4Routers(off int) {
	count, size, lifetime := d.u8(off+4), d.u8(off+5), uint32(d.u16(off+6))
	d.put("router advertisement lifetime ")
	switch {
	case lifetime < 60:
		d.dec("", lifetime)
	case lifetime < 3600:
		d.dec("", lifetime/60)
		d.put(":")
		d.two(lifetime % 60)
	default:
		d.dec("", lifetime/3600)
		d.put(":")
		d.two(lifetime % 3600 / 60)
		d.put(":")
		d.two(lifetime % 60)
	}
	d.dec(" ", uint32(count))
	d.put(":")
	if size != 2 {
		d.dec(" [size ", uint32(size))
		d.put("]")
		return
	}
	for i := range int(count) {
		d.put(" {")
		d.addr4(off + 8 + 8*i)
		d.dec(" ", d.u32(off+12+8*i))
		d.put("}")
	}
}
