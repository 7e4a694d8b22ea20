package render

// optionEnd says how printing an option ended.
type optionEnd uint8

const (
	optionDone optionEnd = iota
	optionBad            // it does not fit: [bad opt]
	optionCut            // it was not captured
)

// tcpOption is one option at hand: its data is at at, size bytes by its
// length byte, and left bytes of options remain there.
type tcpOption struct {
	at, size, left int
	kind           uint8
}

// tcpOptionPrinter prints an option's data and returns how many bytes of it
// it has used, which the option's length should agree with.
type tcpOptionPrinter func(d *dissection, h *tcpHeader, o *tcpOption) (used int, end optionEnd)

// tcpOptionKinds are the options known (IANA registry), by kind.
var tcpOptionKinds = [256]struct {
	name  string
	print tcpOptionPrinter
}{
	0:   {"eol", nil},
	1:   {"nop", nil},
	2:   {"mss", (*dissection).tcpUint16},
	3:   {"wscale", (*dissection).tcpUint8},
	4:   {"sackOK", nil},
	5:   {"sack", (*dissection).tcpSack},
	6:   {"echo", (*dissection).tcpUint32},
	7:   {"echoreply", (*dissection).tcpUint32},
	8:   {"TS", (*dissection).tcpTimestamps},
	11:  {"cc", (*dissection).tcpUint32},
	12:  {"ccnew", (*dissection).tcpUint32},
	13:  {"", (*dissection).tcpUint32},
	19:  {"md5", (*dissection).tcpMD5},
	20:  {"scps", (*dissection).tcpSCPS},
	28:  {"uto", (*dissection).tcpUserTimeout},
	29:  {"tcp-ao", (*dissection).tcpAO},
	30:  {"mptcp", (*dissection).tcpMultipath},
	34:  {"tfo", (*dissection).tcpFastOpen},
	254: {"exp", (*dissection).tcpExperiment},
}

const (
	tcpOptEnd   = 0
	tcpOptNop   = 1
	tcpOptEcho2 = 13 // CC.ECHO: known, but nameless
)

// tcpOptions prints the options. It reports false where they end the line.
func (d *dissection) tcpOptions(h *tcpHeader) bool {
	d.put(", options [")
	o := &d.option
	*o = tcpOption{at: h.off + 20, left: h.size - 20}
	for first := true; o.left > 0; first = false {
		if !first {
			d.put(",")
		}
		used, end := d.tcpOption(h, o)
		if d.cut {
			return false
		}
		if end != optionDone {
			d.tcpOptionsEnd(end, first)
			return false
		}
		o.at += used
		o.left -= used
		if used != o.size {
			d.dec("[len ", uint32(o.size+o.headerSize()))
			d.put("]")
		}
		if o.kind == tcpOptEnd {
			break
		}
	}
	d.put("]")
	return true
}

// headerSize is the size of kind and length; two kinds are that and no more.
func (o *tcpOption) headerSize() int {
	if o.kind == tcpOptEnd || o.kind == tcpOptNop {
		return 1
	}
	return 2
}

func (d *dissection) tcpOptionsEnd(end optionEnd, first bool) {
	closing := "]"
	if end == optionBad {
		d.put("[bad opt]")
	} else {
		d.truncated()
		closing = ">"
	}
	if !first {
		d.put(closing)
	}
}

// tcpOption reads kind and length at o.at, moves o behind them and prints the
// option.
func (d *dissection) tcpOption(h *tcpHeader, o *tcpOption) (used int, end optionEnd) {
	o.kind, o.size = d.u8(o.at), 0
	header := o.headerSize()
	if header == 2 {
		total := int(d.u8(o.at + 1))
		if !d.cut && (total < 2 || total > o.left) {
			return 0, optionBad
		}
		o.size = total - 2
	}
	o.at += header
	o.left -= header
	known := &tcpOptionKinds[o.kind]
	if known.name == "" && o.kind != tcpOptEcho2 {
		d.dec("unknown-", uint32(o.kind))
		return d.tcpUnknown(h, o)
	}
	d.put(known.name)
	if known.print == nil {
		return 0, optionDone
	}
	return known.print(d, h, o)
}

// optionFits checks that n bytes of data remain and were captured.
func (d *dissection) optionFits(o *tcpOption, n int) optionEnd {
	switch {
	case n > o.left:
		return optionBad
	case !d.have(o.at, n):
		return optionCut
	}
	return optionDone
}

func (d *dissection) tcpUint8(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	end := d.optionFits(o, 1)
	if end == optionDone {
		d.dec(" ", uint32(d.u8(o.at)))
	}
	return 1, end
}

func (d *dissection) tcpUint16(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	end := d.optionFits(o, 2)
	if end == optionDone {
		d.dec(" ", uint32(d.u16(o.at)))
	}
	return 2, end
}

func (d *dissection) tcpUint32(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	end := d.optionFits(o, 4)
	if end == optionDone {
		d.dec(" ", d.u32(o.at))
	}
	return 4, end
}

func (d *dissection) tcpTimestamps(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	end := d.optionFits(o, 8)
	if end == optionDone {
		d.dec(" val ", d.u32(o.at))
		d.dec(" ecr ", d.u32(o.at+4))
	}
	return 8, end
}

func (d *dissection) tcpSack(h *tcpHeader, o *tcpOption) (int, optionEnd) {
	if o.size%8 != 0 {
		d.put(" invalid sack")
		return o.size, optionDone
	}
	d.dec(" ", uint32(o.size/8))
	d.put(" ")
	for i := 0; i < o.size; i += 8 {
		if end := d.optionFits(o, i+8); end != optionDone {
			return 0, end
		}
		d.dec("{", d.u32(o.at+i)-h.sack)
		d.dec(":", d.u32(o.at+i+4)-h.sack)
		d.put("}")
	}
	return o.size, optionDone
}

func (d *dissection) tcpUnknown(_ *tcpHeader, o *tcpOption) (int, optionEnd) {
	if o.size > 0 {
		d.put(" 0x")
	}
	return o.size, d.optionHex(o, 0)
}

// optionHex prints the option's data from byte from on, as far as captured.
func (d *dissection) optionHex(o *tcpOption, from int) optionEnd {
	for i := from; i < o.size; i++ {
		if end := d.optionFits(o, i+1); end != optionDone {
			return end
		}
		d.hexBytes(o.at+i, 1, 0)
	}
	return optionDone
}
