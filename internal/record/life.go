package record

import (
	"time"

	"tcpstory/internal/tcp"
)

// ofLife leads at to the event's life; nil where there is none.
func ofLife[T any](at func(*tcp.Life) *T) func(*tcp.Event) *T {
	return func(ev *tcp.Event) *T {
		if ev.Life == nil {
			return nil
		}
		return at(ev.Life)
	}
}

var lived = []field{
	present(tagLife, func(d *decoder, ev *tcp.Event) { d.life = tcp.Life{}; ev.Life = &d.life }),
	whole(tagBegan, ofLife(func(l *tcp.Life) *int64 { return &l.Began })),
	whole(tagEstablished, ofLife(func(l *tcp.Life) *int64 { return &l.Established })),
	whole(tagShut, ofLife(func(l *tcp.Life) *int64 { return &l.Shut })),
	whole(tagShutToo, ofLife(func(l *tcp.Life) *int64 { return &l.ShutToo })),
	whole(tagFirstRead, ofLife(func(l *tcp.Life) *int64 { return &l.FirstRead })),
	number(tagBytesSent, ofLife(func(l *tcp.Life) *uint64 { return &l.BytesSent })),
	number(tagBytesRetrans, ofLife(func(l *tcp.Life) *uint64 { return &l.BytesRetrans })),
	number(tagUnacked, ofLife(func(l *tcp.Life) *uint32 { return &l.Unacked })),
	number(tagRTTMin, ofLife(func(l *tcp.Life) *uint32 { return &l.RTTMin })),
	number(tagMSS, ofLife(func(l *tcp.Life) *uint32 { return &l.MSS })),
	number(tagCwnd, ofLife(func(l *tcp.Life) *uint32 { return &l.Cwnd })),
	whole(tagIdle, ofLife(func(l *tcp.Life) *time.Duration { return &l.Idle })),
	number(tagLifeFlags, ofLife(func(l *tcp.Life) *tcp.LifeFlags { return &l.Flags })),
}
