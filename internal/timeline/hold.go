package timeline

import (
	"time"

	"tcpstory/internal/tcp"
)

// The limits of a Hold.
const (
	// HoldLimit is how long, in event time, an event waits. The
	// next event of the same socket usually follows within 40 µs.
	HoldLimit = 50 * time.Millisecond
	// HoldEvents and HoldBytes bound what waits behind it.
	HoldEvents = 4096
	HoldBytes  = 4 << 20
	// keepFrame is the most frame storage a free slot keeps for its next use.
	keepFrame = 2048
)

// Hold fills in, from the next event of the same socket, what the kernel traces
// before it knows it:
//
//   - the local end of CLOSE→SYN_SENT (sock:inet_sock_set_state fires in
//     tcp_v4_connect before inet_hash_connect chooses the port)
//   - the first sequence numbers of LISTEN→SYN_RECV (it fires in
//     inet_csk_clone_lock, before tcp_create_openreq_child sets them), by which
//     the new socket's other end may be known. →ESTABLISHED follows within the
//     same segment.
//
// While it waits, everything behind waits too, so that the order never changes.
// With nothing to wait for, events pass straight through. What does not become
// known in time stays zero: unknown.
//
// The zero value is ready for use. A Hold is not safe for concurrent use, and
// emit must not call back into it. The event given to emit is valid during the
// call only.
type Hold struct {
	queue   fifo
	waiting map[uint64]*slot // by socket cookie: the events that lack their port
}

// Push takes the next event of the source and emits all events that have
// nothing left to wait for. KindPort events end here. The first error of emit is
// returned at once.
func (h *Hold) Push(ev *tcp.Event, emit func(*tcp.Event) error) error {
	starts := startsHold(ev)
	if h.queue.n > 0 {
		h.learn(ev)
		if err := h.drain(ev.Time, emit); err != nil {
			return err
		}
		if err := h.makeRoom(ev, emit); err != nil {
			return err
		}
	}
	switch {
	case ev.Kind == tcp.KindPort:
		return nil
	case h.queue.n == 0 && !starts:
		return emit(ev)
	}
	h.keep(ev, starts)
	return nil
}

// Expire gives up on events that have waited longer than HoldLimit at time now
// (nanoseconds, the events' clock) and emits what they held up. The loop calls it
// when the source is idle.
func (h *Hold) Expire(now int64, emit func(*tcp.Event) error) error {
	return h.drain(now, emit)
}

// Flush emits everything, complete or not: the source has ended.
func (h *Hold) Flush(emit func(*tcp.Event) error) error {
	for h.queue.n > 0 {
		if err := h.release(emit); err != nil {
			return err
		}
	}
	return nil
}

// Held returns now, or the time of the first event that waits, if that is earlier:
// what happened until then has been emitted.
func (h *Hold) Held(now int64) int64 {
	if h.queue.n > 0 {
		return min(now, h.queue.front().ev.Time)
	}
	return now
}

// Len returns the number of events that wait.
func (h *Hold) Len() int { return h.queue.n }

// startsHold reports whether ev lacks what a later event will tell. Without a
// cookie nobody could say which later event that is.
func startsHold(ev *tcp.Event) bool {
	if ev.Kind != tcp.KindState || ev.Cookie == 0 {
		return false
	}
	return ev.New == tcp.SynSent && ev.Old == tcp.Close && !localKnown(ev.Flow) ||
		ev.New == tcp.SynRecv && ev.Old == tcp.Listen && ev.ISN == 0 && ev.PeerISN == 0
}

func localKnown(f tcp.Flow) bool {
	return f.Local.Port() != 0 && f.Local.Addr().IsValid() && !f.Local.Addr().IsUnspecified()
}

// learn completes the waiting event that ev's socket has, if ev knows what it lacks.
func (h *Hold) learn(ev *tcp.Event) {
	if ev.Cookie == 0 || len(h.waiting) == 0 {
		return
	}
	s := h.waiting[ev.Cookie]
	switch {
	case s == nil:
	case s.ev.New == tcp.SynRecv: // →ESTABLISHED tells them; after anything else they would come too late
		s.ev.ISN, s.ev.PeerISN = ev.ISN, ev.PeerISN
		h.settle(s)
	case localKnown(ev.Flow):
		s.ev.Flow.Local = ev.Flow.Local
		h.settle(s)
	case startsHold(ev), ev.Kind == tcp.KindState && ev.New == tcp.Close:
		h.settle(s) // a second connect() of one socket, or one that got no port: it is past learning
	}
}

// settle ends a slot's wait.
func (h *Hold) settle(s *slot) {
	if s.waits {
		s.waits = false
		delete(h.waiting, s.ev.Cookie)
	}
}

// drain emits from the front up to the first event that still may wait.
func (h *Hold) drain(now int64, emit func(*tcp.Event) error) error {
	for h.queue.n > 0 {
		s := h.queue.front()
		if s.waits && now-s.ev.Time <= int64(HoldLimit) {
			return nil
		}
		if err := h.release(emit); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom gives up on the oldest events until ev fits.
func (h *Hold) makeRoom(ev *tcp.Event, emit func(*tcp.Event) error) error {
	for h.queue.n > 0 && !h.queue.fits(len(ev.Packet.Frame)) {
		if err := h.release(emit); err != nil {
			return err
		}
	}
	return nil
}

// release emits the front event, complete or not.
func (h *Hold) release(emit func(*tcp.Event) error) error {
	s := h.queue.front()
	h.settle(s)
	h.queue.pop()
	err := emit(&s.ev)
	s.trim()
	return err
}

func (h *Hold) keep(ev *tcp.Event, waits bool) {
	s := h.queue.push(ev)
	s.waits = waits
	if !waits {
		return
	}
	if h.waiting == nil {
		h.waiting = make(map[uint64]*slot)
	}
	h.waiting[ev.Cookie] = s
}
