package kernel

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tcpstory/internal/tcp"
)

// Entrance runs a function inside one network namespace.
type Entrance func(func() error) error

// surveyWait is how long the start may wait for walks over namespaces' sockets. The
// kernel looks through its one table of all connections for each of them.
const surveyWait = 50 * time.Millisecond

// survey looks at what exists: at all open files, then at the sockets of each
// namespace (the caller's own, where none is given) that has others. What could not
// be looked at is returned. The programs are at work already: what they have told
// meanwhile is in the ring.
func (w *walker) survey(enter []Entrance, ring *ring) (errs []error) {
	if err := w.findOpen(nil, ring); err != nil { // it gives each socket its cookie
		errs = append(errs, err)
	}
	walks, failed := w.enter(enter)
	w.late.begin(walks, ring)
	for deadline := time.After(surveyWait); w.late.walks > 0; {
		select {
		case b := <-w.late.batches:
			w.late.walks--
			w.rest.pages = append(w.rest.pages, b.pages...)
			if b.err != nil {
				errs = append(errs, b.err)
			}
			continue
		case <-deadline:
		}
		break
	}
	w.lookBack(ring)
	return append(errs, failed...)
}

// enter opens a walk in each namespace that has sockets which are no open files.
func (w *walker) enter(enter []Entrance) (walks []io.ReadCloser, errs []error) {
	if w.sockets == nil {
		return nil, nil
	}
	if len(enter) == 0 {
		enter = []Entrance{func(f func() error) error { return f() }}
	}
	for _, in := range enter {
		err := in(func() error {
			if w.open.isAllOf(hereExist()) {
				return nil
			}
			r, err := w.sockets.Open()
			if err == nil {
				walks = append(walks, r)
			}
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("look at the sockets of a namespace: %w", err))
		}
	}
	return walks, errs
}

// stallWait is how long a CPU that writes a record may be held up.
const stallWait = 100 * time.Millisecond

// lookBack finds in the ring which of the sockets moved before the walks came to
// them: they began in the first transition's old state. The kernel writes the
// record before it stores the state.
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

// batch is what one walk over a namespace's sockets has found.
type batch struct {
	records
	end uint64 // where in the ring it was over
	err error
}

// late are the walks over namespaces that go on while the trace has begun.
type late struct {
	batches chan batch
	walks   int     // how many have not been received
	waiting []batch // until the ring is told so far
	stop    atomic.Bool
	done    sync.WaitGroup
}

// begin reads the walks, as many at a time as there are CPUs.
func (l *late) begin(walks []io.ReadCloser, ring *ring) {
	l.walks = len(walks)
	l.batches = make(chan batch, len(walks))
	queue := make(chan io.ReadCloser, len(walks))
	for _, r := range walks {
		queue <- r
	}
	close(queue)
	for range min(len(walks), runtime.GOMAXPROCS(0)) {
		l.done.Go(func() {
			for r := range queue {
				var b batch
				if !l.stop.Load() {
					b.err = b.gather(r)
				}
				b.end = ring.end()
				r.Close()
				l.batches <- b
			}
		})
	}
}

// gather reads a walk to its end.
func (b *batch) gather(r io.Reader) error {
	from := newRecordReader(r)
	for {
		e, err := from.peek(headLen)
		if e == nil || err != nil {
			return err
		}
		if _, err := io.ReadFull(from, b.add(socketLen(e))); err != nil {
			return fmt.Errorf("walk over the sockets: %w", err)
		}
	}
}

// next fills ev with the next socket of a walk that was over where the ring is told
// up to. What the ring has told of is found again, and known by then.
func (l *late) next(ev *tcp.Event, w *walker, at uint64) (bool, error) {
	for l.walks > 0 || len(l.waiting) > 0 {
		select {
		case b := <-l.batches:
			l.walks--
			l.waiting = append(l.waiting, b)
		default:
		}
		i := slices.IndexFunc(l.waiting, func(b batch) bool { return b.end <= at })
		if i < 0 {
			return false, nil
		}
		b := &l.waiting[i]
		raw := b.first()
		if raw == nil {
			l.waiting = slices.Delete(l.waiting, i, i+1)
			continue
		}
		e, _, err := view(raw)
		if err != nil {
			return false, err
		}
		b.drop(socketLen(e))
		w.decode.fill(ev, e, nil)
		return true, nil
	}
	return false, nil
}

// isOver reports whether all that existed was told.
func (l *late) isOver() bool { return l.walks == 0 && len(l.waiting) == 0 }

// end waits for the walks, which take no longer than the one at work.
func (l *late) end() {
	l.stop.Store(true)
	l.done.Wait()
}
