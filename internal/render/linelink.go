package render

import (
	"encoding/binary"

	"tcpstory/internal/tcp"
)

// EtherTypes that the printer follows.
const (
	etherIPv4       = 0x0800
	etherARP        = 0x0806
	etherRARP       = 0x8035
	etherVLAN       = 0x8100
	etherIPv6       = 0x86dd
	etherQinQ       = 0x88a8
	etherQinQ9100   = 0x9100
	etherQinQ9200   = 0x9200
	maxEtherLength  = 1500 // an EtherType up to here is a length (IEEE 802.3)
	cooked8023Novel = 1    // linux/if_ether.h ETH_P_802_3
	cooked8022      = 4    // ETH_P_802_2
)

// link prints a frame from its own link-layer header on.
func (d *dissection) link(p *tcp.Packet) {
	length := int(p.Length)
	switch p.Link {
	case tcp.LinkEthernet:
		d.ethernet(length)
	case tcp.LinkSLL:
		d.sll(length)
	case tcp.LinkRaw:
		d.raw(length)
	case tcp.LinkNull, tcp.LinkLoop:
		d.family(length)
	default:
		d.dec("[unsupported link type ", uint32(p.Link))
		d.dec("], length ", p.Length)
	}
}

func (d *dissection) ethernet(length int) {
	d.proto = "ether"
	if !d.have(0, 14) {
		d.truncated()
		return
	}
	if d.opts.Link {
		d.etherAddresses()
	}
	etherType, at, tagged := binary.BigEndian.Uint16(d.f[12:]), 14, false
	for isVLANType(etherType) {
		if !d.have(at, 4) || length < at+4 {
			d.proto = "vlan"
			d.truncated()
			return
		}
		if d.opts.Link {
			d.etherHeader(etherType, length, tagged)
			d.vlanTag(at)
			tagged = true
		}
		etherType, at = d.u16(at+2), at+4
	}
	if etherType <= maxEtherLength {
		d.ieee8023(at, min(length-at, int(etherType)), tagged)
		return
	}
	if d.opts.Link {
		d.etherHeader(etherType, length, tagged)
	}
	if !d.network(etherType, at, length-at) && !d.opts.Link {
		d.etherAddresses()
		d.etherHeader(etherType, length, false)
	}
}

func isVLANType(etherType uint16) bool {
	switch etherType {
	case etherVLAN, etherQinQ, etherQinQ9100, etherQinQ9200:
		return true
	}
	return false
}

func (d *dissection) etherAddresses() {
	d.mac(6)
	d.put(" > ")
	d.mac(0)
	d.put(", ")
}

// etherHeader prints "ethertype IPv4 (0x0800), length 74: ", the length once.
func (d *dissection) etherHeader(etherType uint16, length int, again bool) {
	d.etherType(etherType)
	if again {
		d.put(", ")
		return
	}
	d.dec(", length ", uint32(length))
	d.put(": ")
}

func (d *dissection) etherType(etherType uint16) {
	name, known := etherTypeNames[etherType]
	switch {
	case !d.opts.Quiet:
		d.put("ethertype ")
		d.named(etherTypeNames, etherType, "Unknown")
		d.hex(" (0x", uint64(etherType), 4)
		d.put(")")
	case known:
		d.put(name)
	default:
		d.hex("Unknown Ethertype (0x", uint64(etherType), 4)
		d.put(")")
	}
}

func (d *dissection) vlanTag(at int) {
	tag := d.u16(at)
	d.dec("vlan ", uint32(tag&0xfff))
	d.dec(", p ", uint32(tag>>13))
	if tag&0x1000 != 0 {
		d.put(", DEI")
	}
	d.put(", ")
}

// ieee8023 names the service access points of an 802.2 frame and goes no further.
func (d *dissection) ieee8023(at, length int, tagged bool) {
	if d.opts.Link {
		d.put("802.3")
		if !tagged {
			d.dec(", length ", uint32(length))
			d.put(": ")
		}
	}
	d.proto = "llc"
	dsap, ssap := d.u8(at), d.u8(at+1)
	d.hex("LLC, dsap 0x", uint64(dsap), 2)
	d.hex(", ssap 0x", uint64(ssap), 2)
	d.dec(", length ", uint32(length))
}

// network prints what follows a link-layer header, and reports whether it
// knows the protocol.
func (d *dissection) network(etherType uint16, at, length int) bool {
	switch etherType {
	case etherIPv4:
		d.ip4(at, length)
	case etherIPv6:
		d.ip6(at, length)
	case etherARP, etherRARP:
		d.arp(at, length)
	default:
		return false
	}
	return true
}

func (d *dissection) raw(length int) {
	d.proto = "raw"
	if d.opts.Link {
		d.put("ip: ")
	}
	d.proto = "ipn"
	switch version := d.u8(0) >> 4; version {
	case 4:
		d.ip4(0, length)
	case 6:
		d.ip6(0, length)
	default:
		d.dec("unknown ip ", uint32(version))
	}
}

// family prints a BSD loopback frame.
func (d *dissection) family(length int) {
	d.proto = "null"
	if !d.need(0, 4) {
		return
	}
	family := binary.LittleEndian.Uint32(d.f)
	if family>>16 != 0 {
		family = binary.BigEndian.Uint32(d.f)
	}
	if d.opts.Link {
		d.familyHeader(family, length)
	}
	switch familyNames[family] {
	case "IPv4":
		d.ip4(4, length-4)
	case "IPv6":
		d.ip6(4, length-4)
	default:
		if !d.opts.Link {
			d.familyHeader(family, length)
		}
	}
}

func (d *dissection) familyHeader(family uint32, length int) {
	name, known := familyNames[family]
	switch {
	case !d.opts.Quiet && known:
		d.put("AF ")
		d.put(name)
		d.dec(" (", family)
		d.put(")")
	case !d.opts.Quiet:
		d.dec("AF Unknown (", family)
		d.put(")")
	case known:
		d.put(name)
	default:
		d.dec("Unknown AF ", family)
	}
	d.dec(", length ", uint32(length))
	d.put(": ")
}
