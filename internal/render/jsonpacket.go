package render

import (
	"encoding/binary"
	"strconv"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// jsonPacket writes a packet.
func jsonPacket(o *object, s *conn.Step) {
	p := &s.Event.Packet
	o.text(fDevice, p.Device)
	o.known(fIfindex, uint64(p.Ifindex))
	if p.Dir != tcp.DirUnknown {
		o.word(fDirection, p.Dir.String())
	}
	o.when(fOutgoing, s.Outgoing)
	o.when(fLoopback, p.Loopback)
	jsonVLAN(o, p)
	o.end(fSrcAddr, fSrcPort, p.Flow.Local)
	o.end(fDstAddr, fDstPort, p.Flow.Remote)
	o.when(fTranslated, s.Translated)
	if p.L4Offset != 0 {
		o.uint(fProtocol, uint64(p.Protocol))
	}
	o.uint(fWireLength, uint64(p.Length))
	o.uint(fCapturedLength, uint64(len(p.Frame)))
	if p.IsTCP {
		jsonTCP(o, p)
	} else {
		jsonICMP(o, p)
	}
}

func jsonTCP(o *object, p *tcp.Packet) {
	jsonFlags(o, p.Flags)
	o.uint(fTCPSeq, uint64(p.Seq))
	if p.Flags.Has(tcp.ACK) {
		o.uint(fTCPAck, uint64(p.Ack))
	}
	o.uint(fWindow, uint64(p.Window))
	o.int(fHeaderLength, int64(p.HeaderLen))
	o.int(fLength, int64(p.PayloadLen))
	var opts options
	opts.parse(p)
	jsonOptions(o, &opts)
}

func jsonOptions(o *object, opts *options) {
	if opts.has(optMSS) {
		o.uint(fMss, uint64(opts.mss))
	}
	if opts.has(optWScale) {
		o.uint(fWscale, uint64(opts.wscale))
	}
	o.when(fSackOk, opts.has(optSackOK))
	if opts.has(optTS) {
		o.uint(fTsVal, uint64(opts.tsVal))
		o.uint(fTsEcr, uint64(opts.tsEcr))
	}
	if opts.has(optSack) {
		o.key(fSack)
		o.b = append(o.b, '[')
		for i := range opts.blocks {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			b := opts.sack[i]
			o.b = strconv.AppendUint(append(o.b, '['), uint64(b[0]), 10)
			o.b = strconv.AppendUint(append(o.b, ','), uint64(b[1]), 10)
			o.b = append(o.b, ']')
		}
		o.b = append(o.b, ']')
	}
}

func jsonICMP(o *object, p *tcp.Packet) {
	const icmp, icmp6 = 1, 58
	if at := p.L4Offset; at > 0 && at+2 <= len(p.Frame) && (p.Protocol == icmp || p.Protocol == icmp6) {
		o.uint(fICMPType, uint64(p.Frame[at]))
		o.uint(fICMPCode, uint64(p.Frame[at+1]))
	}
	if p.IsQuote {
		o.end(fQuotedSrcAddr, fQuotedSrcPort, p.Quoted.Local)
		o.end(fQuotedDstAddr, fQuotedDstPort, p.Quoted.Remote)
	}
}

// jsonVLAN writes the tags of an Ethernet frame.
func jsonVLAN(o *object, p *tcp.Packet) {
	sep := byte('[')
	for at := 12; hasTag(p, at); at += 4 {
		if sep == '[' {
			o.key(fVlan)
		}
		id := binary.BigEndian.Uint16(p.Frame[at+2:]) & 0xfff
		o.b = strconv.AppendUint(append(o.b, sep), uint64(id), 10)
		sep = ','
	}
	if sep == ',' {
		o.b = append(o.b, ']')
	}
}

func hasTag(p *tcp.Packet, at int) bool {
	return p.Link == tcp.LinkEthernet && at+4 <= len(p.Frame) && isVLANType(binary.BigEndian.Uint16(p.Frame[at:]))
}
