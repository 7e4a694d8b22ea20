package render

import (
	"bytes"
	"net/netip"
	"strconv"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// packet appends the wire column.
func (v *Columns) packet(s *conn.Step) {
	v.seqs.place = s.Event.Netns
	if !s.Event.Packet.IsTCP {
		v.stranger(s)
		return
	}
	c, p := &v.c, &s.Event.Packet
	c.to(v.lay.wire)
	v.arrow(s)
	c.text(" ")
	switch {
	case p.Flags.Has(tcp.RST):
		c.in(styleRed)
	case p.Flags&(tcp.SYN|tcp.FIN) != 0:
		c.in(styleBold)
	}
	v.flags(p.Flags)
	c.plain()
	v.numbers(p)
	v.options(p)
}

func (v *Columns) arrow(s *conn.Step) {
	if s.Outgoing {
		v.c.glyph(glyphOut)
	} else {
		v.c.glyph(glyphIn)
	}
}

// numbers appends what of "SEQ:END ack N win N" there is room for, the most
// telling first.
func (v *Columns) numbers(p *tcp.Packet) {
	n := v.relative(p)
	if p.PayloadLen > 0 || p.Flags&(tcp.SYN|tcp.FIN|tcp.RST) != 0 {
		v.scratch = strconv.AppendUint(append(v.scratch[:0], ' '), uint64(n.seq), 10)
		if p.PayloadLen > 0 {
			v.scratch = strconv.AppendUint(append(v.scratch, ':'), uint64(n.seq+uint32(p.PayloadLen)), 10)
		}
		v.offer()
	}
	if p.Flags.Has(tcp.ACK) {
		v.number(" ack ", uint64(n.ack))
	}
	v.number(" win ", uint64(p.Window))
	if p.PayloadLen > 0 {
		v.number(" len ", uint64(p.PayloadLen))
	}
}

func (v *Columns) number(name string, n uint64) {
	v.scratch = strconv.AppendUint(append(v.scratch[:0], name...), n, 10)
	v.offer()
}

// offer appends the scratch text if all of it fits.
func (v *Columns) offer() bool {
	if len(v.scratch) > v.c.room() {
		return false
	}
	v.c.ascii(v.scratch)
	return true
}

// relative numbers segments as tcpdump does.
func (v *Columns) relative(p *tcp.Packet) seqNumbers {
	if v.opt.Absolute || !p.Flags.Has(tcp.ACK) {
		return seqNumbers{seq: p.Seq, ack: p.Ack}
	}
	src, dst := p.Flow.Local.Addr().As16(), p.Flow.Remote.Addr().As16()
	return v.seqs.relative(src[:], dst[:], p.Flow.Local.Port(), p.Flow.Remote.Port(), p.Seq, p.Ack, p.Flags.Has(tcp.SYN))
}

// options appends the options that fit; an ellipsis stands for the rest.
// Padding is left out, and time stamps without a sign where they do not fit.
func (v *Columns) options(p *tcp.Packet) {
	o := &v.opts
	o.parse(p)
	v.c.in(styleDim)
	sep := byte(' ')
	for _, opt := range optionTexts {
		if !o.has(opt.set) {
			continue
		}
		o.set &^= opt.set
		v.scratch = opt.append(v, append(v.scratch[:0], sep), o, p)
		last := o.set&^optTS == 0
		if !last && len(v.scratch) == v.c.room() || !v.offer() {
			if opt.set != optTS {
				v.c.glyph(glyphMore)
			}
			return
		}
		sep = ','
	}
}

// optionTexts are the options as tcpdump writes them, in the order of worth.
var optionTexts = [...]struct {
	set    optionSet
	append func(*Columns, []byte, *options, *tcp.Packet) []byte
}{
	{optSack, (*Columns).sack},
	{optMSS, func(_ *Columns, b []byte, o *options, _ *tcp.Packet) []byte {
		return strconv.AppendUint(append(b, "mss "...), uint64(o.mss), 10)
	}},
	{optWScale, func(_ *Columns, b []byte, o *options, _ *tcp.Packet) []byte {
		return strconv.AppendUint(append(b, "wscale "...), uint64(o.wscale), 10)
	}},
	{optSackOK, func(_ *Columns, b []byte, _ *options, _ *tcp.Packet) []byte {
		return append(b, "sackOK"...)
	}},
	{optTS, func(_ *Columns, b []byte, o *options, _ *tcp.Packet) []byte {
		b = strconv.AppendUint(append(b, "TS "...), uint64(o.tsVal), 10)
		return strconv.AppendUint(append(b, '/'), uint64(o.tsEcr), 10)
	}},
}

func (v *Columns) sack(b []byte, o *options, p *tcp.Packet) []byte {
	base := v.relative(p).sack
	b = append(b, "sack"...)
	for _, block := range o.sack[:o.blocks] {
		b = strconv.AppendUint(append(b, ' '), uint64(block[0]-base), 10)
		b = strconv.AppendUint(append(b, ':'), uint64(block[1]-base), 10)
	}
	return b
}

// stranger appends a packet that is not TCP as tcpdump prints it. It may begin
// to the left of the wire column, where its line is empty.
func (v *Columns) stranger(s *conn.Step) {
	b := v.packets.Append(v.scratch[:0], s.Event)
	v.scratch = b
	b = bytes.TrimRight(b, "\n")
	for _, prefix := range [...]string{"IP ", "IP6 "} {
		b = bytes.TrimPrefix(b, []byte(prefix))
	}
	from := v.lay.addresses
	if s.Event.Packet.IsQuote {
		b = v.senderLast(b)
	}
	v.c.to(max(from, min(v.lay.wire, v.lay.width-len(b)-len("> "))))
	v.arrow(s)
	v.c.text(" ")
	if s.Event.Packet.IsQuote {
		v.c.in(styleRed)
	}
	v.printable(b)
}

// senderLast turns "SRC > DST: ICMP …, length N" into "ICMP … from SRC": the
// destination is the connection's own end, and an address behind the arrow would
// read as one. b lies in v.scratch, and what is returned behind it.
func (v *Columns) senderLast(b []byte) []byte {
	addresses, said, ok := bytes.Cut(b, []byte(": "))
	if !ok {
		return b
	}
	sender, _, _ := bytes.Cut(addresses, []byte(" > "))
	said, _, _ = bytes.Cut(said, []byte(", length "))
	n := len(v.scratch)
	v.scratch = append(append(append(v.scratch, said...), " from "...), sender...)
	return v.scratch[n:]
}

// printable appends a line of the printer, which may be several with -v, as one.
func (v *Columns) printable(b []byte) {
	for i, ch := range b {
		if ch < ' ' {
			b[i] = ' '
		}
	}
	v.c.ascii(b)
}

// addresses appends both ends, this one first; the wire's where they differ.
func (v *Columns) addresses(s *conn.Step) {
	f := shownFlow(s)
	half := (addressesWidth - 1 - len(" - ")) / 2
	v.end(f.Local, listens(s), half)
	v.c.text(" ")
	v.c.glyph(glyphBetween)
	v.c.text(" ")
	v.end(f.Remote, listens(s), half)
}

// shownFlow is the step's flow with this end first.
func shownFlow(s *conn.Step) tcp.Flow {
	p := &s.Event.Packet
	switch {
	case s.Event.Kind != tcp.KindPacket || s.Conn != nil && !s.Translated:
		return s.Flow
	case s.Outgoing:
		return p.Flow
	}
	return p.Flow.Reverse()
}

// end appends one address; one too long loses its beginning, which the heading
// tells.
func (v *Columns) end(a netip.AddrPort, listens bool, room int) {
	var scratch [64]byte
	b := appendEnd(scratch[:0], a, listens)
	if over := len(b) - room; over > 0 {
		v.c.glyph(glyphMore)
		b = b[over+1:]
	}
	v.c.ascii(b)
}
