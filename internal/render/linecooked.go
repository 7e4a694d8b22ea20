package render

import "tcpstory/internal/tcp"

// cooked prints a frame the way -i any does: interface and direction, and
// then what a cooked v2 header in place of the frame's own would give.
func (d *dissection) cooked(p *tcp.Packet) {
	c, ok := p.Cook()
	if p.Link == tcp.LinkSLL2 && !ok {
		d.proto = "sll2"
		d.truncated()
		return
	}
	d.column(p.Device, 5)
	d.column(p.Dir.String(), 3)
	if !ok {
		d.link(p)
		return
	}
	length := int(p.Length) - c.Payload + tcp.CookedLen
	if d.opts.Link {
		d.cookedHeader(&c, length)
	}
	at, etherType := d.cookedVLAN(c.Payload, c.Protocol)
	if d.cut || etherType == 0 {
		return
	}
	if !d.network(etherType, at, int(p.Length)-at) && !d.opts.Link {
		d.cookedHeader(&c, length-(at-c.Payload))
	}
}

// sll prints a cooked v1 frame, which has no columns.
func (d *dissection) sll(length int) {
	d.proto = "sll"
	p := tcp.Packet{Frame: d.f, Link: tcp.LinkSLL}
	c, ok := p.Cook()
	if !ok {
		d.truncated()
		return
	}
	if d.opts.Link {
		d.sllHeader(&c, length)
	}
	at, etherType := d.cookedVLAN(16, c.Protocol)
	if d.cut || etherType == 0 {
		return
	}
	if !d.network(etherType, at, length-at) && !d.opts.Link {
		d.sllHeader(&c, length-(at-16))
	}
}

// cookedVLAN steps over VLAN tags. tcpdump knows only 802.1Q here, and names
// the inner type whether -e asks for it or not; other tags are not understood
// there at all, here they are stepped over in silence.
func (d *dissection) cookedVLAN(at int, etherType uint16) (int, uint16) {
	for isVLANType(etherType) {
		if !d.have(at, 4) {
			d.proto = "vlan"
			d.truncated()
			return at, 0
		}
		inner := d.u16(at + 2)
		if inner <= maxEtherLength {
			inner = cooked8022
		}
		if etherType == etherVLAN {
			d.cookedTag(at, inner)
		}
		etherType, at = inner, at+4
	}
	return at, etherType
}

func (d *dissection) cookedTag(at int, inner uint16) {
	if d.opts.Link {
		d.vlanTag(at)
	}
	if !d.opts.Quiet {
		d.put("ethertype ")
		d.named(etherTypeNames, inner, "Unknown")
		d.put(", ")
	}
}

// column prints s, left-aligned and with a blank behind it. Names of
// interfaces are untrusted: they may hold control bytes.
func (d *dissection) column(s string, width int) {
	if s == "" {
		s = "?"
	}
	for _, c := range []byte(s) {
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		d.b = append(d.b, c)
	}
	for range width - len(s) {
		d.b = append(d.b, ' ')
	}
	d.b = append(d.b, ' ')
}

func (d *dissection) cookedHeader(c *tcp.Cooked, length int) {
	d.dec("ifindex ", c.Ifindex)
	d.put(" ")
	d.cookedRest(c, length)
}

func (d *dissection) sllHeader(c *tcp.Cooked, length int) {
	dir := tcp.DirectionOf(c.Type).String()
	for range 3 - len(dir) {
		d.put(" ")
	}
	d.put(dir)
	d.put(" ")
	d.cookedRest(c, length)
}

// cookedRest prints the sender's address, if it looks like Ethernet's, the
// protocol and the length.
func (d *dissection) cookedRest(c *tcp.Cooked, length int) {
	if c.AddrLen == 6 {
		d.b = appendHardware(d.b, c.Addr[:6])
		d.put(" ")
	}
	if d.opts.Quiet {
		return
	}
	switch {
	case c.Protocol == cooked8023Novel:
		d.put("802.3")
	case c.Protocol == cooked8022:
		d.put("802.2")
	case c.Protocol <= maxEtherLength:
		d.hex("ethertype Unknown (0x", uint64(c.Protocol), 4)
		d.put(")")
	default:
		d.etherType(c.Protocol)
	}
	d.dec(", length ", uint32(length))
	d.put(": ")
}

func appendHardware(dst, addr []byte) []byte {
	const digits = "0123456789abcdef"
	for i, c := range addr {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}
