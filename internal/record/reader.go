package record

import (
	"bufio"
	"bytes"
	"errors"

	"tcpstory/internal/tcp"
)

// Is reports whether a file is a recording. It only looks ahead, as far as the
// section header.
func Is(in *bufio.Reader) bool {
	_, _, ok := aboutSection(in)
	return ok
}

// sectionFixed is how much of a section header's body stands before its options.
const sectionFixed = 16

// aboutSection finds our mark in the section header that is ahead, and its options.
func aboutSection(in *bufio.Reader) (about, list []byte, ok bool) {
	head, _ := in.Peek(8)
	if len(head) < 8 || le.Uint32(head) != blockSection {
		return nil, nil, false
	}
	n := int(le.Uint32(head[4:]))
	if n < 28 || n > in.Size() {
		return nil, nil, false
	}
	b, _ := in.Peek(n)
	if len(b) < n {
		return nil, nil, false
	}
	about, ok = sectionMark(b[8 : n-4])
	return about, b[8+sectionFixed : n-4], ok
}

// takeMaker takes over who has made the file.
func (a *About) takeMaker(list []byte) {
	options(list, func(code uint16, value []byte) bool {
		switch code {
		case optHardware:
			a.Hardware = string(value)
		case optOS:
			a.OS = string(value)
		case optProgram:
			a.Program = string(value)
		}
		return true
	})
}

// sectionMark returns what stands behind our mark in a section header's body.
func sectionMark(body []byte) (about []byte, ok bool) {
	if len(body) < sectionFixed || le.Uint32(body) != byteOrderMagic {
		return nil, false
	}
	about = ownOption(body[sectionFixed:])
	return about, len(about) >= 3
}

// ownOption returns what stands behind the mark in our option of a list.
func ownOption(list []byte) (own []byte) {
	options(list, func(code uint16, value []byte) bool {
		rest, ok := bytes.CutPrefix(value, []byte(mark))
		if code == optOwn && ok {
			own = rest
		}
		return own == nil
	})
	return own
}

// BufferSize is how much of the file a Reader must be able to see at once.
const BufferSize = 4 * maxBlock // so that looking for the next block need not move it for each byte

// Reader reads a recording, an event at a time in constant memory. It is not safe
// for concurrent use.
type Reader struct {
	scan    scanner
	decode  *decoder
	about   About
	devices []seenAt // by interface
	damage  []Damage
	frame   []byte // of packets that are not Ethernet
	newer   bool
}

// seenAt is what an interface block says of its packets.
type seenAt struct {
	known          bool
	netns, ifindex uint32
	name           string
}

// NewReader reads a recording from in, whose buffer must hold BufferSize bytes.
func NewReader(in *bufio.Reader) (*Reader, error) {
	if in.Size() < BufferSize {
		return nil, errors.New("a recording needs a larger buffer to be read")
	}
	about, list, ok := aboutSection(in)
	if !ok {
		return nil, errors.New("not a recording of tcpstory")
	}
	r := &Reader{decode: newDecoder()}
	r.scan = scanner{in: in, damage: r.hurt}
	r.about.Link = tcp.LinkType(le.Uint16(about[1:]))
	r.about.takeMaker(list)
	r.about.takeChoice(about[3:])
	return r, nil
}

// mostDamages is how many damaged places are remembered one by one.
const mostDamages = 100

func (r *Reader) hurt(d Damage) {
	if len(r.damage) < mostDamages {
		r.damage = append(r.damage, d)
		return
	}
	last := &r.damage[mostDamages-1]
	last.Bytes += d.Bytes
	last.Cut = d.Cut
}

// Damages are the parts of the file passed over so far.
func (r *Reader) Damages() []Damage { return r.damage }

// Newer reports whether the file was written by a later version, of which some
// things may be missing.
func (r *Reader) Newer() bool { return r.newer }

// About is what the file says of itself: its link type, and what was asked for.
func (r *Reader) About() About { return r.about }

// Offset is how much of the file has been read, bytes.
func (r *Reader) Offset() int64 { return r.scan.at }

// Next reads the next event into ev, which it overwrites. KindNone says that time
// passed until ev.Time before anything else happened. Packets are not decoded; a
// frame, Counters and Place are valid until the next call. At the end, damaged or
// not, Next returns io.EOF; other errors are the system's.
func (r *Reader) Next(ev *tcp.Event) error {
	for {
		kind, body, err := r.scan.next()
		if err != nil {
			return err
		}
		switch kind {
		case blockSection:
			r.section(body)
		case blockInterface:
			r.device(body)
		case blockEvent:
			if r.event(ev, body) {
				return nil
			}
		case blockEnhanced:
			if r.packet(ev, body) {
				return nil
			}
		}
	}
}

// broken notes that the block at hand is damaged inside.
func (r *Reader) broken() bool {
	r.hurt(Damage{Offset: r.scan.at, Bytes: int64(r.scan.block)})
	return false
}

func (r *Reader) section(body []byte) {
	about, ok := sectionMark(body)
	r.devices = r.devices[:0]
	r.newer = r.newer || ok && about[0] > version
}

func (r *Reader) device(body []byte) {
	own := ownOption(body[min(8, len(body)):])
	if len(own) < 4 || le.Uint32(own) >= mostDevices {
		return // of RowsPDU, or somebody else's
	}
	ev := &r.decode.device
	*ev = tcp.Event{}
	if err := r.decode.row(ev, own[4:]); err != nil {
		r.broken()
		return
	}
	id := int(le.Uint32(own))
	for id >= len(r.devices) {
		r.devices = append(r.devices, seenAt{})
	}
	r.devices[id] = seenAt{true, ev.Netns, ev.Packet.Ifindex, ev.Packet.Device}
}

// event reads one of our own blocks.
func (r *Reader) event(ev *tcp.Event, body []byte) bool {
	row, ok := bytes.CutPrefix(body, []byte(mark))
	if !ok {
		return false // somebody else's local use
	}
	*ev = tcp.Event{}
	if err := r.decode.row(ev, row); err != nil {
		return r.broken()
	}
	return true
}

// packet reads a packet's block; those without our option are rows, or were added
// by somebody else.
func (r *Reader) packet(ev *tcp.Event, body []byte) bool {
	const fixed = 20
	if len(body) < fixed {
		return r.broken()
	}
	id, captured, length := le.Uint32(body), int(le.Uint32(body[12:])), le.Uint32(body[16:])
	padded := (captured + 3) &^ 3
	if captured < 0 || padded > len(body)-fixed {
		return r.broken()
	}
	row := ownOption(body[fixed+padded:])
	if row == nil {
		return false
	}
	*ev = tcp.Event{Kind: tcp.KindPacket, Time: int64(uint64(le.Uint32(body[4:]))<<32 | uint64(le.Uint32(body[8:])))}
	if uint64(id) < uint64(len(r.devices)) && r.devices[id].known {
		d := &r.devices[id]
		ev.Netns, ev.Packet.Ifindex, ev.Packet.Device = d.netns, d.ifindex, d.name
	} else {
		return r.broken()
	}
	ev.Packet.Link = tcp.LinkEthernet
	ev.Packet.Frame, ev.Packet.Length = body[fixed:fixed+captured:fixed+captured], length
	r.decode.head = nil
	if err := r.decode.row(ev, row); err != nil {
		return r.broken()
	}
	if ev.Packet.Link != tcp.LinkEthernet {
		r.restore(&ev.Packet)
	}
	return true
}

// restore gives a packet that is not Ethernet its own header back.
func (r *Reader) restore(p *tcp.Packet) {
	rest := p.Frame[min(etherLen, len(p.Frame)):]
	r.frame = append(append(r.frame[:0], r.decode.head...), rest...)
	p.Frame = r.frame
	p.Length = p.Length - etherLen + uint32(len(r.decode.head))
}
