package filtertest

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"tcpstory/internal/tcp"
)

// Packet is one captured frame; Wire is its length before it was cut.
type Packet struct {
	Frame []byte
	Wire  uint32
}

// MaxFrame is the longest captured frame that Packets makes.
const MaxFrame = 480

var (
	addrs4 = []string{"10.77.0.1", "10.77.0.2", "127.0.0.1", "192.168.5.9", "8.8.8.8", "10.1.0.1", "172.20.1.1", "224.0.0.5", "255.255.255.255"}
	addrs6 = []string{"fd77::1", "fd77::2", "2001:db8::5", "::1", "ff02::1"}
	ports  = []uint16{22, 53, 80, 443, 1000, 1500, 2000, 2001, 40000, 50000, 79, 81}
)

// maker makes packets from a seed.
type maker struct {
	*rand.Rand
	link tcp.LinkType
}

// Packets makes n packets, always the same for a seed: TCP, UDP, ICMP, other
// protocols over IPv4 and IPv6 with options, extension headers, fragments and
// tags, other Ethernet protocols, noise, and captures cut short.
func Packets(link tcp.LinkType, n int, seed uint64) []Packet {
	m := maker{rand.New(rand.NewPCG(seed, 1)), link}
	packets := make([]Packet, n)
	for i := range packets {
		packets[i] = m.packet()
	}
	return packets
}

// OfFlow makes n packets of one TCP connection's one direction: no fragments,
// options or tags of the link's, every field that is not the tuple's at random.
func OfFlow(link tcp.LinkType, f tcp.Flow, n int, seed uint64) []Packet {
	m := maker{rand.New(rand.NewPCG(seed, 2)), link}
	packets := make([]Packet, n)
	for i := range packets {
		segment := m.tcp(f.Local.Port(), f.Remote.Port())
		if f.Local.Addr().Is4() {
			packets[i] = m.cut(m.frame(0x0800, m.ipv4(f.Local.Addr(), f.Remote.Addr(), 6, 0, nil, segment)))
		} else {
			packets[i] = m.cut(m.frame(0x86dd, m.ipv6(f.Local.Addr(), f.Remote.Addr(), 6, segment)))
		}
	}
	return packets
}

func (m maker) packet() Packet {
	switch n := m.IntN(20); {
	case n < 9:
		return m.cut(m.frame(0x0800, m.anyIPv4()))
	case n < 16:
		return m.cut(m.frame(0x86dd, m.anyIPv6()))
	case n < 18 && m.link == tcp.LinkEthernet:
		return m.cut(m.other())
	}
	return m.cut(m.bytes(14 + m.IntN(100)))
}

func (m maker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

// cut captures a frame, often not all of it.
func (m maker) cut(frame []byte) Packet {
	p := Packet{frame, uint32(len(frame))}
	switch m.IntN(6) {
	case 0:
		p.Wire += m.Uint32N(66000)
	case 1:
		p.Frame = frame[:m.IntN(len(frame)+1)]
	}
	p.Frame = p.Frame[:min(len(p.Frame), MaxFrame)]
	return p
}

// frame puts a link-layer header before a network-layer packet.
func (m maker) frame(etherType uint16, packet []byte) []byte {
	if m.link != tcp.LinkEthernet {
		return packet
	}
	macs := [][]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 5}}
	f := append([]byte{}, macs[m.IntN(len(macs))]...)
	f = append(f, macs[m.IntN(2)]...)
	return append(binary.BigEndian.AppendUint16(f, etherType), packet...)
}

// other makes Ethernet frames of other protocols, and tagged ones.
func (m maker) other() []byte {
	be := binary.BigEndian
	switch m.IntN(7) {
	case 0:
		arp := append([]byte{0, 1, 8, 0, 6, 4, 0, byte(1 + m.IntN(2)), 2, 0, 0, 0, 0, 1}, 10, 77, 0, 2, 0, 0, 0, 0, 0, 0, 10, 77, 0, 1)
		return m.frame([]uint16{0x0806, 0x8035}[m.IntN(2)], arp)
	case 1: // 802.3 with LLC: STP, IPX, ISO
		saps := [][]byte{{0x42, 0x42, 3}, {0xe0, 0xe0, 3}, {0xfe, 0xfe, 3}, {0xaa, 0xaa, 3, 0, 0, 0, 0x80, 0x9b}}
		body := append(saps[m.IntN(len(saps))], m.bytes(30)...)
		return m.frame(uint16(len(body)), body)
	case 2:
		label := be.AppendUint32(nil, 16<<12|1<<8|64)
		return m.frame(0x8847, append(label, m.anyIPv4()...))
	case 3:
		return m.frame([]uint16{0x8863, 0x8864}[m.IntN(2)], append([]byte{0x11, 0, 0, 7, 0, 60, 0, 0x21}, m.anyIPv4()...))
	case 4:
		return m.frame(0x88cc, m.bytes(40))
	case 5: // two tags
		inner := append(be.AppendUint16(nil, 200), 0x86, 0xdd)
		outer := append(be.AppendUint16(nil, 100), 0x81, 0x00)
		return m.frame(0x88a8, append(append(outer, inner...), m.anyIPv6()...))
	}
	tag := append(be.AppendUint16(nil, uint16(m.IntN(2)*100)), 8, 0)
	return m.frame(0x8100, append(tag, m.anyIPv4()...))
}

func (m maker) anyIPv4() []byte {
	var options []byte
	fragment := uint16(m.IntN(2)) << 14 // DF
	switch m.IntN(8) {
	case 0:
		options = make([]byte, 4*(1+m.IntN(10)))
	case 1:
		fragment = uint16(m.IntN(4)) | 1<<13 // MF
	}
	protocol, payload := m.transport(false)
	pick := func() netip.Addr { return netip.MustParseAddr(addrs4[m.IntN(len(addrs4))]) }
	return m.ipv4(pick(), pick(), protocol, fragment, options, payload)
}

func (m maker) ipv4(src, dst netip.Addr, protocol byte, fragment uint16, options, payload []byte) []byte {
	b := []byte{0x45 + byte(len(options)/4), byte(m.IntN(4)), 0, 0, 7, 7, byte(fragment >> 8), byte(fragment), byte(1 + m.IntN(128)), protocol, 1, 2}
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	b = append(append(b, options...), payload...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func (m maker) anyIPv6() []byte {
	protocol, payload := m.transport(true)
	switch m.IntN(8) {
	case 0: // hop-by-hop options
		payload = append([]byte{protocol, 0, 1, 4, 0, 0, 0, 0}, payload...)
		protocol = 0
	case 1: // fragment header
		payload = append([]byte{protocol, 0, 0, byte(m.IntN(2)) << 3, 0, 0, 0, 9}, payload...)
		protocol = 44
	}
	pick := func() netip.Addr { return netip.MustParseAddr(addrs6[m.IntN(len(addrs6))]) }
	return m.ipv6(pick(), pick(), protocol, payload)
}

func (m maker) ipv6(src, dst netip.Addr, protocol byte, payload []byte) []byte {
	b := []byte{0x60, 0, 0, 0, 0, 0, protocol, byte(1 + m.IntN(128))}
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	return append(append(append(b, src.AsSlice()...), dst.AsSlice()...), payload...)
}

// transport makes the payload of an IP packet, and its protocol number.
func (m maker) transport(ipv6 bool) (byte, []byte) {
	port := func() uint16 { return ports[m.IntN(len(ports))] }
	be := binary.BigEndian
	switch n := m.IntN(20); {
	case n < 11:
		return 6, m.tcp(port(), port())
	case n < 14:
		b := be.AppendUint16(be.AppendUint16(nil, port()), port())
		data := append([]byte{0x12, 0x34, 0x56, 0x78}, m.bytes(m.IntN(60))...)
		b = be.AppendUint16(b, uint16(8+len(data)))
		return 17, append(append(b, 0, 0), data...)
	case n < 17 && ipv6:
		return 58, append([]byte{[]byte{1, 128, 133, 135}[m.IntN(4)], 0, 0, 0, 0, 0, 0, 0}, m.bytes(48)...)
	case n < 17:
		quoted := m.ipv4(netip.MustParseAddr(addrs4[0]), netip.MustParseAddr(addrs4[1]), 6, 0, nil, m.tcp(port(), port())[:8])
		return 1, append([]byte{[]byte{3, 8, 0, 11}[m.IntN(4)], byte(m.IntN(5)), 0, 0, 0, 0, 5, 0}, quoted...)
	}
	return []byte{2, 50, 51, 103, 112, 132}[m.IntN(6)], append([]byte{0, 80, 0, 80}, m.bytes(20)...)
}

func (m maker) tcp(src, dst uint16) []byte {
	be := binary.BigEndian
	b := be.AppendUint16(be.AppendUint16(nil, src), dst)
	b = be.AppendUint32(be.AppendUint32(b, m.Uint32()), m.Uint32())
	options := [][]byte{nil, {2, 4, 5, 100}, make([]byte, 12), make([]byte, 40)}[m.IntN(4)]
	flags := []byte{2, 0x12, 0x10, 0x18, 0x11, 4, 0x14, byte(m.IntN(64))}[m.IntN(8)]
	b = append(b, byte(5+len(options)/4)<<4, flags, 1, 0, 0, 0, 0, 0)
	b = append(b, options...)
	switch m.IntN(4) {
	case 0:
		b = append(b, "GET / HTTP/1.1\r\n"...)
	case 1:
		b = append(b, m.bytes(m.IntN(500))...)
	}
	return b
}
