package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ring reads a BPF ring buffer in place (Documentation/bpf/ringbuf.rst): the
// kernel maps the data twice in a row, so that no record is ever split, and
// drops nothing that the consumer position has not passed. It hands out each
// record where it lies and moves the position only now and then, because the
// producers read that cache line for every record they write.
//
// It is for one goroutine, except for interrupt.
type ring struct {
	consumer, producer *uint64
	data               []byte
	mask               uint64
	giveBack           uint64 // how much room is given back at a time, unless all is read
	pos                uint64 // what was handed out
	seen               uint64 // up to where records are known to be reserved
	published          uint64 // what the kernel knows of it
	pages              [][]byte
	poll               [2]unix.PollFd // the ring, the interruption
	stopped            atomic.Bool
}

// Bits of a record's header (include/uapi/linux/bpf.h).
const (
	ringBusy      = 1 << 31
	ringDiscard   = 1 << 30
	ringHeader    = 8
	mostGivenBack = 64 << 10
	// busySpins is how often a record that is still being written is looked at
	// again before the reader takes a rest.
	busySpins = 200
)

func openRing(m *ebpf.Map) (*ring, error) {
	size, page := int(m.MaxEntries()), os.Getpagesize()
	consumer, err := unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring buffer's consumer page: %w", err)
	}
	producer, err := unix.Mmap(m.FD(), int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map the ring buffer of %d bytes: %w", size, err), unix.Munmap(consumer))
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make an eventfd: %w", err), unix.Munmap(consumer), unix.Munmap(producer))
	}
	r := &ring{
		consumer: (*uint64)(unsafe.Pointer(&consumer[0])),
		producer: (*uint64)(unsafe.Pointer(&producer[0])),
		data:     producer[page:],
		mask:     uint64(size - 1),
		giveBack: uint64(min(mostGivenBack, size/4)),
		pages:    [][]byte{consumer, producer},
	}
	r.pos = atomic.LoadUint64(r.consumer)
	r.published = r.pos
	r.poll = [2]unix.PollFd{{Fd: int32(m.FD()), Events: unix.POLLIN}, {Fd: int32(event), Events: unix.POLLIN}}
	return r, nil
}

// next returns the next record, valid until the call after this one, or nil if
// none is ready.
func (r *ring) next() []byte {
	if r.pos-r.published >= r.giveBack {
		r.publish()
	}
	if r.pos >= r.seen { // the producers write that cache line for every record
		r.seen = r.end()
	}
	for spins := 0; r.pos < r.seen; {
		at := r.pos & r.mask
		head := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at])))
		if head&ringBusy != 0 {
			if spins++; spins > busySpins {
				return nil
			}
			runtime.Gosched()
			continue
		}
		n := uint64(head &^ (ringBusy | ringDiscard))
		r.pos += (n + ringHeader + 7) &^ 7
		if head&ringDiscard == 0 {
			return r.data[at+ringHeader : at+ringHeader+n : at+ringHeader+n]
		}
	}
	return nil
}

// look hands every record up to position end that was not handed out yet to see,
// and takes none. A record that is still being written after patience ends it.
func (r *ring) look(end uint64, patience time.Duration, see func([]byte)) {
	deadline := time.Now().Add(patience)
	for pos := r.pos; pos < end; {
		at := pos & r.mask
		head := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at])))
		if head&ringBusy != 0 {
			if time.Now().After(deadline) {
				return
			}
			runtime.Gosched()
			continue
		}
		n := uint64(head &^ (ringBusy | ringDiscard))
		if head&ringDiscard == 0 {
			see(r.data[at+ringHeader : at+ringHeader+n : at+ringHeader+n])
		}
		pos += (n + ringHeader + 7) &^ 7
	}
}

// publish gives the room of all records handed out back to the producers.
func (r *ring) publish() {
	atomic.StoreUint64(r.consumer, r.pos)
	r.published = r.pos
}

// end is the position behind all records that are reserved by now.
func (r *ring) end() uint64 { return atomic.LoadUint64(r.producer) }

// empty reports whether every record that was reserved has been handed out.
func (r *ring) empty() bool { return r.pos >= r.end() }

// wait sleeps until the programs wake the reader, or interrupt is called, or
// the time is over.
func (r *ring) wait(limit time.Duration) error {
	r.publish()
	if r.stopped.Load() {
		return nil
	}
	if !r.empty() { // a record is being written by a CPU that is held up: poll would return at once
		time.Sleep(time.Millisecond)
		return nil
	}
	r.poll[0].Revents, r.poll[1].Revents = 0, 0
	_, err := unix.Poll(r.poll[:], int(limit.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for the ring buffer: %w", err)
	}
	return nil
}

// interrupt makes wait return at once, now and ever after.
func (r *ring) interrupt() error {
	r.stopped.Store(true)
	_, err := unix.Write(int(r.poll[1].Fd), []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

func (r *ring) close() error {
	errs := []error{unix.Close(int(r.poll[1].Fd))}
	for _, p := range r.pages {
		errs = append(errs, unix.Munmap(p))
	}
	return errors.Join(errs...)
}
