package record

import (
	"encoding/binary"
	"net/netip"

	"tcpstory/internal/tcp"
)

// Events that are kept in memory are packed: the frequent ones, packets and plain
// transitions, in a form of fixed places, which takes a fourth of the time of a row;
// all others as rows. Files never have this form.
const (
	packedRow = iota
	packedPlain
)

// What a packed event has, in its second to fourth byte.
const (
	hasLocal = 1 << iota
	hasLocal4
	hasRemote
	hasRemote4
	hasTask
	hasNumbers
	hasCgroup
	hasAgain
	hasFrame
	isStarting
	isInferred
	isSoft
	isAsked
	isLoopback
)

// Pack appends an event for Unpack. It does not allocate.
func Pack(b []byte, ev *tcp.Event) []byte {
	if !hasPlaces(ev) {
		return appendRow(append(b, packedRow), ev)
	}
	has := booleans(ev)
	start := len(b)
	b = append(b, packedPlain, 0, 0, 0, byte(ev.Kind), byte(ev.Old), byte(ev.New), byte(ev.Minisock), byte(ev.Via), byte(ev.Packet.Dir))
	b = le.AppendUint16(b, uint16(ev.Packet.Link))
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, ev.Seq), uint64(ev.Time)), ev.Cookie)
	b = le.AppendUint32(le.AppendUint32(b, ev.Netns), uint32(ev.Errno))
	if f := &ev.Flow; *f != (tcp.Flow{}) && !ownIsWire(ev) {
		b = packEnd(b, &has, f.Local, hasLocal, hasLocal4)
		b = packEnd(b, &has, f.Remote, hasRemote, hasRemote4)
	}
	if t := &ev.Task; *t != (tcp.Task{}) {
		has |= hasTask
		b = append(le.AppendUint32(le.AppendUint32(b, t.PID), t.TID), t.Comm[:]...)
	}
	if ev.ISN|ev.PeerISN != 0 {
		has |= hasNumbers
		b = le.AppendUint32(le.AppendUint32(b, ev.ISN), ev.PeerISN)
	}
	if ev.Cgroup != 0 {
		has |= hasCgroup
		b = le.AppendUint64(b, ev.Cgroup)
	}
	if ev.Retransmit != (tcp.Retransmit{}) {
		has |= hasAgain
		b = le.AppendUint32(append(b, byte(ev.Again)), ev.Count)
	}
	if p := &ev.Packet; len(p.Frame) > 0 || p.Length|p.Ifindex != 0 || p.Device != "" {
		has |= hasFrame
		b = le.AppendUint32(le.AppendUint32(b, p.Length), p.Ifindex)
		b = append(append(b, byte(len(p.Device))), p.Device...)
		b = append(b, p.Frame...)
	}
	b[start+1], b[start+2], b[start+3] = byte(has), byte(has>>8), byte(has>>16)
	return b
}

// hasPlaces: it has nothing but what Pack has a place for.
func hasPlaces(ev *tcp.Event) bool {
	return ev.Counters == nil && ev.Place == nil && ev.Known == nil && ev.Stack == nil && ev.Life == nil &&
		ev.UserTimeout == 0 && ev.Reason == "" && !ev.RFC1337 && ev.Expects == 0 && ev.Timer == (tcp.Timer{}) && ev.Gap == (tcp.Gap{}) && len(ev.Packet.Device) < 256 &&
		(ev.Kind == tcp.KindPacket || ev.Packet.Segment == (tcp.Segment{}))
}

func booleans(ev *tcp.Event) (has uint32) {
	for _, f := range [...]struct {
		is  bool
		bit uint32
	}{{ev.Starting, isStarting}, {ev.Inferred, isInferred}, {ev.Soft, isSoft}, {ev.Packet.Asked, isAsked}, {ev.Packet.Loopback, isLoopback}} {
		if f.is {
			has |= f.bit
		}
	}
	return has
}

// packEnd appends an end that is known, or a part of it.
func packEnd(b []byte, has *uint32, a netip.AddrPort, known, four uint32) []byte {
	addr := a.Addr()
	switch {
	case addr.Is4():
		*has |= known | four
		v := addr.As4()
		return append(binary.BigEndian.AppendUint16(b, a.Port()), v[:]...)
	case addr.IsValid():
		*has |= known
		v := addr.As16()
		return append(binary.BigEndian.AppendUint16(b, a.Port()), v[:]...)
	case a.Port() != 0: // four bytes of no address
		*has |= four
		return binary.BigEndian.AppendUint16(b, a.Port())
	}
	return b
}

// Unpacker reads what Pack has written. It is not safe for concurrent use.
type Unpacker struct{ d *decoder }

// NewUnpacker returns one.
func NewUnpacker() *Unpacker { return &Unpacker{newDecoder()} }

// Unpack reads an event, which it overwrites. Its frame is a part of b; Counters and
// Place are valid until the next call. Packets are not decoded.
func (u *Unpacker) Unpack(ev *tcp.Event, b []byte) error {
	*ev = tcp.Event{}
	if len(b) == 0 {
		return errRow
	}
	if b[0] == packedRow {
		return u.d.row(ev, b[1:])
	}
	c := cutter{b: b[1:]}
	has := uint32(c.byte()) | uint32(c.byte())<<8 | uint32(c.byte())<<16
	ev.Kind, ev.Old, ev.New, ev.Minisock = tcp.Kind(c.byte()), tcp.State(c.byte()), tcp.State(c.byte()), tcp.State(c.byte())
	ev.Via, ev.Packet.Dir = tcp.Via(c.byte()), tcp.Direction(c.byte())
	ev.Packet.Link = tcp.LinkType(le.Uint16(c.take(2)))
	ev.Seq, ev.Time, ev.Cookie = c.long(), int64(c.long()), c.long()
	ev.Netns, ev.Errno = c.word(), int32(c.word())
	ev.Flow.Local = c.end(has, hasLocal, hasLocal4)
	ev.Flow.Remote = c.end(has, hasRemote, hasRemote4)
	if has&hasTask != 0 {
		ev.Task.PID, ev.Task.TID = c.word(), c.word()
		copy(ev.Task.Comm[:], c.take(len(ev.Task.Comm)))
	}
	if has&hasNumbers != 0 {
		ev.ISN, ev.PeerISN = c.word(), c.word()
	}
	if has&hasCgroup != 0 {
		ev.Cgroup = c.long()
	}
	if has&hasAgain != 0 {
		ev.Again, ev.Count = tcp.RetransmitKind(c.byte()), c.word()
	}
	if p := &ev.Packet; has&hasFrame != 0 {
		p.Length, p.Ifindex = c.word(), c.word()
		p.Device = u.d.texts.of(c.take(int(c.byte())))
		if len(c.b) > 0 {
			p.Frame = c.b
		}
	}
	ev.Starting, ev.Inferred, ev.Soft = has&isStarting != 0, has&isInferred != 0, has&isSoft != 0
	ev.Packet.Asked, ev.Packet.Loopback = has&isAsked != 0, has&isLoopback != 0
	if c.short {
		return errRow
	}
	return nil
}

// cutter takes values off packed bytes; short: there were too few, and zeros instead.
type cutter struct {
	b     []byte
	short bool
	zeros [16]byte
}

func (c *cutter) take(n int) []byte {
	if n > len(c.b) {
		c.short, c.b = true, nil
		return c.zeros[:min(n, len(c.zeros))]
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cutter) byte() byte   { return c.take(1)[0] }
func (c *cutter) word() uint32 { return le.Uint32(c.take(4)) }
func (c *cutter) long() uint64 { return le.Uint64(c.take(8)) }

func (c *cutter) end(has, known, four uint32) netip.AddrPort {
	if has&(known|four) == 0 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(c.take(2))
	var addr netip.Addr
	switch {
	case has&(known|four) == known|four:
		addr = netip.AddrFrom4([4]byte(c.take(4)))
	case has&known != 0:
		addr = netip.AddrFrom16([16]byte(c.take(16)))
	}
	return netip.AddrPortFrom(addr, port)
}
