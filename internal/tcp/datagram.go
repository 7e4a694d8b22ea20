package tcp

import (
	"encoding/binary"
	"net/netip"
)

// datagram is one IPv4 or IPv6 header with what follows it.
type datagram struct {
	src, dst netip.Addr
	l4       int   // offset of the transport header; 0 in a later fragment or if unreachable
	end      int   // offset just past the datagram by its own length, or past the frame where that is 0
	proto    uint8 // of l4
	fragment bool  // not the first one
}

// parse reads the IP header at off. wireEnd bounds a datagram that states no
// length. It reports whether the fixed header was captured and holds.
func (d *datagram) parse(f []byte, off int, etherType uint16, wireEnd int) bool {
	switch etherType {
	case etherIPv4:
		return d.parse4(f, off, wireEnd)
	case etherIPv6:
		return d.parse6(f, off, wireEnd)
	}
	return false
}

func (d *datagram) parse4(f []byte, off, wireEnd int) bool {
	if len(f) < off+20 {
		return false
	}
	h := f[off : off+20]
	headerLen := int(h[0]&15) * 4
	total := int(binary.BigEndian.Uint16(h[2:]))
	if h[0]>>4 != 4 || headerLen < 20 || total != 0 && total < headerLen {
		return false
	}
	d.end = off + total
	if total == 0 { // left to segmentation offload
		d.end = wireEnd
	}
	d.src = netip.AddrFrom4([4]byte(h[12:16]))
	d.dst = netip.AddrFrom4([4]byte(h[16:20]))
	d.proto = h[9]
	if binary.BigEndian.Uint16(h[6:])&0x1fff != 0 {
		d.fragment = true
		return true
	}
	d.l4 = off + headerLen
	if d.proto == protoAH {
		d.skipExtensions(f)
	}
	return true
}

func (d *datagram) parse6(f []byte, off, wireEnd int) bool {
	if len(f) < off+40 {
		return false
	}
	h := f[off : off+40]
	if h[0]>>4 != 6 {
		return false
	}
	d.end = off + 40 + int(binary.BigEndian.Uint16(h[4:]))
	if d.end == off+40 { // a jumbogram: its length is in an option
		d.end = wireEnd
	}
	d.src = netip.AddrFrom16([16]byte(h[8:24])).Unmap()
	d.dst = netip.AddrFrom16([16]byte(h[24:40])).Unmap()
	d.proto = h[6]
	d.l4 = off + 40
	if d.proto != protoTCP {
		d.skipExtensions(f)
	}
	return true
}

// skipExtensions steps from d.l4 over the extension headers (RFC 8200) to the
// transport header; where the chain is cut short or the datagram is a later
// fragment, d.l4 becomes 0.
func (d *datagram) skipExtensions(f []byte) {
	end := min(len(f), d.end)
	for isExtension(d.proto) {
		if d.l4+8 > end {
			d.l4 = 0
			return
		}
		next, size, later := extension(f[d.l4:d.l4+8], d.proto)
		d.proto = next
		if later {
			d.fragment, d.l4 = true, 0
			return
		}
		d.l4 += size
	}
}

func isExtension(proto uint8) bool {
	switch proto {
	case protoHopByHop, protoRouting, protoFragment, protoAH, protoDestOpts:
		return true
	}
	return false
}

// extension reads the start of an extension header: what follows it, its
// size in bytes, and whether it says that this is not the first fragment.
func extension(h []byte, proto uint8) (next uint8, size int, later bool) {
	switch proto {
	case protoFragment:
		return h[0], 8, binary.BigEndian.Uint16(h[2:])&0xfff8 != 0
	case protoAH: // RFC 4302: 4-byte units, less 2
		return h[0], (int(h[1]) + 2) * 4, false
	}
	return h[0], (int(h[1]) + 1) * 8, false
}

// flow adds the ports at d.l4 to the addresses. It reports whether the ports
// were captured; without them the flow has the addresses alone.
func (d *datagram) flow(f []byte) (Flow, bool) {
	if d.l4+4 > min(len(f), d.end) {
		return Flow{netip.AddrPortFrom(d.src, 0), netip.AddrPortFrom(d.dst, 0)}, false
	}
	ports := f[d.l4 : d.l4+4]
	return Flow{
		Local:  netip.AddrPortFrom(d.src, binary.BigEndian.Uint16(ports)),
		Remote: netip.AddrPortFrom(d.dst, binary.BigEndian.Uint16(ports[2:])),
	}, true
}
