package render

// Multicast listener discovery: version 1 is RFC 2710, version 2 RFC 3810.

func (d *dissection) icmp6Listener(_ uint8, off int, _ uint32) bool {
	if d.have(off, 24) {
		d.dec("max resp delay: ", uint32(d.u16(off+4)))
		d.put(" addr: ")
		d.addr6(off + 8)
	}
	return true
}

// icmp6Query tells the versions by their lengths.
func (d *dissection) icmp6Query(code uint8, off int, length uint32) bool {
	switch {
	case length == 24:
		return d.icmp6Listener(code, off, length)
	case length >= 28:
		d.put(" v2")
		d.listenerQuery(off, int(length))
	default:
		d.dec(" unknown-version (len ", length)
		d.put(") ")
	}
	return true
}

// listenerFloat decodes the exponential form of long times.
func listenerFloat(v uint32, mantissa uint) uint32 {
	one := uint32(1) << mantissa
	if v < one<<3 {
		return v
	}
	return (v&(one-1) | one) << (v>>mantissa&7 + 3)
}

func (d *dissection) listenerQuery(off, length int) {
	verbose := d.opts.Verbose
	delay := listenerFloat(uint32(d.u16(off+4)), 12)
	if verbose > 0 {
		d.dec(" [max resp delay=", delay)
		d.put("]")
	}
	d.icmp6About(" [gaddr ", off+8)
	if verbose > 0 {
		flags := d.u8(off + 24)
		if flags&8 != 0 {
			d.put(" sflag")
		}
		if flags&7 != 0 {
			d.dec(" robustness=", uint32(flags&7))
		}
		d.dec(" qqi=", listenerFloat(uint32(d.u8(off+25)), 4))
	}
	if sources := int(d.u16(off + 26)); sources > 0 {
		if length < 28+sources*16 {
			d.put(" [invalid number of sources]")
		} else {
			d.listenerSources(off+28, sources, verbose > 1)
		}
	}
	d.put("]")
}

func (d *dissection) listenerSources(at, n int, all bool) {
	if !all {
		d.dec(", ", uint32(n))
		d.put(" source(s)")
		return
	}
	d.put(" {")
	for i := range n {
		if d.cut {
			return
		}
		d.icmp6About(" ", at+16*i)
	}
	d.put(" }")
}

var listenerRecordNames = [...]string{1: "is_in", "is_ex", "to_in", "to_ex", "allow", "block"}

func (d *dissection) icmp6Report(_ uint8, off int, length uint32) bool {
	if length < 8 {
		d.dec(" [invalid len ", length)
		d.put("]")
		return true
	}
	groups := d.u16(off + 6)
	d.dec(", ", uint32(groups))
	d.put(" group record(s)")
	if d.opts.Verbose == 0 {
		return true
	}
	for at := 8; groups > 0 && !d.cut; groups-- {
		size := d.listenerRecord(off+at, int(length)-at)
		if size == 0 {
			break
		}
		at += size
	}
	return true
}

// listenerRecord prints one group of a report and returns its size; 0 if it
// does not fit in left bytes.
func (d *dissection) listenerRecord(at, left int) int {
	if left < 20 {
		d.put(" [invalid number of groups]")
		return 0
	}
	d.icmp6About(" [gaddr ", at+4)
	d.put(" ")
	if kind := d.u8(at); kind >= 1 && int(kind) < len(listenerRecordNames) {
		d.put(listenerRecordNames[kind])
	} else {
		d.dec(" [v2-report-#", uint32(kind))
		d.put("]")
	}
	sources := int(d.u16(at + 2))
	size := 20 + sources*16
	if left < size {
		d.dec(" [invalid number of sources ", uint32(sources))
		d.put("]")
		return 0
	}
	d.listenerSources(at+20, sources, d.opts.Verbose > 1)
	d.put("]")
	return size
}
