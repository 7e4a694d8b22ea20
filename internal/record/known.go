package record

import (
	"bytes"

	"tcpstory/internal/tcp"
)

// known is what one file of a recording carries over to the next.
var known = append([]field{
	present(tagKnown, func(d *decoder, ev *tcp.Event) { d.known = tcp.Known{}; ev.Known = &d.known }),
	ofKnown(tagKnownID, func(k *tcp.Known) *uint32 { return &k.ID }),
	ofKnown(tagKnownPeer, func(k *tcp.Known) *uint32 { return &k.Peer }),
	ofKnown(tagKnownBefore, func(k *tcp.Known) *uint32 { return &k.Before }),
	ofKnown(tagKnownSuitor, func(k *tcp.Known) *uint32 { return &k.Suitor }),
	ofKnown(tagKnownNumber, func(k *tcp.Known) *uint64 { return &k.Number }),
	ofKnown(tagKnownRole, func(k *tcp.Known) *uint8 { return &k.Role }),
	ofKnown(tagKnownWhy, func(k *tcp.Known) *uint8 { return &k.Why }),
	ofKnown(tagKnownMarks, func(k *tcp.Known) *tcp.Marks { return &k.Marks }),
	ofKnown(tagKnownSince, func(k *tcp.Known) *int64 { return &k.Since }),
	ofKnown(tagKnownOpened, func(k *tcp.Known) *int64 { return &k.Opened }),
	ofKnown(tagKnownClosed, func(k *tcp.Known) *int64 { return &k.Closed }),
	ofKnown(tagKnownLast, func(k *tcp.Known) *int64 { return &k.Last }),
	ofKnown(tagKnownDue, func(k *tcp.Known) *int64 { return &k.Due }),
	ofKnown(tagKnownArmed, func(k *tcp.Known) *int64 { return &k.Armed }),
	ofKnown(tagKnownUndo, func(k *tcp.Known) *int64 { return &k.Undo }),
	ofKnown(tagKnownUndone, func(k *tcp.Known) *uint32 { return &k.Undone }),
	ofKnown(tagKnownStamp, func(k *tcp.Known) *uint32 { return &k.Stamp }),
	ofKnown(tagKnownOutEnd, func(k *tcp.Known) *uint32 { return &k.OutEnd }),
	ofKnown(tagKnownInEnd, func(k *tcp.Known) *uint32 { return &k.InEnd }),
	ofKnown(tagKnownSent, func(k *tcp.Known) *uint32 { return &k.Sent }),
	ofKnown(tagOpenerPID, func(k *tcp.Known) *uint32 { return &k.Opener.PID }),
	ofKnown(tagOpenerTID, func(k *tcp.Known) *uint32 { return &k.Opener.TID }),
	{tagOpenerComm, func(b []byte, t tag, ev *tcp.Event) []byte {
		if name := bytes.TrimRight(ev.Known.Opener.Comm[:], "\x00"); len(name) > 0 {
			return appendBytes(b, t, name)
		}
		return b
	}, func(d *decoder, ev *tcp.Event) {
		if ev.Known != nil {
			copy(ev.Known.Opener.Comm[:], d.m.bytes)
		}
	}},
}, alias()...)

// ofKnown is a number: times are none before 1970, so that these need no zigzag.
func ofKnown[T integer](t tag, at func(*tcp.Known) *T) field {
	return number(t, func(ev *tcp.Event) *T {
		if ev.Known == nil {
			return nil
		}
		return at(ev.Known)
	})
}

// alias is a tuple where there may be none to take it.
func alias() []field {
	list := flow(tagAliasLocal, tagAliasRemote, func(ev *tcp.Event) *tcp.Flow { return &ev.Known.Alias })
	for i, take := range [...]func(*decoder, *tcp.Event){list[0].take, list[1].take} {
		list[i].take = func(d *decoder, ev *tcp.Event) {
			if ev.Known != nil {
				take(d, ev)
			}
		}
	}
	return list
}
