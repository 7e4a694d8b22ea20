package kernel

import (
	"unsafe"

	"tcpstory/internal/tcp"
)

// pageLen is how much room records take at a time, bytes.
const pageLen = 128 << 10

// records keeps what a walk has written, each where view can read it.
type records struct {
	pages [][]byte
	at    int // the first one's place in the first page
}

// add returns the room for one more of n bytes, a multiple of 8.
func (r *records) add(n int) []byte {
	last := len(r.pages) - 1
	if last < 0 || cap(r.pages[last])-len(r.pages[last]) < n {
		r.pages = append(r.pages, make([]byte, 0, pageLen))
		last++
	}
	p := &r.pages[last]
	*p = (*p)[:len(*p)+n]
	return (*p)[len(*p)-n:]
}

// first returns the first record and what follows it, or nil.
func (r *records) first() []byte {
	if len(r.pages) == 0 {
		return nil
	}
	return r.pages[0][r.at:]
}

// drop gives the first record's n bytes back, when its page is done with.
func (r *records) drop(n int) {
	if r.at += n; r.at == len(r.pages[0]) {
		r.pages, r.at = r.pages[1:], 0
	}
}

// holder is a process that holds a socket open: a record that ends behind its name.
type holder struct {
	record [nameLen / 8]uint64
	chosen bool
	taken  bool
}

func (h *holder) event() *traceEvent { return (*traceEvent)(unsafe.Pointer(&h.record)) }

// task is who a record names.
func task(e *traceEvent) tcp.Task { return tcp.Task{PID: e.Pid, TID: e.Tid, Comm: e.Name} }

// holders has one for each socket.
type holders struct {
	index map[uint64]int32 // by cookie
	list  []holder
	left  int // how many were neither taken nor told
}

// add takes a record in, where it tells more of whose the socket is than the one
// before.
func (l *holders) add(e *traceEvent, chosen bool) {
	i, again := l.index[e.Cookie]
	if again && !betterHolder(e, chosen, &l.list[i]) {
		return
	}
	if !again {
		i = int32(len(l.list))
		l.index[e.Cookie] = i
		l.list = append(l.list, holder{})
		l.left++
	}
	h := &l.list[i]
	h.chosen = chosen
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&h.record)), nameLen), unsafe.Slice((*byte)(unsafe.Pointer(e)), nameLen))
}

// betterHolder prefers one that was asked for; then, of a connection, the youngest:
// a child takes over what its parent has accepted; of a listener the oldest: its
// children take from it.
func betterHolder(e *traceEvent, chosen bool, than *holder) bool {
	if chosen != than.chosen {
		return chosen
	}
	if tcp.State(e.Newstate) == tcp.Listen {
		return started(e) < started(than.event())
	}
	return started(e) > started(than.event())
}

// started is when the process of a holder's record was (bpf/walk.h), CLOCK_MONOTONIC, ns.
func started(e *traceEvent) uint64 { return uint64(e.PeerIsn)<<32 | uint64(e.Isn) }

// take returns the holder of a socket, once, or nil.
func (l *holders) take(cookie uint64) *traceEvent {
	i, ok := l.index[cookie]
	if !ok || l.list[i].taken {
		return nil
	}
	l.list[i].taken = true
	l.left--
	return l.list[i].event()
}

// next returns one that was not taken, or nil: that were all, and they are forgotten.
func (l *holders) next() *traceEvent {
	for len(l.list) > 0 {
		h := &l.list[0]
		l.list = l.list[1:]
		if !h.taken {
			l.left--
			return h.event()
		}
	}
	*l = holders{}
	return nil
}
