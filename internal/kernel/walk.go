package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// walker looks at what exists: by iter/task_file at the sockets that are open
// files, and by iter/tcp, which shows those of its opener's namespace, at the
// others: orphans, those nobody has accepted, request and timewait sockets.
type walker struct {
	sockets, files *link.Iter
	lives          *link.Iter             // connections with the notes of their lives
	chosen         func(*traceEvent) bool // the record's process is one that was asked for
	decode         *decoder

	open    found                // sockets that are open files
	openAt  uint64               // where in the ring that was over
	earlier map[uint64]tcp.State // what some sockets were in when the trace began, by cookie

	rest  records // other sockets that existed
	late  late    // those whose namespaces take longer to look at
	owner bool    // open is of FindOwners: sockets whose users are news
}

func newWalker(coll *ebpf.Collection, c *Config, d *decoder) (*walker, error) {
	w := &walker{chosen: c.isChosen, decode: d}
	for _, p := range []struct {
		name string
		iter **link.Iter
	}{{traceProgWalkSockets, &w.sockets}, {traceProgWalkFiles, &w.files}, {traceProgLifeOpen, &w.lives}} {
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

// recordReader reads what a walk writes.
type recordReader struct {
	*bufio.Reader
	head [(recordLen + 7) / 8]uint64 // aligned as view needs it
}

func newRecordReader(r io.Reader) *recordReader {
	return &recordReader{Reader: bufio.NewReaderSize(patient{r}, 128<<10)}
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
func (r *recordReader) peek(size int) (*traceEvent, error) {
	b, err := r.Peek(size)
	if errors.Is(err, io.EOF) && len(b) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("walk over what exists: %w", err)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&r.head)), size), b)
	return (*traceEvent)(unsafe.Pointer(&r.head)), nil
}

// findOpen walks over all processes' files and keeps the sockets that are of
// interest, each with one holder; nil: every connection and listener.
func (w *walker) findOpen(of func(cookie uint64) bool, ring *ring) error {
	if w.files == nil {
		return nil
	}
	r, err := w.files.Open()
	if err != nil {
		return fmt.Errorf("walk over all files: %w", err)
	}
	defer r.Close()
	from := newRecordReader(r)
	w.open = newFound()
	for {
		e, err := from.peek(countsLen)
		if e == nil || err != nil {
			w.openAt = ring.end()
			return err
		}
		if of == nil || of(e.Cookie) {
			w.open.add(e, w.chosen(e))
		}
		if _, err := from.Discard(countsLen); err != nil {
			return fmt.Errorf("walk over all files: %w", err)
		}
	}
}

// next fills ev with the next thing that was found, where its turn has come: the
// ring is told up to position at. First the sockets that existed, then what took
// longer to look at, or to ask about.
func (w *walker) next(ev *tcp.Event, at uint64) (bool, error) {
	if w == nil {
		return false, nil
	}
	if w.owner && at < w.openAt {
		return w.late.next(ev, w, at)
	}
	for e := w.open.next(); e != nil; e = w.open.next() {
		if w.tell(ev, e) {
			return true, nil
		}
	}
	for raw := w.rest.first(); raw != nil; raw = w.rest.first() {
		e, _, err := view(raw)
		if err != nil {
			return false, err
		}
		w.rest.drop(socketLen(e))
		if !w.open.has(e.Cookie) && w.existed(ev, e) {
			return true, nil
		}
	}
	w.open, w.earlier = found{}, nil
	return w.late.next(ev, w, at)
}

// tell fills ev with a socket that is an open file, or with its holder.
func (w *walker) tell(ev *tcp.Event, e *traceEvent) bool {
	if !w.owner {
		return w.existed(ev, e)
	}
	w.decode.fill(ev, e, nil)
	ev.Kind, ev.Counters = tcp.KindOwner, nil
	ev.New = tcp.StateUnknown // it may have moved on while other files were looked at
	return true
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
	return true
}

func (w *walker) close() error {
	if w == nil {
		return nil
	}
	w.late.end()
	var errs []error
	for _, iter := range []*link.Iter{w.sockets, w.files, w.lives} {
		if iter != nil {
			errs = append(errs, iter.Close())
		}
	}
	return errors.Join(errs...)
}

// pending reports whether something that was looked at at once is still to be told.
func (w *walker) pending() bool { return w.open.left() > 0 || w.rest.first() != nil }

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
	s.walker.owner = true
	err := s.walker.findOpen(of, s.ring)
	cost := nanos(unix.CLOCK_THREAD_CPUTIME_ID) - before
	runtime.UnlockOSThread()
	s.walkDue = nanos(unix.CLOCK_MONOTONIC) + walkShare*cost
	return err
}
