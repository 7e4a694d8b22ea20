package lab

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Offsets into the TCP header and into the IP headers.
const (
	tcpSourcePort = 0
	tcpDestPort   = 2
	tcpFlags      = 13
	tcpUrgent     = 18
	ip4Dest       = 16
	ip6Dest       = 24
)

// withData is longer than any TCP packet without data (in IPv6 with every
// option at most 100) and shorter than one with 100 bytes of it (in IPv4 with
// timestamps 152), bytes.
const withData = 128

// timestampOption is RFC 7323's kind.
const timestampOption = 8

// once is a modulus that no test's count of packets reaches.
const once = 1 << 31

// exprs is the rule as nftables evaluates it, left to right.
func (r Rule) exprs() []expr.Any {
	if r.Solicitation {
		return append(solicitation(), r.verdict()...)
	}
	e := match(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, unix.IPPROTO_TCP)
	if r.FromPort != 0 {
		e = append(e, matchHeader(expr.PayloadBaseTransportHeader, tcpSourcePort, port(r.FromPort))...)
	}
	if r.ToPort != 0 {
		e = append(e, matchHeader(expr.PayloadBaseTransportHeader, tcpDestPort, port(r.ToPort))...)
	}
	if r.Flags != 0 {
		e = append(e, matchFlags(r.Flags)...)
	}
	e = append(e, r.sizeExprs()...)
	e = append(e, r.trackExprs()...)
	e = append(e, r.pathExprs()...)
	e = append(e, r.destExprs()...)
	if r.First != 0 {
		e = append(e, firstOf(r.First)...)
	}
	return append(append(e, &expr.Counter{}), r.verdict()...)
}

// neighbourSolicitation is RFC 4861's ICMPv6 type.
const neighbourSolicitation = 135

func solicitation() []expr.Any {
	e := match(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, unix.IPPROTO_ICMPV6)
	return append(e, matchHeader(expr.PayloadBaseTransportHeader, 0, []byte{neighbourSolicitation})...)
}

func port(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

func match(load expr.Any, want ...byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want}}
}

func matchHeader(base expr.PayloadBase, offset uint32, want []byte) []expr.Any {
	return match(&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(want))}, want...)
}

// matchFlags compares the flags byte under a mask of the same bits.
func matchFlags(f tcp.Flags) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{byte(f)}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(f)}},
	}
}

func (r Rule) sizeExprs() []expr.Any {
	size := r.Longer + 1
	switch {
	case r.Data:
		size = max(size, withData)
	case r.Longer == 0:
		return nil
	}
	least := binary.BigEndian.AppendUint32(nil, size)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: least},
	}
}

// trackExprs compares connection tracking's state with "invalid": it is told of no
// connection's beginning here, and takes up none in the middle (nf_conntrack_tcp_loose).
func (r Rule) trackExprs() []expr.Any {
	if !r.Unknown {
		return nil
	}
	invalid := binary.NativeEndian.AppendUint32(nil, expr.CtStateBitINVALID)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: invalid, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// pathExprs asks the routes for the sender by the device that it came by: nothing is
// found where they lead elsewhere.
func (r Rule) pathExprs() []expr.Any {
	if !r.Astray {
		return nil
	}
	return match(&expr.Fib{Register: 1, FlagSADDR: true, FlagIIF: true, ResultOIF: true}, 0, 0, 0, 0)
}

func (r Rule) destExprs() []expr.Any {
	if !r.To.IsValid() {
		return nil
	}
	proto, offset := byte(unix.NFPROTO_IPV4), uint32(ip4Dest)
	if r.To.Is6() {
		proto, offset = unix.NFPROTO_IPV6, ip6Dest
	}
	e := match(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, proto)
	return append(e, matchHeader(expr.PayloadBaseNetworkHeader, offset, r.To.AsSlice())...)
}

// firstOf lets only the first n packets through to the verdict: an incremental
// numgen counts 0, 1, 2 …
func firstOf(n uint32) []expr.Any {
	return []expr.Any{
		&expr.Numgen{Register: 1, Modulus: once, Type: unix.NFT_NG_INCREMENTAL},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binary.BigEndian.AppendUint32(nil, n)},
	}
}

func (r Rule) verdict() []expr.Any {
	switch r.Action {
	case RejectReset:
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}
	case RejectHostUnreachable:
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_HOST_UNREACH}}
	case RejectProhibited:
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
	case Translate:
		return r.translate()
	case Corrupt: // a part that means nothing without its flag, and that its checksum covers
		return []expr.Any{
			&expr.Immediate{Register: 1, Data: []byte{0, 1}},
			&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: tcpUrgent, Len: 2},
		}
	case Backdate:
		return []expr.Any{
			&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint32(nil, r.Stamp)},
			&expr.Exthdr{SourceRegister: 1, Op: expr.ExthdrOpTcpopt, Type: timestampOption, Offset: 2, Len: 4},
		}
	case Masquerade:
		return []expr.Any{&expr.Masq{}}
	default:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	}
}

func (r Rule) translate() []expr.Any {
	family := uint32(nftables.TableFamilyIPv4)
	if r.Target.Addr().Is6() {
		family = uint32(nftables.TableFamilyIPv6)
	}
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: r.Target.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: port(r.Target.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: family, RegAddrMin: 1, RegProtoMin: 2},
	}
}
