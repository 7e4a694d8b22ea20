package render

// icmpExtensionAt is how far the quoted packet is padded before extensions
// may follow, from the start of the ICMP message (RFC 4884).
const icmpExtensionAt = 136

var icmpObjectNames = map[uint16]string{1: "MPLS Stack Entry", 2: "Interface Identification"}

// icmpExtension prints the extensions behind the quoted packet of an ICMP
// message. Writers that leave the length field zero are believed if the
// checksum is right, or cannot be told for want of bytes.
func (d *dissection) icmpExtension(off, length int) {
	if d.cut || length <= icmpExtensionAt {
		return
	}
	at, size := off+icmpExtensionAt, length-icmpExtensionAt
	if !d.have(at, 5) {
		d.truncated()
		return
	}
	whole := d.have(at, size)
	sum := uint16(0)
	if whole {
		sum = checksum(onesSum(0, d.f[at:at+size]))
	}
	if d.f[off+5] == 0 && whole && sum != 0 {
		return
	}
	version := d.f[at] >> 4
	d.dec("\n\tICMP Multi-Part extension v", uint32(version))
	if version != 2 {
		d.put(" packet not supported")
		return
	}
	if whole {
		d.hex(", checksum 0x", uint64(d.u16(at+2)), 4)
		verdict := " (correct), length "
		if sum != 0 {
			verdict = " (incorrect), length "
		}
		d.dec(verdict, uint32(size))
	}
	d.icmpObjects(at+4, size-4)
}

func (d *dissection) icmpObjects(at, left int) {
	for left > 4 {
		if !d.have(at, 4) {
			d.truncated()
			return
		}
		size, class, kind := int(d.u16(at)), d.u8(at+2), d.u8(at+3)
		d.put("\n\t  ")
		d.named(icmpObjectNames, uint16(class), "unknown")
		d.dec(" Object (", uint32(class))
		d.dec("), Class-Type: ", uint32(kind))
		d.dec(", length ", uint32(size))
		at, left = at+4, left-4
		if class == 0 || size < 4 {
			return
		}
		size -= 4
		if class == 1 && kind == 1 {
			d.mplsLabel(at)
		} else {
			d.dump("\n\t    ", at, size)
		}
		if left < size || d.cut {
			return
		}
		at, left = at+size, left-size
	}
}

func (d *dissection) mplsLabel(at int) {
	v := d.u32(at)
	d.dec("\n\t    label ", v>>12)
	d.dec(", tc ", v>>9&7)
	if v&0x100 != 0 {
		d.put(", [S]")
	}
	d.dec(", ttl ", v&0xff)
}
