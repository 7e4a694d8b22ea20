package timeline

import "tcpstory/internal/tcp"

// slot is one held event with storage for what it points to, which its source uses
// again. Slots are used again too.
type slot struct {
	ev       tcp.Event
	frame    []byte
	counters tcp.Counters
	place    tcp.Place
	stack    tcp.Stack
	waits    bool // for what a later event tells
}

// trim lets go of unusually large frame storage.
func (s *slot) trim() {
	if cap(s.frame) > keepFrame {
		s.frame, s.ev.Packet.Frame = nil, nil
	}
}

// fifo is a ring of slots that grows to HoldEvents and no further. Slots are
// pointers: they stay where they are when the ring grows.
type fifo struct {
	ring  []*slot
	head  int
	n     int
	bytes int // frame bytes held
}

func (q *fifo) front() *slot { return q.ring[q.head] }

// fits reports whether one more event with that much frame stays within bounds.
func (q *fifo) fits(frame int) bool {
	return q.n < HoldEvents && q.bytes+frame <= HoldBytes
}

// push copies ev to the end. The caller has made sure that it fits.
func (q *fifo) push(ev *tcp.Event) *slot {
	if q.n == len(q.ring) {
		q.grow()
	}
	s := q.ring[(q.head+q.n)%len(q.ring)]
	q.n++
	q.bytes += len(ev.Packet.Frame)
	s.ev = *ev
	s.frame = append(s.frame[:0], ev.Packet.Frame...)
	s.ev.Packet.Frame = s.frame
	if ev.Counters != nil {
		s.counters = *ev.Counters
		s.ev.Counters = &s.counters
	}
	if ev.Place != nil {
		s.place = *ev.Place
		s.ev.Place = &s.place
	}
	if ev.Stack != nil {
		s.stack = *ev.Stack
		s.ev.Stack = &s.stack
	}
	return s
}

// pop takes the front slot out; its contents stay until the next push.
func (q *fifo) pop() {
	q.bytes -= len(q.front().ev.Packet.Frame)
	q.head = (q.head + 1) % len(q.ring)
	q.n--
}

// grow doubles the ring, oldest first.
func (q *fifo) grow() {
	ring := make([]*slot, max(16, 2*len(q.ring)))
	for i := range q.ring {
		ring[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	slots := make([]slot, len(ring)-len(q.ring))
	for i := range slots {
		ring[len(q.ring)+i] = &slots[i]
	}
	q.ring, q.head = ring, 0
}
