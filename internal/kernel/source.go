package kernel

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// How long the reader sleeps when the ring is empty. The programs wake it only
// for a quarter of a full ring, so this is also how late an event may be shown. A
// wake-up costs as much as a hundred lives: Go's scheduler looks after a thread that
// sleeps every 20 µs for a while.
const (
	busyWait    = 10 * time.Millisecond
	idleWait    = 40 * time.Millisecond
	patientWait = 50 * time.Millisecond
)

// ErrIdle says that nothing is waiting: a good moment to flush, then to Wait.
var ErrIdle = errors.New("no event is waiting")

// Source is the live stream of events. Read is for one goroutine; Stop may be
// called from any.
type Source struct {
	coll   *ebpf.Collection
	links  []link.Link
	tap    *tap
	ring   *ring
	record *traceEvent // the latest, where it lies in the ring,
	frame  []byte      // and the packet that it ends with
	decode decoder
	losses losses
	walker *walker
	halves *halves
	notes  []string
	link   tcp.LinkType

	refusals []refusal

	seq      uint64
	held     bool          // record waits behind its gap
	surveyed uint64        // where in the ring the look at what exists was over
	walkDue  int64         // CLOCK_MONOTONIC: no walk over all files before, ns
	wait     time.Duration // the next sleep: shortest after a record, longest in the end
	shortest time.Duration
	longest  time.Duration
	stop     sync.Once
	stopErr  error
}

// Refused is an error of Open that the kernel or missing rights are the reason
// of: Examine says more.
type Refused struct{ error }

// Unwrap gives what was refused.
func (r Refused) Unwrap() error { return r.error }

// Open loads and attaches what the configuration asks for. On an error nothing
// stays attached. It must run on a thread of the namespace that Config.Device
// belongs to.
func Open(c Config) (*Source, error) {
	f, err := probeFeatures()
	if err != nil {
		return nil, Refused{err}
	}
	return open(c, f)
}

// open is Open on a kernel that can do what f says, which ends here.
func open(c Config, f *features) (*Source, error) {
	dev, err := openDevice(c.Device)
	if err != nil {
		return nil, err
	}
	if (c.States || c.Lives) && f.arguments(stateTracepoint) < 0 {
		return nil, Refused{fmt.Errorf("no tracepoint %s in this kernel: its socket states cannot be traced (--no-states shows the packets alone)", stateTracepoint)}
	}
	if dev.index != 0 && len(c.Netns) == 0 {
		c.Netns = []uint32{dev.netns}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	coll, refusals, err := loadFor(&c, f, dev)
	if err != nil {
		return nil, Refused{err}
	}
	s := &Source{coll: coll, refusals: refusals, wait: busyWait, notes: append(f.notes(&c, dev), dev.notes()...), link: dev.link()}
	s.decode = decoder{
		devices: map[place]string{},
		drops:   f.names("skb_drop_reason", dropPrefix),
		resets:  f.names("sk_rst_reason", resetPrefix),
		tick:    tick(),
	}
	s.shortest, s.longest = busyWait, idleWait
	if c.Lives || c.Patient {
		s.shortest, s.longest = patientWait, patientWait
	}
	if err := s.start(&c, dev); err != nil {
		return nil, Refused{errors.Join(err, s.Close())}
	}
	f.spec, f.types = nil, nil
	debug.FreeOSMemory() // some 10 MiB of the kernel's type information have served
	return s, nil
}

func (d *device) notes() []string {
	if !d.tapped {
		return nil
	}
	return []string{fmt.Sprintf("%s is a %s device, which the packet tracepoints do not serve: captured by a packet socket", d.name, d.kind)}
}

func (s *Source) start(c *Config, dev *device) (err error) {
	if s.ring, err = openRing(s.coll.Maps[traceMapEvents]); err != nil {
		return err
	}
	if program := s.coll.Programs[traceProgPacketTap]; program != nil {
		if s.tap, err = openTap(dev, program); err != nil {
			return err
		}
	}
	links, refusals, err := attach(s.coll)
	if err != nil {
		return err
	}
	s.links, s.refusals = links, append(s.refusals, refusals...)
	s.losses = newLosses(s.coll)
	if !c.States && !c.Lives {
		return nil
	}
	if s.walker, err = newWalker(s.coll, c, &s.decode); err != nil {
		return err
	}
	if c.Lives { // a socket tells its life itself, however old it is
		s.halves = newHalves(s.coll, &s.decode)
		return nil
	}
	if errs := s.walker.survey(c.Enter, s.ring); len(errs) > 0 { // after attaching: nothing falls in between
		s.notes = append(s.notes, lacking(errs))
	}
	s.surveyed = s.ring.end()
	return nil
}

// lacking words what could not be looked at, once for all of its kind.
func lacking(errs []error) string {
	note := "some sockets that exist already are not known: " + errs[0].Error()
	if n := len(errs) - 1; n > 0 {
		note += fmt.Sprintf(" (and %d more of the kind)", n)
	}
	return note
}

// Link is the link type that all packets share, or LinkSLL2, which can hold
// any: without a device of that name, frames of all kinds come.
func (s *Source) Link() tcp.LinkType { return s.link }

// InTheMiddle is how many segments Config.SkipMiddle has left out so far.
func (s *Source) InTheMiddle() (n uint64) {
	if s.coll.Variables[traceVarInTheMiddle].Get(&n) != nil {
		return 0 // the map is gone: only after Close
	}
	return n
}

// Notes says what this kernel, or the chosen way, does not tell.
func (s *Source) Notes() []string { return s.notes }

// Refusals says which optional programs the kernel did not take, and what is
// missing for it. Most users cannot help it, so that these are no notes.
func (s *Source) Refusals() (lines []string) {
	for _, r := range s.refusals {
		lines = append(lines, r.String())
	}
	return lines
}

// Read fills ev with the next event: first the sockets that existed (KindSocket),
// then what happens. It returns ErrIdle when none is waiting and io.EOF after
// Stop, when the ring is drained. Packet.Frame is valid until the next Read;
// Packet is not decoded yet.
func (s *Source) Read(ev *tcp.Event) error {
	if s.held {
		s.held = false
		return s.emit(ev)
	}
	if found, err := s.walker.next(ev, s.ring.pos); err != nil {
		return err
	} else if found {
		s.seq++
		ev.Seq = s.seq
		return nil
	}
	if s.halves.next(ev) {
		return nil
	}
	if raw := s.ring.next(); raw != nil {
		s.wait = s.shortest
		return s.next(ev, raw)
	}
	if s.ring.stopped.Load() && s.ring.empty() {
		return s.last(ev)
	}
	return s.idle(ev)
}

// next puts a gap in front of a record that was written after a loss.
func (s *Source) next(ev *tcp.Event, raw []byte) (err error) {
	if s.record, s.frame, err = view(raw); err != nil {
		return err
	}
	e := s.record
	if err := s.halves.look(int64(e.Time)); err != nil {
		return err
	}
	if n := s.losses.ring(e.Lost); n > 0 {
		s.held = true
		s.gap(ev, tcp.Gap{Cause: tcp.GapRingFull, Lost: n}, s.decode.clock.wall(int64(e.Time)))
		return nil
	}
	if g, ok := s.losses.lookDue(int64(e.Time)); ok {
		s.held = true
		s.gap(ev, g, s.decode.clock.wall(int64(e.Time)))
		return nil
	}
	return s.emit(ev)
}

func (s *Source) emit(ev *tcp.Event) error {
	s.decode.fill(ev, s.record, s.frame)
	ev.Starting = s.ring.pos <= s.surveyed || s.walker != nil && !s.walker.late.isOver()
	s.seq++
	ev.Seq = s.seq
	return nil
}

func (s *Source) gap(ev *tcp.Event, g tcp.Gap, at int64) {
	s.seq++
	*ev = tcp.Event{Seq: s.seq, Time: at, Kind: tcp.KindGap, Gap: g}
}

// idle looks for losses that no record tells, and otherwise lets the caller use
// the lull before it sleeps.
func (s *Source) idle(ev *tcp.Event) error {
	if g, ok := s.losses.lookDue(nanos(unix.CLOCK_MONOTONIC)); ok {
		s.gap(ev, g, time.Now().UnixNano())
		return nil
	}
	if s.halves != nil {
		if err := s.halves.look(nanos(unix.CLOCK_MONOTONIC)); err != nil {
			return err
		}
		if s.halves.next(ev) {
			return nil
		}
	}
	return ErrIdle
}

// Wait sleeps until events may be waiting. Call it after ErrIdle.
func (s *Source) Wait() error {
	err := s.ring.wait(s.wait)
	s.wait = min(s.wait+busyWait, s.longest)
	return err
}

// last reports, after the drain, what was lost behind the last record, and the half-open
// connections that are noted yet.
func (s *Source) last(ev *tcp.Event) error {
	if n := s.losses.ring(s.losses.total()); n > 0 {
		s.gap(ev, tcp.Gap{Cause: tcp.GapRingFull, Lost: n}, time.Now().UnixNano())
		return nil
	}
	if g, ok := s.losses.look(true); ok {
		s.gap(ev, g, time.Now().UnixNano())
		return nil
	}
	if err := s.halves.end(nanos(unix.CLOCK_MONOTONIC)); err != nil {
		return err
	}
	if s.halves.next(ev) {
		return nil
	}
	return io.EOF
}

// Stop detaches the programs; Read then drains what is in the ring and ends.
func (s *Source) Stop() error {
	s.stop.Do(func() {
		s.stopErr = closeAll(s.links)
		if s.tap != nil {
			s.stopErr = errors.Join(s.stopErr, s.tap.Close())
		}
		s.stopErr = errors.Join(s.stopErr, s.ring.interrupt())
	})
	return s.stopErr
}

// Close releases everything. Whoever wants the rest of the events calls Stop
// and reads to io.EOF first.
func (s *Source) Close() error {
	var err error
	if s.ring != nil {
		err = errors.Join(s.Stop(), s.walker.close(), s.ring.close())
	}
	s.coll.Close()
	return err
}
