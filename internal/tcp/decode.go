package tcp

import (
	"encoding/binary"
	"net/netip"
)

// EtherTypes and IP protocol numbers that Decode follows (IANA registries).
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoAH       = 51
	protoICMPv6   = 58
	protoDestOpts = 60
)

// maxVLANTags is how many VLAN tags Decode steps over.
const maxVLANTags = 2

// Decode fills p.Segment from p.Frame, p.Link and p.Length; whatever Segment
// held before is gone. It reads nothing beyond Frame, allocates nothing and
// never fails: what was not captured or does not hold stays zero.
func (p *Packet) Decode() {
	p.Segment = Segment{}
	off, etherType := linkHeader(p.Frame, p.Link)
	p.EtherType = etherType
	var d datagram
	if !d.parse(p.Frame, off, etherType, wireEnd(p)) {
		return
	}
	p.IPOffset = off
	p.Flow.Local = netip.AddrPortFrom(d.src, 0)
	p.Flow.Remote = netip.AddrPortFrom(d.dst, 0)
	p.Protocol, p.Fragment = d.proto, d.fragment
	if d.l4 == 0 || d.l4 >= len(p.Frame) {
		return
	}
	p.L4Offset = d.l4
	switch d.proto {
	case protoTCP:
		p.decodeTCP(&d)
	case protoUDP:
		p.Flow, _ = d.flow(p.Frame)
	case protoICMP, protoICMPv6:
		p.decodeQuote(&d)
	}
}

// wireEnd is where the frame ended on the wire. It stands in for a length
// that the IP header leaves at zero (segmentation offload, jumbograms).
func wireEnd(p *Packet) int { return max(int(p.Length), len(p.Frame)) }

func (p *Packet) decodeTCP(d *datagram) {
	p.Flow, _ = d.flow(p.Frame)
	end := min(len(p.Frame), d.end)
	if d.l4+20 > end {
		return
	}
	h := p.Frame[d.l4 : d.l4+20]
	headerLen := int(h[12]>>4) * 4
	if headerLen < 20 || d.l4+headerLen > d.end {
		return
	}
	p.IsTCP = true
	p.Flags = Flags(binary.BigEndian.Uint16(h[12:]) & 0x1ff)
	p.Seq = binary.BigEndian.Uint32(h[4:])
	p.Ack = binary.BigEndian.Uint32(h[8:])
	p.Window = binary.BigEndian.Uint16(h[14:])
	p.HeaderLen = headerLen
	p.PayloadLen = d.end - d.l4 - headerLen
}

// decodeQuote looks for the TCP ports that an ICMP error quotes. Routers must
// quote 8 bytes of the TCP header (RFC 792); the ports are the first 4.
func (p *Packet) decodeQuote(d *datagram) {
	quote := d.l4 + 8
	etherType := uint16(etherIPv4)
	if d.proto == protoICMPv6 {
		etherType = etherIPv6
	}
	if !icmpError(d.proto, p.Frame[d.l4]) || quote >= d.end {
		return
	}
	var q datagram
	f := p.Frame[:min(len(p.Frame), d.end)]
	if q.parse(f, quote, etherType, d.end) && q.l4 != 0 && q.proto == protoTCP {
		if flow, ok := q.flow(f); ok {
			p.Quoted, p.IsQuote = flow, true
		}
	}
}

// icmpError reports whether an ICMP type quotes the packet it is about.
func icmpError(proto, typ byte) bool {
	if proto == protoICMPv6 {
		return typ >= 1 && typ <= 4 // RFC 4443: unreachable, too big, time exceeded, parameter problem
	}
	switch typ {
	case 3, 4, 5, 11, 12: // RFC 792: unreachable, source quench, redirect, time exceeded, parameter problem
		return true
	}
	return false
}

// linkHeader returns where the network header starts and its EtherType, the
// innermost one where there are VLAN tags; EtherType 0 means unknown.
func linkHeader(f []byte, link LinkType) (off int, etherType uint16) {
	switch link {
	case LinkEthernet:
		return skipVLAN(f, 14, 12)
	case LinkSLL:
		return skipVLAN(f, 16, 14)
	case LinkSLL2:
		return skipVLAN(f, 20, 0)
	case LinkRaw:
		return 0, versionType(f)
	case LinkNull, LinkLoop:
		return 4, familyType(f)
	}
	return 0, 0
}

// skipVLAN reads the EtherType at typeAt of a header that is off bytes long
// and steps over the VLAN tags that follow it.
func skipVLAN(f []byte, off, typeAt int) (int, uint16) {
	if len(f) < off {
		return 0, 0
	}
	etherType := binary.BigEndian.Uint16(f[typeAt:])
	for range maxVLANTags {
		if !isVLAN(etherType) {
			break
		}
		if len(f) < off+4 {
			return 0, 0
		}
		etherType = binary.BigEndian.Uint16(f[off+2:])
		off += 4
	}
	return off, etherType
}

// isVLAN names the tag protocols: 802.1Q, 802.1ad, and its forerunner.
func isVLAN(etherType uint16) bool {
	return etherType == 0x8100 || etherType == 0x88a8 || etherType == 0x9100
}

// versionType tells the EtherType from the IP version nibble.
func versionType(f []byte) uint16 {
	if len(f) == 0 {
		return 0
	}
	switch f[0] >> 4 {
	case 4:
		return etherIPv4
	case 6:
		return etherIPv6
	}
	return 0
}

// familyType tells the EtherType from a BSD loopback header: an address
// family in the writer's byte order, so whichever order makes it small.
func familyType(f []byte) uint16 {
	if len(f) < 4 {
		return 0
	}
	family := binary.LittleEndian.Uint32(f)
	if family>>16 != 0 {
		family = binary.BigEndian.Uint32(f)
	}
	switch family {
	case 2:
		return etherIPv4
	case 10, 24, 28, 30: // Linux; NetBSD and OpenBSD; FreeBSD; Darwin
		return etherIPv6
	}
	return 0
}
