package record

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"tcpstory/internal/tcp"
)

// An event is a row of members, each a key (the member's tag, and whether a
// number or bytes follow) and its value; a member that is zero is left out, and a
// zero key ends the row. Numbers and lengths are varints (encoding/binary), signed
// ones in zigzag. Tags never change their meaning: a reader passes over those it
// does not know.
const (
	asNumber = 0
	asBytes  = 1
)

// tag numbers a member; see members.
type tag uint64

func appendNumber(b []byte, t tag, v uint64) []byte {
	if t < 1<<6 && v < 1<<7 { // a byte each
		return append(b, byte(t)<<1|asNumber, byte(v))
	}
	return binary.AppendUvarint(appendVarint(b, uint64(t)<<1|asNumber), v)
}

// appendVarint is AppendUvarint, quick for one byte, which keys and most values have.
func appendVarint(b []byte, v uint64) []byte {
	if v < 1<<7 {
		return append(b, byte(v))
	}
	return binary.AppendUvarint(b, v)
}

func appendBytes[T []byte | string](b []byte, t tag, v T) []byte {
	b = appendVarint(b, uint64(t)<<1|asBytes)
	return append(appendVarint(b, uint64(len(v))), v...)
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// member is one value of a row.
type member struct {
	tag   tag
	num   uint64
	bytes []byte // of the block: valid as long as that
}

var errRow = errors.New("an event that cannot be read")

// cut takes the next member off a row; ok is false at its end.
func cut(row []byte) (m member, rest []byte, ok bool, err error) {
	key, n := binary.Uvarint(row)
	if n <= 0 || key == 0 {
		return m, nil, false, nil
	}
	row = row[n:]
	m.tag = tag(key >> 1)
	if m.num, n = binary.Uvarint(row); n <= 0 {
		return m, nil, false, errRow
	}
	row = row[n:]
	if key&1 == asNumber {
		return m, row, true, nil
	}
	if m.num > uint64(len(row)) {
		return m, nil, false, errRow
	}
	m.bytes = row[:m.num:m.num]
	return m, row[m.num:], true, nil
}

// appendEnd appends an address (4 or 16 bytes, none when it is unknown) and port.
func appendEnd(b []byte, t tag, a netip.AddrPort) []byte {
	if a == (netip.AddrPort{}) {
		return b
	}
	var v [18]byte
	n := 0
	switch addr := a.Addr(); {
	case addr.Is4():
		four := addr.As4()
		n = copy(v[:], four[:])
	case addr.IsValid():
		six := addr.As16()
		n = copy(v[:], six[:])
	}
	binary.BigEndian.PutUint16(v[n:], a.Port())
	return appendBytes(b, t, v[:n+2])
}

func end(v []byte) netip.AddrPort {
	if len(v) < 2 {
		return netip.AddrPort{}
	}
	n := len(v) - 2
	addr, _ := netip.AddrFromSlice(v[:n])
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(v[n:]))
}

// texts gives strings that it has seen before without allocating. It forgets all
// when there are many: a file may be full of invented ones.
type texts map[string]string

const mostTexts = 1 << 12

func (t *texts) of(b []byte) string {
	if s, ok := (*t)[string(b)]; ok {
		return s
	}
	if *t == nil || len(*t) >= mostTexts {
		*t = texts{}
	}
	s := string(b)
	(*t)[s] = s
	return s
}

// row decodes into ev; what the row does not name stays as it is.
func (d *decoder) row(ev *tcp.Event, row []byte) error {
	for {
		var ok bool
		var err error
		if d.m, row, ok, err = cut(row); !ok {
			return err
		}
		if t := d.m.tag; t < tagEnd && d.take[t] != nil {
			d.take[t](d, ev)
		}
	}
}

// decoder holds what decoded events point to.
type decoder struct {
	take     [tagEnd]func(*decoder, *tcp.Event)
	m        member // the one at hand
	texts    texts
	counters tcp.Counters
	life     tcp.Life
	place    tcp.Place
	known    tcp.Known
	stack    tcp.Stack
	head     []byte    // of a packet that is not Ethernet
	device   tcp.Event // what an interface block says
}

func newDecoder() *decoder {
	d := &decoder{}
	for _, g := range groups {
		for _, f := range g.members {
			d.take[f.tag] = f.take
		}
	}
	d.take[tagHead] = func(d *decoder, _ *tcp.Event) { d.head = d.m.bytes }
	return d
}
