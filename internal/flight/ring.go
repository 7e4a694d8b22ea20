package flight

import (
	"encoding/binary"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// Entry is one event of the past: what it is about, and the event itself in a form
// that the ring need not know.
type Entry struct {
	Time     int64  // nanoseconds since 1970
	Conn     uint64 // conversation's number then; 0: none
	Cookie   uint64 // socket's; 0 unknown
	Kind     tcp.Kind
	Old, New tcp.State // KindState; KindNone that ends a small socket: an inferred transition
	Then     Then      // how the end stood
	Row      []byte    // valid until the next Put
}

// Then is what was known of an end when an event was kept.
type Then struct {
	Since  int64 // when it came to Entry.Old, ns since 1970; 0 unknown
	Role   conn.Role
	Older  bool        // than the trace
	Embryo bool        // Old is SynRecv, and began with the request socket
	From   conn.Ground // what an inferred transition follows from
}

// pack makes one byte of all but the time: two bits, one, one, and four.
func (t *Then) pack() byte {
	b := byte(t.Role)&3 | byte(t.From)<<4
	if t.Older {
		b |= 1 << 2
	}
	if t.Embryo {
		b |= 1 << 3
	}
	return b
}

func unpackThen(b byte, since int64) Then {
	return Then{Since: since, Role: conn.Role(b & 3), Older: b&(1<<2) != 0, Embryo: b&(1<<3) != 0, From: conn.Ground(b >> 4)}
}

// Common reports what belongs to every story: losses, names of places, and what
// counters of the namespaces have moved by.
func (e *Entry) Common() bool {
	return e.Kind == tcp.KindGap || e.Kind == tcp.KindPlace || e.Kind == tcp.KindCounters
}

// Moves reports a transition, a traced or an inferred one.
func (e *Entry) Moves() bool {
	return e.Kind == tcp.KindState || e.Kind == tcp.KindNone && e.Old != e.New
}

// Silent reports what is kept for what it says of the time before alone: an inferred
// transition that follows from events once more.
func (e *Entry) Silent() bool {
	return e.Kind == tcp.KindNone && e.Moves() && e.Then.From.Patience() == 0
}

// Begins reports the first transition of a socket's life.
func (e *Entry) Begins() bool {
	return e.Kind == tcp.KindState && (e.Old == tcp.Close && (e.New == tcp.SynSent || e.New == tcp.Listen) ||
		e.Old == tcp.Listen && e.New == tcp.SynRecv)
}

// An entry lies in memory behind a header of its length (4 bytes), kind, old and new
// state, Then but its time (1 each), time, conversation, cookie and Then.Since (8 each).
const headLen = 40

var le = binary.LittleEndian

// Ring keeps the last entries that fit into the memory that it was given: what comes
// pushes the oldest out. It is not safe for concurrent use, and does not allocate.
type Ring struct {
	mem         []byte
	first, next int // where the oldest entry lies, and the next will
	end         int // where the entries end that lie behind next; only when first >= next
	n           int
	lost        uint64
}

// NewRing returns an empty ring in mem, which is its own from then on.
func NewRing(mem []byte) *Ring { return &Ring{mem: mem} }

// Len returns how many entries there are, TooLong how many never had room.
func (r *Ring) Len() int        { return r.n }
func (r *Ring) TooLong() uint64 { return r.lost }

// Put adds an entry, and forgets the oldest for want of room.
func (r *Ring) Put(e *Entry) {
	need := headLen + len(e.Row)
	if need > len(r.mem) {
		r.lost++
		return
	}
	for !r.fits(need) {
		r.forget()
	}
	b := r.mem[r.next : r.next+need]
	le.PutUint32(b, uint32(need))
	b[4], b[5], b[6], b[7] = byte(e.Kind), byte(e.Old), byte(e.New), e.Then.pack()
	le.PutUint64(b[8:], uint64(e.Time))
	le.PutUint64(b[16:], e.Conn)
	le.PutUint64(b[24:], e.Cookie)
	le.PutUint64(b[32:], uint64(e.Then.Since))
	copy(b[headLen:], e.Row)
	r.next += need
	r.n++
}

// fits reports whether so many bytes are free at next, where it goes to the
// beginning of the memory when its end is too near.
func (r *Ring) fits(need int) bool {
	switch {
	case r.n == 0:
		r.first, r.next = 0, 0
		return true
	case r.first >= r.next: // what is free lies between
		return r.next+need <= r.first
	case r.next+need <= len(r.mem):
		return true
	case r.first == 0:
		return false
	}
	r.end, r.next = r.next, 0
	return need <= r.first
}

// forget drops the oldest entry.
func (r *Ring) forget() {
	if r.n == 0 {
		return
	}
	wrapped := r.first >= r.next
	r.first += int(le.Uint32(r.mem[r.first:]))
	r.n--
	if wrapped && r.first == r.end {
		r.first = 0
	}
}

// All calls f for each entry, the oldest first, until it returns an error. f must
// not Put.
func (r *Ring) All(f func(*Entry) error) error {
	at, wrapped := r.first, r.first >= r.next
	for range r.n {
		if wrapped && at == r.end {
			at, wrapped = 0, false
		}
		b := r.mem[at:]
		n := int(le.Uint32(b))
		e := Entry{
			Kind: tcp.Kind(b[4]), Old: tcp.State(b[5]), New: tcp.State(b[6]),
			Time: int64(le.Uint64(b[8:])), Conn: le.Uint64(b[16:]), Cookie: le.Uint64(b[24:]),
			Then: unpackThen(b[7], int64(le.Uint64(b[32:]))), Row: b[headLen:n:n],
		}
		if err := f(&e); err != nil {
			return err
		}
		at += n
	}
	return nil
}
