package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Entrance runs a function inside one network namespace.
type Entrance func(func() error) error

// walker reads what exists already: iter/tcp, which shows the sockets of its
// opener's namespace, and iter/task_file, which shows all processes' files.
type walker struct {
	sockets, files *link.Iter
	netns          []uint32 // only these; empty: all
	decode         *decoder

	open   []io.ReadCloser // socket walks still to be read, one a namespace
	reader *bufio.Reader
	held   []holder
	record [(recordLen + 7) / 8]uint64 // aligned as view needs it
}

// holder is a process that holds a socket open.
type holder struct {
	started int64 // CLOCK_MONOTONIC, ns
	event   tcp.Event
}

func newWalker(coll *ebpf.Collection, c *Config, d *decoder) (*walker, error) {
	w := &walker{netns: c.Netns, decode: d, reader: bufio.NewReaderSize(nil, 256<<10)}
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

// begin opens a walk over the sockets of each namespace, and of the caller's own
// where none is given. Namespaces that cannot be entered are returned as errors.
func (w *walker) begin(enter []Entrance) (errs []error) {
	if w == nil || w.sockets == nil {
		return nil
	}
	if len(enter) == 0 {
		enter = []Entrance{func(f func() error) error { return f() }}
	}
	for _, in := range enter {
		err := in(func() error {
			r, err := w.sockets.Open()
			if err == nil {
				w.open = append(w.open, r)
			}
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("look at the sockets of a namespace: %w", err))
		}
	}
	return errs
}

// next fills ev with the next thing that exists; false: that was all.
func (w *walker) next(ev *tcp.Event) (bool, error) {
	for w != nil && len(w.open) > 0 {
		e, err := w.read(w.open[0], recordLen)
		if e == nil || err != nil {
			err = errors.Join(err, w.open[0].Close())
			if w.open = w.open[1:]; len(w.open) == 0 && err == nil { // now every socket has its cookie
				err = w.findHolders(nil)
			}
			if err != nil {
				return false, err
			}
			continue
		}
		if w.wanted(e.Netns) {
			w.decode.fill(ev, e, nil)
			return true, nil
		}
	}
	if w == nil || len(w.held) == 0 {
		return false, nil
	}
	last := len(w.held) - 1
	*ev = w.held[last].event
	w.held = w.held[:last]
	return true, nil
}

func (w *walker) wanted(netns uint32) bool {
	return len(w.netns) == 0 || slices.Contains(w.netns, netns)
}

// read returns the next record of a walk, valid until the next read, or nil at its end.
func (w *walker) read(from io.Reader, size int) (*traceEvent, error) {
	if w.reader.Buffered() == 0 {
		w.reader.Reset(from)
	}
	record := unsafe.Slice((*byte)(unsafe.Pointer(&w.record)), size)
	switch _, err := io.ReadFull(w.reader, record); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("walk over what exists: %w", err)
	}
	e, _, err := view(record)
	return e, err
}

// findHolders walks over all processes' files and keeps, of each socket that is
// of interest, the youngest holder; nil: every connection and listener.
func (w *walker) findHolders(of func(cookie uint64) bool) error {
	if w.files == nil {
		return nil
	}
	r, err := w.files.Open()
	if err != nil {
		return fmt.Errorf("walk over all files: %w", err)
	}
	defer r.Close()
	now, found := time.Now().UnixNano(), map[uint64]int{}
	w.held = w.held[:0]
	for {
		e, err := w.read(r, nameLen)
		if e == nil || err != nil {
			return err
		}
		if !w.wanted(e.Netns) || tcp.State(e.Newstate) == tcp.Close || of != nil && !of(e.Cookie) {
			continue
		}
		w.keep(e, now, found)
	}
}

func (w *walker) keep(e *traceEvent, now int64, found map[uint64]int) {
	started := int64(e.Time)
	i, again := found[e.Cookie]
	if again && w.held[i].started >= started {
		return
	}
	if !again {
		i = len(w.held)
		w.held = append(w.held, holder{})
		found[e.Cookie] = i
	}
	h := &w.held[i]
	h.started = started
	w.decode.fill(&h.event, e, nil)
	h.event.Time = now
}

func (w *walker) close() error {
	if w == nil {
		return nil
	}
	var errs []error
	for _, r := range w.open {
		errs = append(errs, r.Close())
	}
	for _, iter := range []*link.Iter{w.sockets, w.files} {
		if iter != nil {
			errs = append(errs, iter.Close())
		}
	}
	return errors.Join(errs...)
}

// Walks of all files are so rare that they cost the host at most one part in so many.
const walkShare = 50

// FindOwners looks through all processes' files for the sockets that of names by
// their cookies, and gives the processes that hold them as KindOwner events with
// ViaHeld from the next Read on. It returns at once, false, when the walk before
// was too short ago for what it cost.
func (s *Source) FindOwners(of func(cookie uint64) bool) (bool, error) {
	now := nanos(unix.CLOCK_MONOTONIC)
	if s.walker == nil || now < s.walkDue {
		return false, nil
	}
	err := s.walker.findHolders(of)
	done := nanos(unix.CLOCK_MONOTONIC)
	s.walkDue = done + walkShare*(done-now)
	return true, err
}
