package render

import (
	"encoding/binary"
	"strconv"
)

// dissection is one packet on its way to a line. Reading past what was
// captured does not fail at once: it marks the dissection cut, reads as zero,
// and from there on nothing more is printed but the name of the layer that
// ran out, in tcpdump's "[|tcp]". So a layer reads first and prints what it
// has read after that.
type dissection struct {
	opts  *LineOptions
	seqs  *seqTracker
	b     []byte // the line so far
	f     []byte // the frame as captured
	end   int    // captured and inside the current layer's datagram
	proto string // the layer at work
	cut   bool
	ran   string // the layer that ran out

	segment tcpHeader // at hand; here, for it would escape to the heap elsewhere
	option  tcpOption
}

func (d *dissection) begin(dst, frame []byte) {
	d.b, d.f, d.end = dst, frame, len(frame)
	d.proto, d.cut = "", false
}

// finish returns the line and lets go of the caller's memory.
func (d *dissection) finish() []byte {
	if d.cut {
		d.cut, d.proto = false, d.ran
		d.truncated()
	}
	b := d.b
	d.b, d.f = nil, nil
	return b
}

// have reports whether n bytes at off were captured.
func (d *dissection) have(off, n int) bool { return n >= 0 && off >= 0 && off <= d.end-n }

// need is have, and cuts the dissection if they were not.
func (d *dissection) need(off, n int) bool {
	if d.cut {
		return false
	}
	if !d.have(off, n) {
		d.cut, d.ran = true, d.proto
		return false
	}
	return true
}

func (d *dissection) u8(off int) uint8 {
	if !d.need(off, 1) {
		return 0
	}
	return d.f[off]
}

func (d *dissection) u16(off int) uint16 {
	if !d.need(off, 2) {
		return 0
	}
	return binary.BigEndian.Uint16(d.f[off:])
}

func (d *dissection) u32(off int) uint32 {
	if !d.need(off, 4) {
		return 0
	}
	return binary.BigEndian.Uint32(d.f[off:])
}

func (d *dissection) u64(off int) uint64 {
	if !d.need(off, 8) {
		return 0
	}
	return binary.BigEndian.Uint64(d.f[off:])
}

func (d *dissection) put(s string) {
	if !d.cut {
		d.b = append(d.b, s...)
	}
}

// dec prints in decimal, after what.
func (d *dissection) dec(what string, v uint32) {
	if !d.cut {
		d.b = append(d.b, what...)
		d.b = strconv.AppendUint(d.b, uint64(v), 10)
	}
}

// hex prints in hexadecimal with at least width digits, after what.
func (d *dissection) hex(what string, v uint64, width int) {
	if d.cut {
		return
	}
	d.b = append(d.b, what...)
	for limit := uint64(1) << 4; width > 1; width-- {
		if v < limit {
			d.b = append(d.b, '0')
		}
		limit <<= 4
	}
	d.b = strconv.AppendUint(d.b, v, 16)
}

// hexBytes prints n bytes as digits with sep between them (0: nothing).
func (d *dissection) hexBytes(off, n int, sep byte) {
	const digits = "0123456789abcdef"
	for i := range n {
		c := d.u8(off + i)
		if d.cut {
			return
		}
		if i > 0 && sep != 0 {
			d.b = append(d.b, sep)
		}
		d.b = append(d.b, digits[c>>4], digits[c&15])
	}
}

// mac prints a 6-byte address.
func (d *dissection) mac(off int) {
	if d.need(off, 6) {
		d.hexBytes(off, 6, ':')
	}
}

// truncated says that the layer at work ran out, and lets the others go on.
func (d *dissection) truncated() {
	d.put(" [|")
	d.put(d.proto)
	d.put("]")
}

func (d *dissection) invalid() { d.put(" (invalid)") }

// limit narrows what may be read to n bytes from off on, and returns the
// former bound, which the caller puts back into end.
func (d *dissection) limit(off, n int) (was int) {
	was = d.end
	if n <= d.end-off {
		d.end = off + n
	}
	return was
}

// named prints names[v], or what and v where there is none.
func (d *dissection) named(names map[uint16]string, v uint16, what string) {
	if name, ok := names[v]; ok {
		d.put(name)
		return
	}
	d.put(what)
}

// dump prints bytes in hexadecimal, 16 to a line, as tcpdump -x does. It
// stops at what was captured.
func (d *dissection) dump(indent string, off, n int) {
	n = min(n, d.end-off)
	for i := 0; i < n; i++ {
		if i%16 == 0 {
			d.put(indent)
			d.hex("0x", uint64(i), 4)
			d.put(": ")
		}
		if i%2 == 0 {
			d.put(" ")
		}
		d.hexBytes(off+i, 1, 0)
	}
}

// char prints one untrusted byte as "a", "^A", "M-a" or "M-^A".
func (d *dissection) char(c byte) {
	if c >= 0x80 {
		c &= 0x7f
		d.put("M-")
	}
	if c < ' ' || c == 0x7f {
		c ^= 0x40
		d.put("^")
	}
	if !d.cut {
		d.b = append(d.b, c)
	}
}

func appendUint(dst []byte, v uint64) []byte { return strconv.AppendUint(dst, v, 10) }

// appendPadded appends v right-aligned in width columns.
func appendPadded(dst []byte, v uint64, width int) []byte {
	for limit := uint64(10); width > 1; width-- {
		if v < limit {
			dst = append(dst, ' ')
		}
		limit *= 10
	}
	return appendUint(dst, v)
}
