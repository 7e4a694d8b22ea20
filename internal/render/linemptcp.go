package render

import "tcpstory/internal/tcp"

// mptcpSubtypes are the kinds of Multipath TCP option (RFC 8684), as far as
// tcpdump knows them. Their printers get the option from its kind byte on and
// report false if its length is not one that they may have.
var mptcpSubtypes = [...]struct {
	name  string
	print func(d *dissection, at, size int, flags tcp.Flags) bool
}{
	{"capable", (*dissection).mpCapable},
	{"join", (*dissection).mpJoin},
	{"dss", (*dissection).mpDSS},
	{"add-addr", (*dissection).mpAddAddr},
	{"rem-addr", (*dissection).mpRemoveAddr},
	{"prio", (*dissection).mpPriority},
	{"fail", (*dissection).mpFail},
	{"fast-close", (*dissection).mpFastClose},
	{"unknown", func(*dissection, int, int, tcp.Flags) bool { return true }},
}

func (d *dissection) tcpMultipath(h *tcpHeader, o *tcpOption) (int, optionEnd) {
	if end := d.optionFits(o, o.size); end != optionDone {
		return 0, end
	}
	d.proto = "mptcp"
	at, size := o.at-2, o.size+2
	if size < 3 {
		return 0, optionBad
	}
	was := d.limit(at, size)
	subtype := &mptcpSubtypes[min(d.u8(at+2)>>4, uint8(len(mptcpSubtypes)-1))]
	d.dec(" ", uint32(size))
	d.put(" ")
	d.put(subtype.name)
	ok := subtype.print(d, at, size, h.flags)
	d.end = was
	if !ok {
		return 0, optionBad
	}
	return o.size, optionDone
}

func (d *dissection) mpCapable(at, size int, flags tcp.Flags) bool {
	syn, acked := flags.Has(tcp.SYN), flags&(tcp.SYN|tcp.ACK) == tcp.ACK
	if !(syn && (size == 4 || size == 12) || acked && (size == 20 || size == 22)) {
		return false
	}
	version := d.u8(at+2) & 15
	if version > 1 {
		d.dec(" Unknown Version (", uint32(version))
		d.put(")")
		return true
	}
	d.dec(" v", uint32(version))
	if d.u8(at+3)&0x80 != 0 {
		d.put(" csum")
	}
	if size == 4 {
		return true
	}
	d.hex(" {0x", d.u64(at+4), 1)
	if size >= 20 {
		d.hex(",0x", d.u64(at+12), 1)
	}
	d.put("}")
	return true
}

func (d *dissection) mpJoin(at, size int, flags tcp.Flags) bool {
	syn, ack := flags.Has(tcp.SYN), flags.Has(tcp.ACK)
	if !(size == 12 && syn || size == 16 && syn && ack || size == 24 && ack) {
		return false
	}
	if size == 24 {
		d.put(" hmac 0x")
		d.hexBytes(at+4, 20, 0)
		return true
	}
	if d.u8(at+2)&1 != 0 {
		d.put(" backup")
	}
	d.dec(" id ", uint32(d.u8(at+3)))
	nonce := at + 8
	if size == 12 {
		d.hex(" token 0x", uint64(d.u32(at+4)), 1)
	} else {
		d.hex(" hmac 0x", d.u64(at+4), 1)
		nonce = at + 12
	}
	d.hex(" nonce 0x", uint64(d.u32(nonce)), 1)
	return true
}

// mpCursor steps through a data sequence signal, whose fields come and go.
type mpCursor struct{ at, left int }

// number prints the next field of n bytes, after what; false if it is not there.
func (d *dissection) mpNumber(c *mpCursor, what string, n int) bool {
	d.put(what)
	if c.left < n {
		return false
	}
	var v uint64
	for i := range n {
		v = v<<8 | uint64(d.u8(c.at+i))
	}
	if !d.cut {
		d.b = appendUint(d.b, v)
	}
	c.at, c.left = c.at+n, c.left-n
	return true
}

func (d *dissection) mpDSS(at, size int, flags tcp.Flags) bool {
	if size < 4 || flags.Has(tcp.SYN) {
		return false
	}
	const ackHere, ackLong, mapHere, seqLong, fin = 1, 2, 4, 8, 16
	bits := d.u8(at + 3)
	if bits&fin != 0 {
		d.put(" fin")
	}
	width := func(long uint8) int {
		if bits&long != 0 {
			return 8
		}
		return 4
	}
	c := mpCursor{at + 4, size - 4}
	if bits&ackHere != 0 && !d.mpNumber(&c, " ack ", width(ackLong)) {
		return false
	}
	if bits&mapHere != 0 && !d.mpMapping(&c, width(seqLong)) {
		return false
	}
	return c.left == 0
}

// mpMapping prints what a signal maps; the checksum is there if negotiated.
func (d *dissection) mpMapping(c *mpCursor, seqWidth int) bool {
	if !d.mpNumber(c, " seq ", seqWidth) {
		return false
	}
	if c.left < 4 || !d.mpNumber(c, " subseq ", 4) {
		return false
	}
	if c.left < 2 || !d.mpNumber(c, " len ", 2) {
		return false
	}
	if c.left >= 2 {
		d.hex(" csum 0x", uint64(d.u16(c.at)), 1)
		c.at, c.left = c.at+2, c.left-2
	}
	return true
}

// mpAddrVersions are the version and echo bits of an announced address.
var mpAddrVersions = map[uint16]string{6: "v0-ip6", 4: "v0-ip4", 1: "v1-echo", 0: "v1"}

func (d *dissection) mpAddAddr(at, size int, _ tcp.Flags) bool {
	port, hmac := false, false
	switch size {
	case 8, 20:
	case 10, 22:
		port = true
	case 16, 28:
		hmac = true
	case 18, 30:
		port, hmac = true, true
	default:
		return false
	}
	d.put(" ")
	d.named(mpAddrVersions, uint16(d.u8(at+2)&15), "[bad version/echo]")
	d.dec(" id ", uint32(d.u8(at+3)))
	d.put(" ")
	next := at + 8
	if size < 20 {
		d.addr4(at + 4)
	} else {
		d.addr6(at + 4)
		next = at + 20
	}
	if port {
		d.dec(":", uint32(d.u16(next)))
		next += 2
	}
	if hmac {
		d.hex(" hmac 0x", d.u64(next), 1)
	}
	return true
}

func (d *dissection) mpRemoveAddr(at, size int, _ tcp.Flags) bool {
	if size < 4 {
		return false
	}
	d.put(" id")
	for i := 3; i < size; i++ {
		d.dec(" ", uint32(d.u8(at+i)))
	}
	return true
}

func (d *dissection) mpPriority(at, size int, _ tcp.Flags) bool {
	if size != 3 && size != 4 {
		return false
	}
	if d.u8(at+2)&1 != 0 {
		d.put(" backup")
	} else {
		d.put(" non-backup")
	}
	if size == 4 {
		d.dec(" id ", uint32(d.u8(at+3)))
	}
	return true
}

func (d *dissection) mpFail(at, size int, _ tcp.Flags) bool {
	if size != 12 {
		return false
	}
	seq := d.u64(at + 4)
	d.put(" seq ")
	if !d.cut {
		d.b = appendUint(d.b, seq)
	}
	return true
}

func (d *dissection) mpFastClose(at, size int, _ tcp.Flags) bool {
	if size != 12 {
		return false
	}
	d.hex(" key 0x", d.u64(at+4), 1)
	return true
}
