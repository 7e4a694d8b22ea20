package filter

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Lengths in bytes of the tuple that a projected program reads: source
// address, destination address, source port, destination port, all in network
// byte order and without gaps, as they stand in a packet.
const (
	Tuple4Len = 4 + 4 + 2 + 2
	Tuple6Len = 16 + 16 + 2 + 2
)

// skeleton is what one TCP packet is known to hold before it is seen: an IP
// packet that is not a fragment, has no IPv4 options that matter and no IPv6
// extension headers. Everything else is unknown.
type skeleton struct {
	value, known [128]byte // known has the bits of value that are certain
	ip           int       // offset of the IP header
	ihl          int       // its length in bytes
	tuple        int       // offset of the addresses and ports, and their length
	tupleLen     int
	ipv4         bool
}

// linkHeader is where a link type has its protocol number, if it has one.
type linkHeader struct{ length, etherType int }

var linkHeaders = map[tcp.LinkType]linkHeader{
	tcp.LinkEthernet: {14, 12},
	tcp.LinkRaw:      {0, -1},
	tcp.LinkNull:     {4, -1},
	tcp.LinkLoop:     {4, -1},
	tcp.LinkSLL:      {16, 14},
	tcp.LinkSLL2:     {20, 0},
}

// newSkeleton describes a packet of a link type behind so many VLAN tags, of
// which only Ethernet frames have any. ok is false for other link types.
func newSkeleton(link tcp.LinkType, ipv4 bool, tags int) (s *skeleton, ok bool) {
	h, ok := linkHeaders[link]
	if !ok {
		return nil, false
	}
	s = &skeleton{ip: h.length, ipv4: ipv4}
	if link == tcp.LinkEthernet {
		s.ip += 4 * tags
		for ; tags > 0; tags-- {
			s.put(h.etherType, 0x81, 0x00)
			h.etherType += 4
		}
	}
	if ipv4 {
		s.putIPv4(h.etherType)
	} else {
		s.putIPv6(h.etherType)
	}
	return s, true
}

func (s *skeleton) put(at int, b ...byte) {
	if at < 0 {
		return
	}
	for i, v := range b {
		s.value[at+i], s.known[at+i] = v, 0xff
	}
}

func (s *skeleton) putIPv4(etherType int) {
	s.put(etherType, 0x08, 0x00)
	s.value[s.ip], s.known[s.ip] = 0x40, 0xf0     // version; the length stays open
	s.value[s.ip+6], s.known[s.ip+6] = 0x00, 0xbf // of the fragment field, only DF is open
	s.put(s.ip+7, 0x00)
	s.put(s.ip+9, unix.IPPROTO_TCP)
	s.ihl, s.tuple, s.tupleLen = 20, s.ip+12, Tuple4Len
}

func (s *skeleton) putIPv6(etherType int) {
	s.put(etherType, 0x86, 0xdd)
	s.value[s.ip], s.known[s.ip] = 0x60, 0xf0
	s.put(s.ip+6, unix.IPPROTO_TCP)
	s.ihl, s.tuple, s.tupleLen = 40, s.ip+8, Tuple6Len
}

// putFlow fills in what a flow says of packets from its local to its remote end.
func (s *skeleton) putFlow(f tcp.Flow) {
	addrLen := (s.tupleLen - 4) / 2
	tuple, at := appendTuple(nil, f, s.ipv4), 0
	for _, part := range []struct {
		length int
		known  bool
	}{
		{addrLen, addressed(f.Local.Addr())}, {addrLen, addressed(f.Remote.Addr())},
		{2, f.Local.Port() != 0}, {2, f.Remote.Port() != 0},
	} {
		if part.known {
			s.put(s.tuple+at, tuple[at:at+part.length]...)
		}
		at += part.length
	}
}

// load is what is known of size bytes at an offset.
func (s *skeleton) load(at uint64, size int) tnum {
	if at+uint64(size) > uint64(len(s.value)) {
		t := unknown
		t.mask >>= 32 - 8*size
		return t
	}
	var t tnum
	for i := int(at); i < int(at)+size; i++ {
		t.value = t.value<<8 | uint32(s.value[i]&s.known[i])
		t.mask = t.mask<<8 | uint32(^s.known[i])
	}
	return t
}

// headerLength is what a 4*(x&0xf) load at an offset yields. Packets without
// IPv4 options stand for all: the ports are where such packets have them.
func (s *skeleton) headerLength(at uint64) tnum {
	if s.ipv4 && at == uint64(s.ip) {
		return constant(uint32(s.ihl))
	}
	return s.load(at, 1).calculate(unix.BPF_AND, constant(0xf)).calculate(unix.BPF_LSH, constant(2))
}

// appendTuple appends a flow's addresses and ports as a packet from its local
// to its remote end has them; what is unknown is zero.
func appendTuple(tuple []byte, f tcp.Flow, ipv4 bool) []byte {
	tuple = appendAddr(tuple, f.Local.Addr(), ipv4)
	tuple = appendAddr(tuple, f.Remote.Addr(), ipv4)
	tuple = binary.BigEndian.AppendUint16(tuple, f.Local.Port())
	return binary.BigEndian.AppendUint16(tuple, f.Remote.Port())
}

func appendAddr(tuple []byte, a netip.Addr, ipv4 bool) []byte {
	var raw [16]byte
	if a.IsValid() {
		raw = a.As16()
	}
	if ipv4 {
		return append(tuple, raw[12:]...)
	}
	return append(tuple, raw[:]...)
}

// addressed reports whether an address is known: a listener's wildcard is not.
func addressed(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }
