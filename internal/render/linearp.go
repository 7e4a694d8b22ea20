package render

var arpHardwareNames = map[uint16]string{
	1: "Ethernet", 6: "TokenRing", 7: "ArcNet", 15: "FrameRelay",
	23: "Strip", 24: "IEEE 1394", 32: "InfiniBand",
}

var arpOperationNames = map[uint16]string{
	1: "Request", 2: "Reply", 3: "Reverse Request", 4: "Reverse Reply",
	8: "Inverse Request", 9: "Inverse Reply", 10: "NACK Reply",
}

// arpATM is ATM, whose packets are laid out differently (RFC 2225).
const arpATM = 19

// arpPacket is where an ARP packet's parts stand (RFC 826).
type arpPacket struct {
	at       int
	protocol uint16
	hlen     int // of hardware addresses
	plen     int // of protocol addresses
}

func (a *arpPacket) senderHard() int  { return a.at + 8 }
func (a *arpPacket) senderProto() int { return a.at + 8 + a.hlen }
func (a *arpPacket) targetHard() int  { return a.at + 8 + a.hlen + a.plen }
func (a *arpPacket) targetProto() int { return a.at + 8 + 2*a.hlen + a.plen }

// arp prints an ARP or RARP packet.
func (d *dissection) arp(off, length int) {
	d.proto = "arp"
	if !d.need(off, 8) {
		return
	}
	hardware, operation := d.u16(off), d.u16(off+6)
	if hardware == arpATM {
		d.dec("ARP, ATM, length ", uint32(length))
		return
	}
	a := arpPacket{at: off, protocol: d.u16(off + 2), hlen: int(d.f[off+4]), plen: int(d.f[off+5])}
	if !d.need(a.targetProto(), a.plen) {
		return
	}
	if !d.opts.Link {
		d.put("ARP, ")
	}
	verbose := d.opts.Verbose > 0
	strange := a.protocol != etherIPv4 && a.protocol != 0x1000 || a.plen != 4 || a.hlen == 0
	if strange || verbose {
		d.arpFormats(hardware, &a)
	}
	if !strange || verbose {
		if verbose {
			d.put(", ")
		}
		d.arpOperation(operation, &a)
	}
	d.dec(", length ", uint32(length))
}

func (d *dissection) arpFormats(hardware uint16, a *arpPacket) {
	if name, ok := arpHardwareNames[hardware]; ok {
		d.put(name)
	} else {
		d.dec("Unknown Hardware (", uint32(hardware))
		d.put(")")
	}
	d.dec(" (len ", uint32(a.hlen))
	d.put("), ")
	if name, ok := etherTypeNames[a.protocol]; ok {
		d.put(name)
	} else {
		d.hex("Unknown Protocol (0x", uint64(a.protocol), 4)
		d.put(")")
	}
	d.dec(" (len ", uint32(a.plen))
	d.put(")")
}

func (d *dissection) arpOperation(operation uint16, a *arpPacket) {
	if name, ok := arpOperationNames[operation]; ok {
		d.put(name)
		d.put(" ")
	} else {
		d.dec("Unknown (", uint32(operation))
		d.put(")")
	}
	switch operation {
	case 1:
		d.arpRequest(a)
	case 2:
		d.arpAddress(a.senderProto(), a)
		d.put(" is-at ")
		d.arpHardware(a.senderHard(), a)
	case 3, 8:
		d.put("who-is ")
		d.arpHardware(a.targetHard(), a)
		d.put(" tell ")
		d.arpHardware(a.senderHard(), a)
	case 4:
		d.arpHardware(a.targetHard(), a)
		d.put(" at ")
		d.arpAddress(a.targetProto(), a)
	case 9:
		d.arpHardware(a.senderHard(), a)
		d.put(" at ")
		d.arpAddress(a.senderProto(), a)
	}
}

func (d *dissection) arpRequest(a *arpPacket) {
	d.put("who-has ")
	d.arpAddress(a.targetProto(), a)
	for _, c := range d.f[a.targetHard():][:a.hlen] {
		if c != 0 {
			d.put(" (")
			d.arpHardware(a.targetHard(), a)
			d.put(")")
			break
		}
	}
	d.put(" tell ")
	d.arpAddress(a.senderProto(), a)
}

func (d *dissection) arpAddress(at int, a *arpPacket) {
	switch {
	case a.protocol != etherIPv4 && a.protocol != 0x1000:
		d.put("<wrong proto type>")
	case a.plen != 4:
		d.put("<wrong len>")
	default:
		d.addr4(at)
	}
}

func (d *dissection) arpHardware(at int, a *arpPacket) {
	if a.hlen == 0 {
		d.put("<empty>")
		return
	}
	d.hexBytes(at, a.hlen, ':')
}
