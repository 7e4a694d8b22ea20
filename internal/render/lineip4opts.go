package render

var ip4OptionNames = map[uint16]string{
	ip4OptEnd: "EOL", ip4OptNop: "NOP", ip4OptTimestamp: "timestamp",
	ip4OptSecurity: "security", ip4OptRecord: "RR", ip4OptSSRR: "SSRR",
	ip4OptLSRR: "LSRR", ip4OptAlert: "RA", ip4OptTraceroute: "traceroute",
}

// ip4Options prints the options in length bytes at off. It reports false if
// one was not captured whole.
func (d *dissection) ip4Options(off, length int) bool {
	for sep := ""; length > 0; sep = "," {
		d.put(sep)
		kind, size := d.u8(off), 1
		if d.cut {
			return true
		}
		if name, ok := ip4OptionNames[uint16(kind)]; ok {
			d.put(name)
		} else {
			d.dec("unknown ", uint32(kind))
		}
		if kind != ip4OptNop && kind != ip4OptEnd {
			size = int(d.u8(off + 1))
		}
		if size > length || size < 2 && kind != ip4OptNop && kind != ip4OptEnd {
			d.badLength(size)
			return true
		}
		if !d.have(off, size) {
			return false
		}
		if kind == ip4OptEnd {
			return true
		}
		if !d.ip4Option(kind, off, size) {
			return false
		}
		off, length = off+size, length-size
	}
	return true
}

func (d *dissection) badLength(n int) {
	d.dec(" [bad length ", uint32(n))
	d.put("]")
}

func (d *dissection) ip4Option(kind uint8, off, size int) bool {
	switch kind {
	case ip4OptTimestamp:
		return d.ip4Timestamps(off, size)
	case ip4OptRecord, ip4OptSSRR, ip4OptLSRR:
		return d.ip4Route(off, size)
	case ip4OptAlert:
		if size < 4 {
			d.badLength(size)
		} else if v := d.u16(off + 2); v != 0 {
			d.dec(" value ", uint32(v))
		}
	}
	return true
}

// ip4Route prints a recorded or source route, a comma behind each hop passed.
func (d *dissection) ip4Route(off, size int) bool {
	if size < 3 {
		d.badLength(size)
		return true
	}
	if (size+1)&3 != 0 {
		d.badLength(size)
	}
	pointer := int(d.u8(off+2)) - 1
	if pointer < 3 || (pointer+1)&3 != 0 || pointer > size+1 {
		d.badPointer(" [bad ptr ", pointer)
	}
	for at := 3; at < size; at += 4 {
		if !d.have(off+at, 4) {
			return false
		}
		d.put(" ")
		d.addr4(off + at)
		if pointer > at || pointer < 0 {
			d.put(",")
		}
	}
	return true
}

func (d *dissection) badPointer(what string, pointer int) {
	d.dec(what, uint32(pointer+1))
	d.put("]")
}

// What a timestamp option records (RFC 791).
var ip4StampNames = map[uint16]string{0: "TSONLY", 1: "TS+ADDR", 3: "PRESPEC"}

func (d *dissection) ip4Timestamps(off, size int) bool {
	if size < 4 {
		d.dec("[bad length ", uint32(size))
		d.put("]")
		return true
	}
	kind, hop := d.u8(off+3)&15, 8
	if kind == 0 {
		hop = 4
	}
	d.put(" TS{")
	if (size-4)&(hop-1) != 0 {
		d.dec("[bad length ", uint32(size))
		d.put("]")
	}
	pointer := int(d.u8(off+2)) - 1
	if pointer < 4 || (pointer-4)&(hop-1) != 0 || pointer > size+1 {
		d.badPointer("[bad ptr ", pointer)
	}
	at := 0
	if name, ok := ip4StampNames[uint16(kind)]; ok {
		d.put(name)
		if at = d.ip4Stamps(off, size, hop, pointer); at < 0 {
			return false
		}
	} else {
		d.dec("[bad ts type ", uint32(kind))
		d.put("]")
	}
	if pointer == at {
		d.put(" ^ ")
	}
	if missed := d.u8(off+3) >> 4; missed != 0 {
		d.dec(" [", uint32(missed))
		d.put(" hops not recorded]} ")
	} else {
		d.put("}")
	}
	return true
}

// ip4Stamps prints the stamps, "^" before the next one to be filled in, and
// returns where it stopped; -1 where they were not captured.
func (d *dissection) ip4Stamps(off, size, hop, pointer int) int {
	at := 4
	for ; at < size; at += hop {
		if !d.have(off+at, hop) {
			return -1
		}
		if pointer == at {
			d.put(" ^")
		}
		d.dec(" ", d.u32(off+at+hop-4))
		d.put("@")
		if hop == 8 {
			d.addr4(off + at)
		}
	}
	return at
}
