package tcp

// LinkType is a libpcap link-layer type (DLT / LINKTYPE number where they agree).
type LinkType uint16

// The link types that live devices and the file reader know.
const (
	LinkNull     LinkType = 0   // BSD loopback: 4-byte family, host order of the writer
	LinkEthernet LinkType = 1   // DLT_EN10MB
	LinkRaw      LinkType = 101 // LINKTYPE_RAW: starts with the IP header (DLT_RAW is 12)
	LinkLoop     LinkType = 108 // OpenBSD loopback: 4-byte family, network order
	LinkSLL      LinkType = 113 // Linux cooked v1
	LinkSLL2     LinkType = 276 // Linux cooked v2
)

// Direction of a packet as seen by the device that carried it.
type Direction uint8

// The directions. Loopback packets are seen once, as In, like libpcap does.
const (
	DirUnknown Direction = iota
	DirIn
	DirOut
	DirBroadcast
	DirMulticast
	DirOther // to somebody else (PACKET_OTHERHOST)
)

var dirNames = [...]string{"?", "In", "Out", "B", "M", "P"}

// String returns the word tcpdump prints in -i any's column.
func (d Direction) String() string {
	if int(d) < len(dirNames) {
		return dirNames[d]
	}
	return dirNames[0]
}

// Packet is one frame as it was seen at one device.
type Packet struct {
	Frame    []byte    // captured bytes from the link-layer header on; a VLAN tag is in its place. Valid until the next event.
	Length   uint32    // bytes on the wire, link-layer header included; >= len(Frame)
	Link     LinkType  // how Frame starts
	Dir      Direction // at the device
	Ifindex  uint32    // 0 unknown
	Device   string    // interface name; "" unknown
	Asked    bool      // the filter expression selected it (false: an ICMP error kept because of what it may quote)
	Loopback bool      // seen on a loopback device: both ends are this one sighting
	Segment            // decoded from Frame by Decode
}

// Segment is what Decode finds in a frame. Offsets count from the start of
// Frame and are 0 where there is no such header or it was not captured.
type Segment struct {
	Flow       Flow   // Local = source, Remote = destination; ports are set for TCP and UDP
	IPOffset   int    // first byte of the IPv4 or IPv6 header
	L4Offset   int    // first byte of the TCP, UDP or ICMP header
	EtherType  uint16 // of the innermost VLAN tag; 0x0800, 0x86dd, 0x0806 …
	Protocol   uint8  // IP protocol number of L4Offset (after IPv6 extension headers)
	Fragment   bool   // a fragment that is not the first: no L4 header
	IsTCP      bool   // the fixed 20 bytes of a TCP header were captured and hold
	Flags      Flags  // TCP only, as all below
	Seq, Ack   uint32 // absolute
	Window     uint16 // raw, not scaled
	HeaderLen  int    // TCP header with options, bytes
	PayloadLen int    // TCP payload by the IP length, bytes (may exceed what was captured)
	Quoted     Flow   // ICMP error: the flow of the quoted TCP header as its sender saw it (Local = its source)
	IsQuote    bool   // Quoted is set
}
