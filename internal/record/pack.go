package record

import "tcpstory/internal/tcp"

// Pack appends an event as an event block has it, without the block: for those who
// keep events in memory. It does not allocate.
func Pack(b []byte, ev *tcp.Event) []byte { return appendRow(b, groups[:], ev) }

// Unpacker reads what Pack has written. It is not safe for concurrent use.
type Unpacker struct{ d *decoder }

// NewUnpacker returns one.
func NewUnpacker() *Unpacker { return &Unpacker{newDecoder()} }

// Unpack reads an event, which it overwrites. Its frame is a part of b; Counters and
// Place are valid until the next call. Packets are not decoded.
func (u *Unpacker) Unpack(ev *tcp.Event, b []byte) error {
	*ev = tcp.Event{}
	return u.d.row(ev, b)
}
