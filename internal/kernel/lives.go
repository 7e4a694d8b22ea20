package kernel

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// live makes ev the event of a life (bpf/life.h). Most of an event is not a life's,
// and stays as the life before has left it: zero. Clearing it costs more than all
// the rest.
func (d *decoder) live(ev *tcp.Event, e *traceEvent) {
	if ev.Kind != tcp.KindLife {
		*ev = tcp.Event{Kind: tcp.KindLife}
	}
	ev.Time = d.clock.wall(int64(e.Time))
	ev.Cookie, ev.Netns, ev.Cgroup = e.Cookie, e.Netns, e.Cgroup
	ev.Flow = flow(e)
	ev.Old, ev.New = tcp.State(e.Oldstate), tcp.State(e.Newstate)
	ev.Errno = e.Err
	ev.Counters, ev.Life = d.count(e), d.lived(e)
	ev.Task, ev.Via = tcp.Task{}, tcp.ViaUnknown
	if names(e) {
		ev.ActsBy(task(e))
	}
}

// lived reads the part of a record that tells a life alone.
func (d *decoder) lived(e *traceEvent) *tcp.Life {
	l := &d.life // each field, one by one: a literal would be copied
	l.Began, l.Established = d.when(e.Began), d.when(e.Established)
	l.Shut, l.ShutToo, l.FirstRead = d.when(e.Shut), d.when(e.ShutToo), d.when(e.FirstRead)
	l.BytesSent, l.BytesRetrans, l.Unacked = e.BytesSent, e.BytesRetrans, e.Unacked
	l.RTTMin, l.MSS, l.Cwnd = e.RttMin, e.Mss, e.Cwnd
	l.Idle = time.Duration(e.Idle) * d.tick
	l.Flags = tcp.LifeFlags(e.Life)
	if e.RttMin == math.MaxUint32 {
		l.RTTMin = 0
	}
	return l
}

// when makes kernel time wall time; 0 stays unknown.
func (d *decoder) when(mono uint64) int64 {
	if mono == 0 {
		return 0
	}
	return d.clock.wall(int64(mono))
}

// Unnoted is how many connections, and half-open ones, there was no room to note.
func (s *Source) Unnoted() (sockets, halfOpen uint64) {
	for name, n := range map[string]*uint64{traceVarUnnoted: &sockets, traceVarHalfUnnoted: &halfOpen} {
		if s.coll.Variables[name].Get(n) != nil {
			*n = 0 // the map is gone: only after Close
		}
	}
	return sockets, halfOpen
}

// StillOpen gives each connection that is open or half-open, as KindLife events with
// LifeIsOpen and their holders, to see. It looks in the namespaces of enter (the caller's own,
// where none is given). What could not be looked at is in the error, behind all the rest.
func (s *Source) StillOpen(enter []Entrance, see func(*tcp.Event) error) error {
	w := s.walker
	if w == nil || w.lives == nil {
		return errors.New("this kernel cannot walk over its sockets")
	}
	var found records
	var errs []error
	if len(enter) == 0 {
		enter = []Entrance{func(f func() error) error { return f() }}
	}
	for _, in := range enter {
		if err := s.lookInside(in, &found); err != nil {
			errs = append(errs, fmt.Errorf("look at the sockets of a namespace: %w", err))
		}
	}
	errs = append(errs, w.findOpen(nil, s.ring))
	return errors.Join(append(errs, s.giveOpen(&found, see))...)
}

// lookInside finds what is open in a namespace, and notes that it was looked at.
func (s *Source) lookInside(in Entrance, found *records) error {
	began := uint64(nanos(unix.CLOCK_MONOTONIC))
	var netns uint32
	var r io.ReadCloser
	err := in(func() (err error) {
		netns, _ = OwnNetns() // 0: what is noted there counts as standing
		r, err = s.walker.lives.Open()
		return err
	})
	if err != nil || r == nil { // the namespace has gone meanwhile
		return err
	}
	if err := errors.Join(found.gatherLives(r), r.Close()); err != nil {
		return err
	}
	s.halves.walked[netns] = began
	return nil
}

// gatherLives reads a walk to its end.
func (r *records) gatherLives(from io.Reader) error {
	in := newRecordReader(from)
	for {
		e, err := in.peek(headLen)
		if e == nil || err != nil {
			return err
		}
		if _, err := io.ReadFull(in, r.add(recordLen)); err != nil {
			return fmt.Errorf("walk over the connections: %w", err)
		}
	}
}

// giveOpen names the holders of those on which nobody has acted.
func (s *Source) giveOpen(found *records, see func(*tcp.Event) error) error {
	open := s.walker.open
	s.walker.open = newFound()
	var ev tcp.Event
	for raw := found.first(); raw != nil; raw = found.first() {
		e, _, err := view(raw)
		if err != nil {
			return err
		}
		s.decode.fill(&ev, e, nil)
		if i, held := open.index[e.Cookie]; held && !ev.Task.Known() {
			ev.ActsBy(task(&open.list[i]))
			ev.Via = tcp.ViaHeld
		}
		found.drop(recordLen)
		if err := see(&ev); err != nil {
			return err
		}
	}
	return nil
}
