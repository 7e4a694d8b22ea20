package render

// IP protocol numbers that the printer follows (IANA registry).
const (
	protoHopByHop    = 0
	protoICMP        = 1
	protoIPIP        = 4
	protoTCP         = 6
	protoUDP         = 17
	protoDCCP        = 33
	protoIPv6        = 41
	protoRouting     = 43
	protoFragment    = 44
	protoESP         = 50
	protoAH          = 51
	protoICMPv6      = 58
	protoNone        = 59
	protoDestOpts    = 60
	protoMobilityOld = 62
	protoSCTP        = 132
	protoMobility    = 135
)

// protoNames are the protocols as -v names them.
var protoNames = map[uint16]string{
	protoHopByHop: "Options", protoICMP: "ICMP", 2: "IGMP", protoIPIP: "IPIP",
	protoTCP: "TCP", 8: "EGP", 9: "IGRP", protoUDP: "UDP", protoDCCP: "DCCP",
	protoIPv6: "IPv6", protoRouting: "Routing", protoFragment: "Fragment",
	46: "RSVP", 47: "GRE", protoESP: "ESP", protoAH: "AH", 55: "Mobile IP",
	protoICMPv6: "ICMPv6", protoMobilityOld: "Mobile IP (old)", 88: "EIGRP",
	89: "OSPF", 103: "PIM", 108: "Compressed IP", 112: "VRRP", 113: "PGM",
	protoSCTP: "SCTP", protoMobility: "Mobility", 143: "Ethernet",
}

// etherTypeNames are the EtherTypes as -e names them.
var etherTypeNames = map[uint16]string{
	etherIPv4: "IPv4", 0x8847: "MPLS unicast", 0x8848: "MPLS multicast",
	etherIPv6: "IPv6", etherVLAN: "802.1Q", etherQinQ9100: "802.1Q-9100",
	etherQinQ: "802.1Q-QinQ", etherQinQ9200: "802.1Q-9200",
	0x88e5: "802.1AE MACsec", 0x0200: "PUP", etherARP: "ARP",
	etherRARP: "Reverse ARP", 0x0600: "NS", 0x0500: "Sprite", 0x1000: "Trail",
	0x6001: "MOP DL", 0x6002: "MOP RC", 0x6003: "DN", 0x6004: "LAT",
	0x6007: "SCA", 0x6558: "TEB", 0x8038: "Lanbridge", 0x803c: "DEC DNS",
	0x803e: "DEC DTS", 0x805b: "VEXP", 0x805c: "VPROD", 0x809b: "Appletalk",
	0x80f3: "Appletalk ARP", 0x8137: "IPX", 0x880b: "PPP", 0x8808: "MPCP",
	0x8809: "Slow Protocols", 0x8863: "PPPoE D", 0x8864: "PPPoE S",
	0x888e: "EAPOL", 0x8899: "Realtek protocols", 0x886f: "MS NLB heartbeat",
	0x8870: "Jumbo", 0x894f: "NSH", 0x9000: "Loopback", 0xfefe: "OSI",
	0x00fe: "GRE-OSI", 0xabcd: "CFM (old)", 0x8902: "CFM",
	0x893a: "IEEE1905.1", 0x88cc: "LLDP", 0x88ca: "TIPC",
	0x0707: "GeoNet (old)", 0x8947: "GeoNet", 0x1111: "CALM FAST",
	0x88a2: "AoE", 0x88f7: "PTP", 0xd28b: "Arista Vendor Specific Protocol",
}

// familyNames are the address families of BSD loopback headers.
var familyNames = map[uint32]string{
	2: "IPv4", 6: "NS", 7: "ISO", 16: "Appletalk", 23: "IPX",
	24: "IPv6", 28: "IPv6", 30: "IPv6", // NetBSD and OpenBSD, FreeBSD, Darwin
}

// bitName names one bit of a field.
type bitName struct {
	bit  uint32
	name string
}

// bits prints the names of the bits set, or "none".
func (d *dissection) bits(names []bitName, v uint32) {
	sep := ""
	for _, n := range names {
		if v&n.bit != 0 {
			d.put(sep)
			d.put(n.name)
			sep = ", "
		}
	}
	if sep == "" {
		d.put("none")
	}
}
