package kernel

import (
	"tcpstory/internal/tcp"
)

// pageLen is how much room records take at a time, bytes.
const pageLen = 64 << 10

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
		r.pages[0] = nil
		r.pages, r.at = r.pages[1:], 0
	}
}

// task is who a record names.
func task(e *traceEvent) tcp.Task { return tcp.Task{PID: e.Pid, TID: e.Tid, Comm: e.Name} }

// found are the sockets that are open files, each with one holder.
type found struct {
	index  map[uint64]int32   // by cookie
	list   []traceEvent       // in the order in which they were met
	chosen []bool             // of list: the holder is one that was asked for
	told   int                // how many of list
	where  map[uint32]resides // by network namespace
}

// resides is how many of them are in a namespace, and what waits for their listeners.
type resides struct{ sockets, halfOpen int }

func newFound() found { return found{index: map[uint64]int32{}, where: map[uint32]resides{}} }

// add takes a record in, where it tells more of whose the socket is than the one
// before.
func (l *found) add(e *traceEvent, chosen bool) {
	i, again := l.index[e.Cookie]
	switch {
	case !again:
		l.index[e.Cookie] = int32(len(l.list))
		l.list, l.chosen = append(l.list, *e), append(l.chosen, chosen)
		here := l.where[e.Netns]
		if here.sockets++; tcp.State(e.Newstate) == tcp.Listen {
			here.halfOpen += int(e.SegsIn)
		}
		l.where[e.Netns] = here
	case betterHolder(e, chosen, &l.list[i], l.chosen[i]):
		l.list[i], l.chosen[i] = *e, chosen
	}
}

// betterHolder prefers one that was asked for; then, of a connection, the youngest:
// a child takes over what its parent has accepted; of a listener the oldest: its
// children take from it.
func betterHolder(e *traceEvent, chosen bool, than *traceEvent, thanChosen bool) bool {
	if chosen != thanChosen {
		return chosen
	}
	if tcp.State(e.Newstate) == tcp.Listen {
		return started(e) < started(than)
	}
	return started(e) > started(than)
}

// started is when the process of a holder's record was (bpf/walk.h), CLOCK_MONOTONIC, ns.
func started(e *traceEvent) uint64 { return uint64(e.PeerIsn)<<32 | uint64(e.Isn) }

// next returns one that was not told, or nil.
func (l *found) next() *traceEvent {
	if l.left() == 0 {
		return nil
	}
	l.told++
	return &l.list[l.told-1]
}

func (l *found) left() int { return len(l.list) - l.told }

// has reports whether the socket is among them.
func (l *found) has(cookie uint64) bool {
	_, ok := l.index[cookie]
	return ok
}

// isAllOf reports whether a namespace has no sockets but these: nothing waits to be
// accepted, is half-open, an orphan or in TIME_WAIT.
func (l *found) isAllOf(p population) bool {
	here := l.where[p.netns]
	return p.known && p.waits == 0 && here.halfOpen == 0 && here.sockets == p.full
}
