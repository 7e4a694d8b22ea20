package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"tcpstory/internal/capture"
	"tcpstory/internal/conn"
	"tcpstory/internal/host"
	"tcpstory/internal/kernel"
	"tcpstory/internal/tcp"
	"tcpstory/internal/timeline"
)

// trace is `tcpstory [trace]`: live, or packets from a file.
func trace(ctx context.Context, e *env) error {
	o, flags, err := parse(e.args)
	switch {
	case err != nil:
		return err
	case e.closed && (o.write == "" || o.write == capture.Stdio):
		return errStdoutClosed
	case o.help:
		_, err := fmt.Fprint(e.stdout, usage(usageHead, flags)+otherCommands())
		return err
	case o.version:
		return version(ctx, e)
	case o.list:
		return listDevices(e)
	}
	if o.read != "" {
		return untilInterrupted(ctx, func() error { return traceFile(ctx, e, o) })
	}
	return traceLive(ctx, e, o)
}

func traceLive(ctx context.Context, e *env, o *options) error { return live(ctx, e, o, newOutput) }

// live runs the story that the kernel tells, into what open opens.
func live(ctx context.Context, e *env, o *options, open func(*env, *options, tcp.LinkType) (*output, error)) error {
	expr, note := o.expression(e)
	sel, err := newSelection(expr, tcp.LinkEthernet, tcp.LinkRaw)
	if err != nil {
		return err
	}
	names := host.New()
	defer names.Close()
	config, err := liveConfig(o, sel, names)
	if err != nil {
		return err
	}
	unseen := ""
	if config.States {
		if config.Enter, unseen, err = entrances(names, config.Netns); err != nil {
			return err
		}
	}
	source, err := kernel.Open(config)
	if err != nil {
		return err
	}
	out, err := open(e, o, source.Link())
	if err != nil {
		return errors.Join(err, source.Close())
	}
	notes := append(source.Notes(), unseen, note, o.cut(), o.waitsFor("/proc"))
	if o.verbose > 0 {
		notes = append(notes, source.Refusals()...)
	}
	e.announce(o, notes)
	s := newStory(o, sel.could(), o.whose(), out)
	stop := context.AfterFunc(ctx, func() {
		s.stopped.Store(time.Now().UnixNano())
		_ = source.Stop()
	})
	defer stop()
	err = s.follow(o.lookingUp(source, names, config.Netns))
	out.summary.InTheMiddle = source.InTheMiddle()
	err = errors.Join(err, source.Close(), out.close())
	out.summary.Unfollowed = s.table.Unfollowed()
	if quietly(err) {
		return nil
	}
	return errors.Join(err, out.summarise(e))
}

// lookingUp is the live source, with what is looked up besides.
func (o *options) lookingUp(s *kernel.Source, names *host.Names, netns []uint32) source {
	n := &named{Source: s, names: names}
	if o.why || o.record != "" {
		return &counting{named: n, wanted: netns, known: map[uint32]host.NetStat{}, active: map[uint32]int64{}}
	}
	return n
}

// announce says what is not as one might expect, then that tracing has begun.
func (e *env) announce(o *options, notes []string) {
	for _, note := range notes {
		if note != "" {
			e.say("%s", note)
		}
	}
	e.say("%s", o.listening())
}

// liveConfig says what the kernel side has to do for this command line.
func liveConfig(o *options, sel *selection, names *host.Names) (kernel.Config, error) {
	dir := directions[o.direction]
	c := kernel.Config{
		States: !o.packetsOnly() || o.selective(), Packets: !o.noPackets,
		Ether: sel.programs[0], Raw: sel.programs[1], Quotes: o.quotes(), Tagged: saysVLAN.MatchString(o.expr),
		Snaplen: o.snaplen, NoIn: dir.noIn, NoOut: dir.noOut,
		RingSize: o.ring, Forwarded: o.device != "", Patient: o.why || o.record != "", SkipMiddle: o.why,
	}
	if o.snaplen == 0 {
		c.Snaplen = kernel.MaxSnaplen
	}
	if o.device != anyDevice {
		c.Device = o.device
	}
	if err := o.choose(&c, names); err != nil {
		return c, err
	}
	if err := o.chooseNetns(&c); err != nil {
		return c, err
	}
	if o.device == anyDevice && len(c.Netns) == 0 {
		inum, err := kernel.OwnNetns()
		if err != nil {
			return c, err
		}
		c.Netns = append(c.Netns, inum)
	}
	return c, nil
}

// story is the spine: each event is put in order, applied, and handed on.
type story struct {
	hold  timeline.Hold
	table *conn.Table
	out   *output
	blind bool  // looking for owners has failed
	look  int64 // when the table is asked again for connections without a process

	stopped atomic.Int64 // live: until when the kernel was listened to, ns since 1970; 0: not told

	settled bool // a recording: its events have been through the hold
}

func newStory(o *options, filter func(tcp.Flow) bool, whose func(*conn.Conn) bool, out *output) *story {
	packetsOnly := o.noStates || o.write != "" || o.read != "" && !o.replays
	s := &story{out: out, settled: o.replays, table: conn.New(conn.Options{
		Filter: filter, Whose: whose, TellOlder: o.json || o.why, PacketsOnly: packetsOnly,
	})}
	if out.record != nil {
		out.record.starts(s.table)
	}
	return s
}

// errEnough ends the loop: -c's count is reached.
var errEnough = errors.New("enough")

// source is where events come from: the kernel, or a file.
type source interface {
	Read(*tcp.Event) error // its packet is decoded; kernel.ErrIdle: nothing waits; io.EOF: the end
	Wait() error           // sleep until something may wait
	// FindOwners looks for the processes that hold certain sockets, by their cookies,
	// when MayFindOwners allows it.
	MayFindOwners() bool
	FindOwners(func(uint64) bool) error
}

// lookInterval is how often the table is asked for connections without a process, event time.
const lookInterval = 50 * time.Millisecond

// follow runs until the source ends.
func (s *story) follow(from source) error {
	var ev tcp.Event
	for {
		err := from.Read(&ev)
		switch {
		case err == nil:
			if err = s.take(&ev); err == nil && ev.Time >= s.look {
				err = s.findOwners(from, ev.Time)
			}
		case errors.Is(err, kernel.ErrIdle):
			err = s.pause(from)
		case errors.Is(err, io.EOF):
			if err = s.hold.Flush(s.tell); err == nil {
				err = s.closes()
			}
			if err == nil {
				return nil
			}
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take puts an event in its place.
func (s *story) take(ev *tcp.Event) error {
	switch {
	case ev.Kind == tcp.KindNone:
		return s.passes(ev.Time)
	case s.settled:
		return s.tell(ev)
	}
	return s.hold.Push(ev, s.tell)
}

// passes gives out what is due at time now though no event has come. A recording
// notes when that was, so that reading it gives out the same in the same place.
func (s *story) passes(now int64) error {
	if !s.settled {
		if err := s.hold.Expire(now, s.tell); err != nil {
			return err
		}
		now = s.hold.Held(now - int64(underWay))
	}
	before := s.out.steps
	if err := s.table.Infer(now, s.out.write); err != nil {
		return s.ends(err, now)
	}
	switch {
	case s.settled: // what it was noted for may be its time alone: see closes
		if err := s.out.passes(now); err != nil {
			return err
		}
	case s.out.steps == before:
		return nil
	}
	return s.out.pause(now)
}

// closes is for the end of what is live: that nothing more had happened until then
// is news of what stands, and reading a recording knows no clock.
func (s *story) closes() error {
	now := s.stopped.Load() - int64(underWay)
	if now <= 0 || !s.out.readBack() {
		return nil
	}
	if err := s.table.Infer(now, s.out.write); err != nil {
		return s.ends(err, now)
	}
	return s.out.pause(now)
}

// pause uses a lull: what waits too long goes out, and what is written is seen.
func (s *story) pause(from source) error {
	now := time.Now().UnixNano()
	if err := s.passes(now); err != nil {
		return err
	}
	if now >= s.look {
		if err := s.findOwners(from, now); err != nil {
			return err
		}
	}
	if err := s.out.flush(); err != nil {
		return err
	}
	return from.Wait()
}

// findOwners looks for the processes of connections on which nobody has acted.
func (s *story) findOwners(from source, now int64) error {
	s.look = now + int64(lookInterval)
	if s.blind || !from.MayFindOwners() || !s.table.Unowned(now) {
		return nil
	}
	if err := from.FindOwners(s.table.Wants); err != nil {
		s.blind = true // the trace goes on without
		s.out.warn("who holds a connection on which nobody acts is not told any more: %v", err)
	}
	return nil
}

// underWay is how old the last events can be that are not in the ring yet.
const underWay = 2 * time.Millisecond

func (s *story) tell(ev *tcp.Event) error {
	if s.out.record != nil {
		if err := s.out.record.rotate(ev.Time); err != nil {
			return err
		}
	}
	return s.ends(s.table.Tell(ev, s.out.write), ev.Time)
}

// ends is for an error in telling what had happened by a certain time. Where -c's
// count is reached by what was inferred, that time is kept: the event is not.
func (s *story) ends(err error, now int64) error {
	if !errors.Is(err, errEnough) || !s.out.follows {
		return err
	}
	if failed := s.out.pause(now); failed != nil {
		return failed
	}
	return err
}
