package render

// tcpMD5 prints a signature (RFC 2385); nobody gives this tool the secret.
func (d *dissection) tcpMD5(h *tcpHeader, o *tcpOption) (int, optionEnd) {
	if end := d.optionFits(o, 16); end != optionDone {
		return 0, end
	}
	if d.have(h.off+h.size, int(h.payload)) {
		d.put(" shared secret not supplied with -M, ")
	} else {
		d.put(" snaplen too short, ")
	}
	d.put("can't check - ")
	d.hexBytes(o.at, 16, 0)
	return 16, optionDone
}

func (d *dissection) tcpSCPS(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	end := d.optionFits(o, 2)
	if end == optionDone {
		d.hex(" cap ", uint64(d.u8(o.at)), 2)
		d.dec(" id ", uint32(d.u8(o.at+1)))
	}
	return 2, end
}

// tcpUserTimeout prints RFC 5482's option: seconds, or minutes by the low bit.
// tcpdump takes the low bit for the granularity, so it is not the high one.
func (d *dissection) tcpUserTimeout(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	if end := d.optionFits(o, 2); end != optionDone {
		return 0, end
	}
	v := uint32(d.u16(o.at))
	d.hex(" 0x", uint64(v), 1)
	seconds := v >> 1
	if v&1 != 0 {
		seconds *= 60
	}
	d.dec(" ", seconds)
	return 2, optionDone
}

// tcpAO prints an authentication option (RFC 5925).
func (d *dissection) tcpAO(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	if o.size < 2 {
		d.invalid()
		return o.size, optionDone
	}
	if end := d.optionFits(o, 1); end != optionDone {
		return 0, end
	}
	d.dec(" keyid ", uint32(d.u8(o.at)))
	if end := d.optionFits(o, 2); end != optionDone {
		return 0, end
	}
	d.dec(" rnextkeyid ", uint32(d.u8(o.at+1)))
	if o.size > 2 {
		d.put(" mac 0x")
	}
	return o.size, d.optionHex(o, 2)
}

func (d *dissection) tcpFastOpen(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	if end := d.optionFits(o, o.size); end != optionDone {
		return 0, end
	}
	d.put(" ")
	d.cookie(o.at, o.size)
	return o.size, optionDone
}

// cookie prints the data of a Fast Open option (RFC 7413).
func (d *dissection) cookie(at, size int) {
	switch {
	case size == 0:
		d.put(" cookiereq")
	case size%2 != 0 || size < 4 || size > 16:
		d.invalid()
	default:
		d.put(" cookie ")
		d.hexBytes(at, size, 0)
	}
}

// tcpExperiment prints an experimental option by its magic number (RFC 6994).
func (d *dissection) tcpExperiment(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	if end := d.optionFits(o, o.size); end != optionDone {
		return 0, end
	}
	if o.size < 2 {
		return 0, optionBad
	}
	const fastOpenMagic = 0xf989
	d.put("-")
	if magic := d.u16(o.at); magic == fastOpenMagic {
		d.put("tfo")
		d.cookie(o.at+2, o.size-2)
	} else {
		d.hex("", uint64(magic), 4)
	}
	return o.size, optionDone
}
