package conntest

import (
	"encoding/binary"

	"tcpstory/internal/tcp"
)

// Header is what a story's segment says.
type Header struct {
	Flags    tcp.Flags
	Seq, Ack uint32
	Window   uint16
	Options  []byte // padded by whoever writes them
	Len      int    // payload bytes
}

// Flag sets that stories use.
const (
	S  = tcp.SYN
	SA = tcp.SYN | tcp.ACK
	A  = tcp.ACK
	PA = tcp.PSH | tcp.ACK
	FA = tcp.FIN | tcp.ACK
	R  = tcp.RST
	RA = tcp.RST | tcp.ACK
)

// SynOptions are what Linux puts on a SYN: mss 1460, sackOK, TS, wscale 7.
var SynOptions = []byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 7}

// Stamp is the timestamp option of every later segment.
var Stamp = []byte{1, 1, 8, 10, 0, 0, 3, 233, 0, 0, 7, 208}

// Sack is an option list with one SACK block.
var Sack = []byte{1, 1, 5, 10, 0, 0, 4, 76, 0, 0, 4, 176}

// frame builds Ethernet, IP and TCP around a payload of zeros.
func (h *Header) frame(f tcp.Flow) []byte {
	b := make([]byte, 12, 128)
	n := 20 + len(h.Options) + h.Len
	if f.Local.Addr().Is4() {
		b = append(b, 8, 0, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+n))
		b = append(b, 0, 1, 0x40, 0, 64, 6, 0, 0)
	} else {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, 6, 64)
	}
	b = append(b, f.Local.Addr().AsSlice()...)
	b = append(b, f.Remote.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, f.Local.Port())
	b = binary.BigEndian.AppendUint16(b, f.Remote.Port())
	b = binary.BigEndian.AppendUint32(b, h.Seq)
	b = binary.BigEndian.AppendUint32(b, h.Ack)
	b = binary.BigEndian.AppendUint16(b, uint16((20+len(h.Options))/4)<<12|uint16(h.Flags))
	b = binary.BigEndian.AppendUint16(b, h.Window)
	b = append(b, 0, 0, 0, 0)
	b = append(b, h.Options...)
	return append(b, make([]byte, h.Len)...)
}

// Unreachable builds the ICMP error "port unreachable" from a host about a
// segment of the flow that it quotes.
func Unreachable(from string, quoted tcp.Flow, h Header) []byte {
	inner := h.frame(quoted)[14:][:28]
	b := append(make([]byte, 12), 8, 0, 0x45, 0, 0, byte(28+len(inner)), 0, 1, 0x40, 0, 64, 1, 0, 0)
	b = append(b, Flow(from, "").Local.Addr().AsSlice()...)
	b = append(b, quoted.Local.Addr().AsSlice()...)
	b = append(b, 3, 3, 0, 0, 0, 0, 0, 0)
	return append(b, inner...)
}
