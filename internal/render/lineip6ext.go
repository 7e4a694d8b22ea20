package render

// IPv6 option kinds (IANA registry).
const (
	ip6OptPad1  = 0
	ip6OptPadN  = 1
	ip6OptAlert = 5
	ip6OptJumbo = 0xc2
	ip6OptHome  = 0xc9
)

// hopByHop prints a hop-by-hop header and returns its size, -1 to stop.
func (d *dissection) hopByHop(h *ip6Walk) int {
	switch {
	case h.hopByHop:
		d.put("[The Hop-by-Hop Options header was already found]")
		d.invalid()
		return -1
	case !h.first:
		d.put("[The Hop-by-Hop Options header don't follow the IPv6 header]")
		d.invalid()
		return -1
	}
	h.hopByHop = true
	d.proto = "hbhopt"
	size := (int(d.u8(h.at+1)) + 1) * 8
	if d.have(h.at, size) {
		d.put("HBH ")
		if !d.ip6Options(h.at+2, size-2, h) {
			d.truncated()
			size = -1
		}
	} else {
		d.truncated()
		size = -1
	}
	if h.payload == 0 && !h.jumbo {
		d.put("[No valid Jumbo Payload Hop-by-Hop option found]")
		d.invalid()
		return -1
	}
	return size
}

// destOpts prints a destination options header and returns its size, -1 to stop.
func (d *dissection) destOpts(at int) int {
	d.proto = "dstopt"
	size := (int(d.u8(at+1)) + 1) * 8
	if !d.have(at, size) {
		d.truncated()
		return -1
	}
	d.put("DSTOPT ")
	if d.opts.Verbose > 0 && !d.ip6Options(at+2, size-2, nil) {
		d.truncated()
		return -1
	}
	return size
}

// ip6Options prints the options in length bytes at off, which were captured.
// h is nil where a jumbo option has no business. It reports false if an
// option does not fit.
func (d *dissection) ip6Options(off, length int, h *ip6Walk) bool {
	jumboSeen := false
	for i := 0; i < length; {
		kind, size := d.u8(off+i), 1
		if kind != ip6OptPad1 {
			if i+1 >= length {
				return false
			}
			size = int(d.u8(off+i+1)) + 2
		}
		if i+size > length {
			return false
		}
		ok := true
		switch kind {
		case ip6OptAlert:
			ok = d.ip6Alert(off+i, length-i)
		case ip6OptJumbo:
			ok = d.ip6Jumbo(off+i, length-i, h, &jumboSeen)
		case ip6OptHome:
			ok = d.ip6Home(off+i, length-i)
		default:
			d.ip6Option(kind, size)
		}
		if !ok || d.cut {
			return ok
		}
		i += size
	}
	if d.opts.Verbose > 0 {
		d.put(" ")
	}
	return true
}

func (d *dissection) ip6Option(kind uint8, size int) {
	if d.opts.Verbose == 0 {
		return
	}
	switch kind {
	case ip6OptPad1:
		d.put("(pad1)")
	case ip6OptPadN:
		d.put("(padn)")
	default:
		d.hex("(opt_type 0x", uint64(kind), 2)
		d.dec(": len=", uint32(size-2))
		d.put(")")
	}
}

// ip6Fits checks the length an option states, and says what is wrong.
func (d *dissection) ip6Fits(off, left, size int, name string) bool {
	if left < size {
		d.put("(")
		d.put(name)
		d.put(": trunc)")
		return false
	}
	stated := int(d.u8(off + 1))
	if stated < size-2 || stated > size-2 && name != "homeaddr" {
		d.put("(")
		d.put(name)
		d.dec(": invalid len ", uint32(stated))
		d.put(")")
		return false
	}
	return true
}

func (d *dissection) ip6Alert(off, left int) bool {
	if !d.ip6Fits(off, left, 4, "rtalert") {
		return false
	}
	if d.opts.Verbose > 0 {
		d.hex("(rtalert: 0x", uint64(d.u16(off+2)), 4)
		d.put(") ")
	}
	return true
}

// ip6Jumbo honours the first jumbo option of a hop-by-hop header (RFC 2675).
func (d *dissection) ip6Jumbo(off, left int, h *ip6Walk, seen *bool) bool {
	if !d.ip6Fits(off, left, 6, "jumbo") {
		return false
	}
	size, why := d.u32(off+2), ""
	switch {
	case *seen:
		why = " - already seen"
	case h == nil:
		why = " - not a hop-by-hop option"
	case h.payload != 0:
		why = " - payload len != 0"
	case size < 65536:
		why = " - < 65536"
	default:
		h.jumbo, h.payload = true, size
	}
	*seen = true
	if d.opts.Verbose > 0 {
		d.dec("(jumbo: ", size)
		d.put(why)
		d.put(") ")
	}
	return true
}

func (d *dissection) ip6Home(off, left int) bool {
	if !d.ip6Fits(off, left, 18, "homeaddr") {
		return false
	}
	if d.opts.Verbose == 0 {
		return true
	}
	d.put("(homeaddr: ")
	d.addr6(off + 2)
	if more := int(d.u8(off+1)) - 16; more > 0 && !d.ip6SubOptions(off+18, more) {
		return false
	}
	d.put(")")
	return true
}

func (d *dissection) ip6SubOptions(off, length int) bool {
	for i := 0; i < length; {
		kind, size := d.u8(off+i), 1
		if kind != ip6OptPad1 {
			if i+1 >= length {
				return false
			}
			size = int(d.u8(off+i+1)) + 2
		}
		if i+size > length {
			return false
		}
		switch kind {
		case ip6OptPad1:
			d.put(", pad1")
		case ip6OptPadN:
			d.put(", padn")
		default:
			d.hex(", sopt_type 0x", uint64(kind), 2)
			d.dec(": len=", uint32(size-2))
		}
		i += size
	}
	return true
}

// routing6 prints a routing header and returns its size, -1 to stop.
func (d *dissection) routing6(at int) int {
	if !d.have(at, 1) {
		d.truncated()
		return -1
	}
	d.proto = "rt6"
	d.put("RT6")
	length := d.u8(at + 1)
	d.dec(" (len=", uint32(length))
	typ := d.u8(at + 2)
	d.dec(", type=", uint32(typ))
	if typ == 0 {
		d.put(" [Deprecated]")
	}
	d.dec(", segleft=", uint32(d.u8(at+3)))
	switch typ {
	case 0, 2:
		if reserved := d.u32(at + 4); reserved != 0 || d.opts.Verbose > 0 {
			d.hex(", rsv=0x", uint64(reserved), 1)
		}
	case 4:
		d.segments6(at)
	default:
		d.put(" (unknown type)")
		d.invalid()
		return -1
	}
	if length%2 == 1 {
		d.dec(" (invalid length ", uint32(length))
		d.put(")")
		d.invalid()
		return -1
	}
	for i := range uint32(length / 2) {
		if d.need(at+8+int(i)*16, 16) {
			d.dec(", [", i)
			d.put("]")
			d.addr6(at + 8 + int(i)*16)
		}
	}
	d.put(") ")
	return (int(length) + 1) * 8
}

// segments6 prints what is particular to a segment routing header (RFC 8754).
func (d *dissection) segments6(at int) {
	d.dec(", last-entry=", uint32(d.u8(at+4)))
	if flags := d.u8(at + 5); flags != 0 || d.opts.Verbose > 0 {
		d.hex(", flags=0x", uint64(flags), 1)
	}
	d.hex(", tag=", uint64(d.u16(at+6)), 1)
}
