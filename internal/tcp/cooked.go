package tcp

import "encoding/binary"

// ARP hardware types (linux/if_arp.h) that a cooked header can carry.
const (
	hardwareEther    = 1
	hardwareLoopback = 772
	hardwareNone     = 0xfffe
)

// CookedLen is the length of a Linux cooked v2 header in bytes.
const CookedLen = 20

// packetTypeUnknown stands for a direction that is not known; tcpdump prints
// it as "?", as it does every value that the kernel does not use.
const packetTypeUnknown = 0xff

// Cooked is a Linux cooked v2 header (LINKTYPE_LINUX_SLL2): what a capture
// over devices of different kinds gives every packet.
type Cooked struct {
	Protocol uint16 // EtherType, of the outer tag of a VLAN frame; 4 is 802.2
	Ifindex  uint32
	Hardware uint16 // ARP hardware type of the device
	Type     uint8  // PACKET_HOST, PACKET_BROADCAST … (linux/if_packet.h)
	AddrLen  uint8
	Addr     [8]byte // the sender's link-layer address, AddrLen bytes of it
	Payload  int     // offset in Frame of what follows the link-layer header
}

// packetTypes translates between the kernel's packet types and directions.
var packetTypes = [...]Direction{DirIn, DirBroadcast, DirMulticast, DirOther, DirOut}

// DirectionOf returns the direction that a cooked header's packet type names.
func DirectionOf(packetType uint8) Direction {
	if int(packetType) < len(packetTypes) {
		return packetTypes[packetType]
	}
	return DirUnknown
}

func packetTypeOf(dir Direction) uint8 {
	for t, d := range packetTypes {
		if d == dir {
			return uint8(t)
		}
	}
	return packetTypeUnknown
}

// Cook returns the cooked header that stands for the packet's own link-layer
// header. It reports false where that header was not captured or is of an
// unknown kind.
func (p *Packet) Cook() (Cooked, bool) {
	f := p.Frame
	c := Cooked{Ifindex: p.Ifindex, Type: packetTypeOf(p.Dir), Hardware: hardwareNone}
	switch p.Link {
	case LinkEthernet:
		return c, c.fromEthernet(f, p.Loopback)
	case LinkSLL:
		return c, c.fromSLL(f)
	case LinkSLL2:
		return c, c.fromSLL2(f)
	case LinkRaw, LinkNull, LinkLoop:
		c.Payload, c.Protocol = linkHeader(f, p.Link)
		return c, c.Protocol != 0
	}
	return c, false
}

func (c *Cooked) fromEthernet(f []byte, loopback bool) bool {
	if len(f) < 14 {
		return false
	}
	c.Hardware = hardwareEther
	if loopback {
		c.Hardware = hardwareLoopback
	}
	c.AddrLen = uint8(copy(c.Addr[:], f[6:12]))
	c.Protocol = binary.BigEndian.Uint16(f[12:])
	if c.Protocol < 0x600 { // a length: 802.2 follows
		c.Protocol = 4
	}
	c.Payload = 14
	return true
}

func (c *Cooked) fromSLL(f []byte) bool {
	if len(f) < 16 {
		return false
	}
	c.Type = packetType16(binary.BigEndian.Uint16(f))
	c.Hardware = binary.BigEndian.Uint16(f[2:])
	c.AddrLen = uint8(min(binary.BigEndian.Uint16(f[4:]), 8))
	copy(c.Addr[:], f[6:14])
	c.Protocol = binary.BigEndian.Uint16(f[14:])
	c.Payload = 16
	return true
}

func packetType16(t uint16) uint8 {
	if t > packetTypeUnknown {
		return packetTypeUnknown
	}
	return uint8(t)
}

func (c *Cooked) fromSLL2(f []byte) bool {
	if len(f) < CookedLen {
		return false
	}
	c.Protocol = binary.BigEndian.Uint16(f)
	c.Ifindex = binary.BigEndian.Uint32(f[4:])
	c.Hardware = binary.BigEndian.Uint16(f[8:])
	c.Type, c.AddrLen = f[10], f[11]
	copy(c.Addr[:], f[12:20])
	c.Payload = CookedLen
	return true
}

// Put writes the header as it stands in a file; b has CookedLen bytes.
func (c *Cooked) Put(b []byte) {
	_ = b[CookedLen-1]
	binary.BigEndian.PutUint16(b, c.Protocol)
	binary.BigEndian.PutUint16(b[2:], 0)
	binary.BigEndian.PutUint32(b[4:], c.Ifindex)
	binary.BigEndian.PutUint16(b[8:], c.Hardware)
	b[10], b[11] = c.Type, c.AddrLen
	copy(b[12:20], c.Addr[:])
}

// Loopback reports whether the device was a loopback device.
func (c *Cooked) Loopback() bool { return c.Hardware == hardwareLoopback }
