package render

// ICMPv6 types (RFC 4443, RFC 4861, RFC 2710, RFC 3810).
const (
	icmp6Unreachable    = 1
	icmp6TooBig         = 2
	icmp6TimeExceeded   = 3
	icmp6Parameter      = 4
	icmp6Echo           = 128
	icmp6EchoReply      = 129
	icmp6ListenQuery    = 130
	icmp6ListenReport   = 131
	icmp6ListenDone     = 132
	icmp6RouterSolicit  = 133
	icmp6RouterAdvert   = 134
	icmp6NeighborAsk    = 135
	icmp6NeighborTell   = 136
	icmp6Redirect       = 137
	icmp6ListenReportV2 = 143
)

var icmp6TypeNames = map[uint16]string{
	icmp6Unreachable: "destination unreachable", icmp6TooBig: "packet too big",
	icmp6TimeExceeded: "time exceeded in-transit", icmp6Parameter: "parameter problem",
	icmp6Echo: "echo request", icmp6EchoReply: "echo reply",
	icmp6ListenQuery:   "multicast listener query",
	icmp6ListenReport:  "multicast listener report",
	icmp6ListenDone:    "multicast listener done",
	icmp6RouterSolicit: "router solicitation", icmp6RouterAdvert: "router advertisement",
	icmp6NeighborAsk: "neighbor solicitation", icmp6NeighborTell: "neighbor advertisement",
	icmp6Redirect: "redirect", 138: "router renumbering",
	139: "who-are-you request", 140: "who-are-you reply",
	141: "inverse neighbor solicitation", 142: "inverse neighbor advertisement",
	icmp6ListenReportV2: "multicast listener report v2",
	144:                 "ha discovery request", 145: "ha discovery reply",
	146: "mobile router solicitation", 147: "mobile router advertisement",
	155: "RPL", 200: "mtrace response", 201: "mtrace message",
}

// icmp6Messages print what a type has to say; with -v those of neighbour
// discovery have their length said first.
var icmp6Messages = map[uint8]func(d *dissection, code uint8, off int, length uint32) bool{
	icmp6Unreachable:    (*dissection).icmp6Unreachable,
	icmp6TooBig:         (*dissection).icmp6TooBig,
	icmp6TimeExceeded:   (*dissection).icmp6TimeExceeded,
	icmp6Parameter:      (*dissection).icmp6Parameter,
	icmp6Echo:           (*dissection).icmp6Echo,
	icmp6EchoReply:      (*dissection).icmp6Echo,
	icmp6ListenQuery:    (*dissection).icmp6Query,
	icmp6ListenReport:   (*dissection).icmp6Listener,
	icmp6ListenDone:     (*dissection).icmp6Listener,
	icmp6RouterSolicit:  (*dissection).icmp6RouterSolicit,
	icmp6RouterAdvert:   (*dissection).icmp6RouterAdvert,
	icmp6NeighborAsk:    (*dissection).icmp6NeighborAsk,
	icmp6NeighborTell:   (*dissection).icmp6NeighborTell,
	icmp6Redirect:       (*dissection).icmp6Redirect,
	icmp6ListenReportV2: (*dissection).icmp6Report,
}

// icmp6 prints an ICMPv6 message of length bytes.
func (d *dissection) icmp6(off int, length uint32, iph int, fragmented bool) {
	d.proto = "icmp6"
	if length == 0 {
		d.put("ICMP6, length 0")
		d.invalid()
		return
	}
	verbose := d.opts.Verbose > 0
	if verbose && !fragmented {
		d.icmp6Checksum(off, length, iph)
	}
	typ := d.u8(off)
	d.put("ICMP6, ")
	if name, ok := icmp6TypeNames[uint16(typ)]; ok {
		d.put(name)
	} else {
		d.dec("unknown icmp6 type (", uint32(typ))
		d.put(")")
	}
	discovery := typ >= icmp6RouterSolicit && typ <= icmp6Redirect
	if verbose && discovery {
		d.dec(", length ", length)
	}
	code := d.u8(off + 1)
	message, known := icmp6Messages[typ]
	if known && !message(d, code, off, length) {
		return
	}
	if !verbose || !known {
		d.dec(", length ", length)
	}
}

func (d *dissection) icmp6Checksum(off int, length uint32, iph int) {
	if d.cut || !d.have(off, int(length)) {
		return
	}
	wrong := d.transportChecksum(iph, off, length, protoICMPv6)
	is := d.u16(off + 2)
	if wrong == 0 {
		d.put("[icmp6 sum ok] ")
		return
	}
	d.hex("[bad icmp6 cksum 0x", uint64(is), 4)
	d.hex(" -> 0x", uint64(checksumShould(is, wrong)), 4)
	d.put("!] ")
}

// icmp6UnreachNames are spelled as tcpdump spells them, blanks included.
var icmp6UnreachNames = map[uint16]string{
	0: "unreachable route", 1: " unreachable prohibited", 2: "beyond scope",
	3: "unreachable address", 4: "unreachable port",
}

func (d *dissection) icmp6Unreachable(code uint8, off int, length uint32) bool {
	quote := off + 8
	d.put(", ")
	if name, ok := icmp6UnreachNames[uint16(code)]; ok {
		d.put(name)
	} else {
		d.dec("unknown unreach code (", uint32(code))
		d.put(")")
	}
	switch code {
	case 0, 1, 3:
		d.icmp6About(" ", quote+24)
	case 2:
		d.need(quote+8, 32)
		d.icmp6About(" ", quote+24)
		d.icmp6About(", source address ", quote+8)
	case 4:
		return d.icmp6Port(quote)
	default:
		if d.opts.Verbose <= 1 {
			return false
		}
	}
	return true
}

// icmp6About prints an address, after what.
func (d *dissection) icmp6About(what string, at int) {
	if d.need(at, 16) {
		d.put(what)
		d.addr6(at)
	}
}

// icmp6Port prints the port that the quoted packet was for.
func (d *dissection) icmp6Port(quote int) bool {
	proto, at := d.quotedPorts6(quote)
	if at == 0 {
		d.truncated()
		return false
	}
	port := d.u16(at + 2)
	d.icmp6About(", ", quote+24)
	if proto == protoTCP {
		d.dec(" tcp port ", uint32(port))
	} else {
		d.dec(" udp port ", uint32(port))
	}
	return true
}

// quotedPorts6 finds the ports in a quoted datagram; at is 0 if there are none.
func (d *dissection) quotedPorts6(at int) (proto uint8, ports int) {
	if !d.have(at, 7) {
		return 0, 0
	}
	proto, size := d.f[at+6], 40
	for at < d.end {
		at += size
		switch proto {
		case protoTCP, protoUDP:
			if !d.have(at+2, 2) {
				return 0, 0
			}
			return proto, at
		case protoHopByHop, protoDestOpts, protoRouting, protoFragment, protoAH:
		default:
			return 0, 0
		}
		if !d.have(at, 4) {
			return 0, 0
		}
		size = (int(d.f[at+1]) + 1) * 8
		switch proto {
		case protoFragment:
			if d.u16(at+2)&0xfff8 != 0 {
				return 0, 0
			}
			size = 8
		case protoAH:
			size = (int(d.f[at+1]) + 2) * 4
		}
		proto = d.f[at]
	}
	return 0, 0
}

func (d *dissection) icmp6TooBig(_ uint8, off int, _ uint32) bool {
	d.dec(", mtu ", d.u32(off+4))
	return true
}

func (d *dissection) icmp6TimeExceeded(code uint8, off int, _ uint32) bool {
	switch code {
	case 0:
		d.icmp6About(" for ", off+32)
	case 1:
		d.put(" (reassembly)")
	default:
		d.dec(", unknown code (", uint32(code))
		d.put(")")
	}
	return true
}

var icmp6ParameterNames = [...]string{
	", erroneous - octet ", ", next header - octet ",
	", option - octet ", ", incomplete header chain - octet ",
}

func (d *dissection) icmp6Parameter(code uint8, off int, _ uint32) bool {
	switch {
	case !d.have(off+32, 16):
		d.truncated()
		return false
	case int(code) < len(icmp6ParameterNames):
		d.dec(icmp6ParameterNames[code], d.u32(off+4))
	default:
		d.dec(", code-#", uint32(code))
	}
	return true
}

func (d *dissection) icmp6Echo(_ uint8, off int, _ uint32) bool {
	id, seq := d.u16(off+4), d.u16(off+6)
	d.dec(", id ", uint32(id))
	d.dec(", seq ", uint32(seq))
	return true
}
