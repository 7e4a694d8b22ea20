package render

// ip6 prints the datagram at off; length is what the layer below says.
func (d *dissection) ip6(off, length int) {
	was := d.end
	d.proto = "ip6"
	if h := (ip6Walk{off: off, length: length}); d.ip6Header(&h) {
		for d.ip6Next(&h) {
			d.proto = "ip6"
		}
	}
	d.end = was
}

// ip6Walk is the way along the header chain of a datagram.
type ip6Walk struct {
	off, length int    // the datagram, and its length by the layer below
	at          int    // the header at hand
	size        int    // its size
	left        uint32 // bytes from it on
	passed      uint32 // bytes before it
	proto       uint8  // what it is; while size is not yet added, what follows
	first       bool   // it directly follows the fixed header
	payload     uint32 // as stated; a valid jumbo option changes it
	jumbo       bool
	hopByHop    bool // seen
	extended    bool // some extension header was seen
	fragmented  bool
}

// ip6Header prints the fixed header and sets out the walk behind it.
func (d *dissection) ip6Header(h *ip6Walk) bool {
	if !d.have(h.off, 40) {
		d.truncated()
		return false
	}
	if h.length < 40 {
		d.dec("truncated-ip6 ", uint32(h.length))
		return false
	}
	if !d.opts.Link {
		d.put("IP6 ")
	}
	if version := d.u8(h.off) >> 4; version != 6 {
		d.dec("version error: ", uint32(version))
		d.put(" != 6")
		return false
	}
	h.payload, h.proto = uint32(d.u16(h.off+4)), d.u8(h.off+6)
	h.at, h.size, h.first = h.off, 40, true
	h.left = h.payload + 40
	if h.payload == 0 { // none, or a jumbogram: how much is in an option
		h.left = uint32(h.length) + 40
	} else {
		d.missing6(h)
	}
	if d.opts.Verbose > 0 {
		d.ip6Verbose(h)
	}
	d.limit(h.off, int(h.left))
	return true
}

func (d *dissection) missing6(h *ip6Walk) {
	if uint32(h.length) < h.left {
		d.dec("truncated-ip6 - ", h.left-uint32(h.length))
		d.put(" bytes missing!")
	}
}

func (d *dissection) ip6Verbose(h *ip6Walk) {
	word := d.u32(h.off)
	d.put("(")
	if class := word >> 20 & 0xff; class != 0 {
		d.hex("class 0x", uint64(class), 2)
		d.put(", ")
	}
	if label := word & 0xfffff; label != 0 {
		d.hex("flowlabel 0x", uint64(label), 5)
		d.put(", ")
	}
	d.dec("hlim ", uint32(d.u8(h.off+7)))
	d.put(", next-header ")
	d.named(protoNames, uint16(h.proto), "unknown")
	d.dec(" (", uint32(h.proto))
	d.dec(") payload length: ", h.payload)
	d.put(") ")
}

// ip6Next steps over the header at hand to the next and prints that. It
// reports whether there is another to follow.
func (d *dissection) ip6Next(h *ip6Walk) bool {
	if h.at >= d.end || d.cut {
		return false
	}
	if h.left < uint32(h.size) {
		d.truncated()
		return false
	}
	h.at += h.size
	h.left -= uint32(h.size)
	h.passed += uint32(h.size)
	if h.first && !printsOwnAddresses(h.proto) {
		d.addresses(h.off)
		d.put(": ")
	}
	proto := h.proto
	switch proto {
	case protoHopByHop:
		h.size = d.hopByHop(h)
	case protoDestOpts:
		h.size = d.destOpts(h.at)
	case protoFragment:
		h.size = d.fragment6(h)
		h.fragmented = true
	case protoRouting:
		h.size = d.routing6(h.at)
	case protoMobility, protoMobilityOld:
		d.put("mobility")
		return false
	default:
		d.ip6Payload(h)
		return false
	}
	h.first, h.extended = false, true
	if h.size > 0 {
		h.proto = d.u8(h.at)
	}
	return h.size > 0
}

// ip6Payload prints what the chain leads to.
func (d *dissection) ip6Payload(h *ip6Walk) {
	switch {
	case h.jumbo:
		total := h.payload + 40
		if total < h.passed {
			d.truncated()
			return
		}
		if h.left = total; uint32(h.length) < total {
			d.missing6(h)
		}
		h.left = total - h.passed
	case h.payload == 0 && h.extended:
		d.truncated()
		return
	case h.payload == 0:
		h.left = 40 - h.passed
		d.limit(h.off, 40)
	}
	d.transport(h.proto, h.at, h.left, h.off, h.fragmented)
}

// fragment6 prints a fragment header and returns its size, -1 where the
// fragment is not the first one: what it carries then starts in the middle.
func (d *dissection) fragment6(h *ip6Walk) int {
	d.proto = "frag6"
	offset := d.u16(h.at+2) & 0xfff8
	size := uint64(int64(40 + int(d.u16(h.off+4)) - (h.at - h.off) - 8))
	if d.opts.Verbose > 0 {
		d.need(h.at, 8)
	}
	d.put("frag (")
	if d.opts.Verbose > 0 {
		d.hex("0x", uint64(d.u32(h.at+4)), 8)
		d.put(":")
	}
	if !d.cut {
		d.b = appendUint(d.b, uint64(offset))
		d.b = append(d.b, '|')
		d.b = appendUint(d.b, size)
		d.b = append(d.b, ')')
	}
	if offset != 0 {
		return -1
	}
	d.put(" ")
	if d.end <= h.at+8 {
		return -1
	}
	return 8
}
