package render

import (
	"encoding/binary"

	"tcpstory/internal/tcp"
)

// tcpHeader is a TCP header on its way to a line.
type tcpHeader struct {
	off     int
	size    int    // by its own word, options included
	payload uint32 // bytes
	flags   tcp.Flags
	seqNumbers
}

// tcp prints a TCP segment of length bytes.
func (d *dissection) tcp(off int, length uint32, iph int, fragmented bool) {
	d.proto = "tcp"
	if !d.have(off+2, 2) {
		d.addresses(iph)
		d.put(":")
		d.truncated()
		return
	}
	d.endpoints(iph, protoTCP, d.u16(off), d.u16(off+2))
	if !d.have(off, 20) {
		d.truncated()
		return
	}
	h := &d.segment
	*h = tcpHeader{off: off, size: int(d.f[off+12]>>4) * 4}
	h.payload = length - uint32(h.size)
	switch {
	case h.size < 20:
		d.dec(" tcp ", h.payload)
		d.dec(" [bad hdr length ", uint32(h.size))
		d.put(" - too short, < 20]")
	case d.opts.Quiet:
		d.dec("tcp ", h.payload)
		d.tcpTooLong(h, length)
	default:
		d.tcpSegment(h, length, iph, fragmented)
	}
}

// tcpTooLong complains of a header longer than the segment.
func (d *dissection) tcpTooLong(h *tcpHeader, length uint32) bool {
	if uint32(h.size) <= length {
		return false
	}
	d.dec(" [bad hdr length ", uint32(h.size))
	d.dec(" - too long, > ", length)
	d.put("]")
	return true
}

func (d *dissection) tcpSegment(h *tcpHeader, length uint32, iph int, fragmented bool) {
	fixed := d.f[h.off : h.off+20]
	h.flags = tcp.Flags(fixed[13])
	d.put("Flags [")
	d.b, _ = h.flags.AppendText(d.b)
	d.put("]")
	d.tcpNumbers(h, fixed, iph)
	if d.tcpTooLong(h, length) {
		return
	}
	if d.opts.Verbose > 0 && !fragmented {
		d.tcpChecksum(h, length, iph)
	}
	if h.payload > 0 || h.flags&(tcp.SYN|tcp.FIN|tcp.RST) != 0 || d.opts.Verbose > 1 {
		d.dec(", seq ", h.seq)
		if h.payload > 0 {
			d.dec(":", h.seq+h.payload)
		}
	}
	if h.flags.Has(tcp.ACK) {
		d.dec(", ack ", h.ack)
	}
	d.dec(", win ", uint32(binary.BigEndian.Uint16(fixed[14:])))
	if h.flags.Has(tcp.URG) {
		d.dec(", urg ", uint32(binary.BigEndian.Uint16(fixed[18:])))
	}
	if h.size > 20 && !d.tcpOptions(h) {
		return
	}
	d.dec(", length ", h.payload)
	if h.payload > 0 {
		d.tcpPayload(h)
	}
}

// tcpNumbers sets the numbers as they are to be printed.
func (d *dissection) tcpNumbers(h *tcpHeader, fixed []byte, iph int) {
	h.seq = binary.BigEndian.Uint32(fixed[4:])
	h.ack = binary.BigEndian.Uint32(fixed[8:])
	if d.opts.Absolute || !h.flags.Has(tcp.ACK) {
		return
	}
	src, dst := d.f[iph+12:iph+16], d.f[iph+16:iph+20]
	if d.isV6(iph) {
		src, dst = d.f[iph+8:iph+24], d.f[iph+24:iph+40]
	}
	sport, dport := binary.BigEndian.Uint16(fixed), binary.BigEndian.Uint16(fixed[2:])
	h.seqNumbers = d.seqs.relative(src, dst, sport, dport, h.seq, h.ack, h.flags.Has(tcp.SYN))
}

func (d *dissection) tcpChecksum(h *tcpHeader, length uint32, iph int) {
	if !d.have(h.off, int(length)) {
		return
	}
	is := binary.BigEndian.Uint16(d.f[h.off+16:])
	d.hex(", cksum 0x", uint64(is), 4)
	if wrong := d.transportChecksum(iph, h.off, length, protoTCP); wrong != 0 {
		d.hex(" (incorrect -> 0x", uint64(checksumShould(is, wrong)), 4)
		d.put(")")
		return
	}
	d.put(" (correct)")
}

// tcpPayload says what tcpdump says before it decodes applications' data, and
// stops there. The text in an RST (RFC 9293 section 3.5.3) is TCP's own.
func (d *dissection) tcpPayload(h *tcpHeader) {
	if !d.have(h.off, h.size) {
		d.dec(" [remaining caplen(", uint32(d.end-h.off))
		d.dec(") < header length(", uint32(h.size))
		d.put(")]")
		d.need(h.off, h.size)
		return
	}
	if h.flags.Has(tcp.RST) && d.opts.Verbose > 0 {
		d.resetText(h.off+h.size, int(h.payload))
	}
}

const maxResetText = 30 // bytes; tcpdump's own limit

func (d *dissection) resetText(off, length int) {
	mark := " [!RST"
	if d.have(off, length) {
		mark = " [RST"
	}
	d.put(mark)
	if length > maxResetText {
		length = maxResetText
		d.put("+")
	}
	d.put(" ")
	for _, c := range d.f[min(off, d.end):min(off+length, d.end)] {
		d.char(c)
	}
	d.put("]")
}
