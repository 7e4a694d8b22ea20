package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Entrance runs a function inside one network namespace.
type Entrance func(func() error) error

// walker looks at what exists: by iter/tcp, which shows the sockets of its
// opener's namespace, and by iter/task_file, which shows all processes' files.
type walker struct {
	sockets, files *link.Iter
	chosen         func(*traceEvent) bool // the record's process is one that was asked for
	decode         *decoder
	reader         *bufio.Reader
	head           [(recordLen + 7) / 8]uint64 // aligned as view needs it

	past    records              // the sockets that existed
	earlier map[uint64]tcp.State // what some of them were in when the trace began, by cookie
	holders holders
	heldAt  uint64 // where in the ring the holders were found
}

func newWalker(coll *ebpf.Collection, c *Config, d *decoder) (*walker, error) {
	w := &walker{chosen: c.isChosen, decode: d, reader: bufio.NewReaderSize(nil, 256<<10)}
	for _, p := range []struct {
		name string
		iter **link.Iter
	}{{traceProgWalkSockets, &w.sockets}, {traceProgWalkFiles, &w.files}} {
		program := coll.Programs[p.name]
		if program == nil {
			continue
		}
		iter, err := link.AttachIter(link.IterOptions{Program: program})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach %s: %w", p.name, err), w.close())
		}
		*p.iter = iter
	}
	return w, nil
}

// survey walks over the sockets of each namespace, and of the caller's own where
// none is given, then over all files. What could not be looked at is returned. The
// programs are at work already: what they have told meanwhile is in the ring.
func (w *walker) survey(enter []Entrance, ring *ring) (errs []error) {
	if w.sockets == nil {
		return nil
	}
	if len(enter) == 0 {
		enter = []Entrance{func(f func() error) error { return f() }}
	}
	for _, in := range enter {
		if err := in(w.walkSockets); err != nil {
			errs = append(errs, fmt.Errorf("look at the sockets of a namespace: %w", err))
		}
	}
	if err := w.findHolders(nil, ring); err != nil { // now every socket has its cookie
		errs = append(errs, err)
	}
	w.lookBack(ring)
	return errs
}

// stallWait is how long a CPU that writes a record may be held up.
const stallWait = 100 * time.Millisecond

// lookBack finds in the ring which of the sockets moved before the walk came to
// them: they began in the first transition's old state. The kernel writes the
// record before it stores the state, and never shows the socket in between.
func (w *walker) lookBack(ring *ring) {
	w.earlier = map[uint64]tcp.State{}
	ring.look(ring.end(), stallWait, func(raw []byte) {
		e, _, err := view(raw)
		if err != nil || e.Kind != uint8(tcp.KindState) {
			return
		}
		from, to := tcp.State(e.Oldstate), tcp.State(e.Newstate)
		if from == tcp.Close || from == tcp.Listen && to == tcp.SynRecv { // what the walk met had not begun
			w.earlier[e.Cookie] = tcp.Close
		} else if _, moved := w.earlier[e.Cookie]; !moved {
			w.earlier[e.Cookie] = from
		}
	})
}

// walkSockets gathers those of the calling thread's namespace.
func (w *walker) walkSockets() error {
	r, err := w.sockets.Open()
	if err != nil {
		return fmt.Errorf("walk over the sockets: %w", err)
	}
	defer r.Close()
	w.reader.Reset(patient{r})
	for {
		e, err := w.peek(headLen)
		if e == nil || err != nil {
			return err
		}
		if _, err := io.ReadFull(w.reader, w.past.add(socketLen(e))); err != nil {
			return fmt.Errorf("walk over the sockets: %w", err)
		}
	}
}

// patient reads a long walk on: after a million objects without a word of ours the
// kernel pauses with EAGAIN (bpf_seq_read).
type patient struct{ io.Reader }

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.Reader.Read(b)
		if !errors.Is(err, unix.EAGAIN) {
			return n, err
		}
	}
}

// peek returns the first size bytes of the next record, valid until the next
// peek, or nil at the end of the walk.
func (w *walker) peek(size int) (*traceEvent, error) {
	b, err := w.reader.Peek(size)
	if errors.Is(err, io.EOF) && len(b) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("walk over what exists: %w", err)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&w.head)), size), b)
	return (*traceEvent)(unsafe.Pointer(&w.head)), nil
}

// findHolders walks over all processes' files and keeps one holder of each socket
// that is of interest; nil: of every connection and listener.
func (w *walker) findHolders(of func(cookie uint64) bool, ring *ring) error {
	if w.files == nil {
		return nil
	}
	r, err := w.files.Open()
	if err != nil {
		return fmt.Errorf("walk over all files: %w", err)
	}
	defer r.Close()
	w.reader.Reset(patient{r})
	w.holders = holders{index: map[uint64]int32{}}
	for {
		e, err := w.peek(nameLen)
		if e == nil || err != nil {
			w.heldAt = ring.end()
			return err
		}
		if tcp.State(e.Newstate) != tcp.Close && (of == nil || of(e.Cookie)) {
			w.holders.add(e, w.chosen(e))
		}
		if _, err := w.reader.Discard(nameLen); err != nil {
			return fmt.Errorf("walk over all files: %w", err)
		}
	}
}

// next fills ev with the next thing that was found: the sockets that existed, each
// with its holder, and then, when the ring is told up to position at and that is
// where they were looked for, the holders of others.
func (w *walker) next(ev *tcp.Event, at uint64) (bool, error) {
	if w == nil {
		return false, nil
	}
	for raw := w.past.first(); raw != nil; raw = w.past.first() {
		e, _, err := view(raw)
		if err != nil {
			return false, err
		}
		w.past.drop(socketLen(e))
		if w.existed(ev, e) {
			return true, nil
		}
	}
	if w.earlier = nil; at < w.heldAt {
		return false, nil
	}
	e := w.holders.next()
	if e == nil {
		return false, nil
	}
	w.decode.fill(ev, e, nil)
	ev.New = tcp.StateUnknown // it may have moved on while other files were looked at
	return true, nil
}

// existed fills ev with a socket as it was when the trace began; false: it had not begun.
func (w *walker) existed(ev *tcp.Event, e *traceEvent) bool {
	earlier, moved := w.earlier[e.Cookie]
	if earlier == tcp.Close && moved {
		return false
	}
	w.decode.fill(ev, e, nil)
	if moved {
		ev.New, ev.Minisock = earlier, tcp.StateUnknown
	}
	if h := w.holders.take(e.Cookie); h != nil {
		ev.Task, ev.Via = task(h), tcp.ViaHeld
	}
	return true
}

// pending reports whether something that was found is still to be told.
func (w *walker) pending() bool { return w.past.first() != nil || w.holders.left > 0 }

func (w *walker) close() error {
	if w == nil {
		return nil
	}
	var errs []error
	for _, iter := range []*link.Iter{w.sockets, w.files} {
		if iter != nil {
			errs = append(errs, iter.Close())
		}
	}
	return errors.Join(errs...)
}

// Walks of all files are so rare that they take at most one part in so many of a CPU.
const walkShare = 25

// MayFindOwners reports whether FindOwners may look now: not so soon after the
// walk before for what that cost, nor while its finds are still to be told.
func (s *Source) MayFindOwners() bool {
	return s.walker != nil && !s.walker.pending() && nanos(unix.CLOCK_MONOTONIC) >= s.walkDue
}

// FindOwners looks through all processes' files for the sockets that of names by
// their cookies, and gives the processes that hold them as KindOwner events with
// ViaHeld, in their place. Ask MayFindOwners before.
func (s *Source) FindOwners(of func(cookie uint64) bool) error {
	runtime.LockOSThread() // whose time is counted
	before := nanos(unix.CLOCK_THREAD_CPUTIME_ID)
	err := s.walker.findHolders(of, s.ring)
	cost := nanos(unix.CLOCK_THREAD_CPUTIME_ID) - before
	runtime.UnlockOSThread()
	s.walkDue = nanos(unix.CLOCK_MONOTONIC) + walkShare*cost
	return err
}
