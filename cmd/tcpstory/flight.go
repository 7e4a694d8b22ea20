package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/filter"
	"tcpstory/internal/flight"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// flightRecorder keeps the past in memory, and writes a file for each incident.
type flightRecorder struct {
	e      *env
	o      *options
	table  *conn.Table
	ring   *flight.Ring
	mem    []byte // of the ring, outside of Go's heap: the collector would keep as much again in reserve
	watch  *flight.Watch
	rules  *ruleWatch // nil: no rule is asked for
	limit  *flight.Limit
	shelf  *shelf
	usr1   chan os.Signal
	about  record.About
	could  func(tcp.Flow) bool
	unpack *record.Unpacker

	entry flight.Entry
	open  []*incident
	last  int64  // time of the last event
	said  int64  // when it was said what was left out
	wrote uint64 // files
	fails []error
}

// newFlight is what record --ring writes to.
func newFlight(e *env, o *options, link tcp.LinkType) (*flightRecorder, error) {
	expr, _ := o.expression(e)
	sel, err := newSelection(expr, tcp.LinkEthernet, tcp.LinkRaw)
	if err != nil {
		return nil, err
	}
	if o.match != "" {
		programs, err := filter.CompileAll(o.match, tcp.LinkEthernet, tcp.LinkRaw)
		if err != nil {
			return nil, fmt.Errorf("--match: %w", err)
		}
		o.chosen.Match = func(p *tcp.Packet) bool {
			program := programs[0]
			if p.Link == tcp.LinkRaw {
				program = programs[1]
			}
			return program.Match(p.Frame, p.Length)
		}
	}
	s, err := openShelf(o.record, o.keepBytes, o.keepFiles)
	if err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(-1, 0, int(o.pastBytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("get %d bytes for --ring: %w", o.pastBytes, err), s.close())
	}
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // all of it is written again and again; where there are none, small ones do
	f := &flightRecorder{
		e: e, o: o, shelf: s, mem: mem, ring: flight.NewRing(mem), watch: flight.NewWatch(o.chosen), limit: flight.NewLimit(o.rate),
		usr1: make(chan os.Signal, 1), about: o.about(e, link), could: sel.could(), unpack: record.NewUnpacker(),
	}
	f.rules = newRuleWatch(o, f.happens)
	signal.Notify(f.usr1, unix.SIGUSR1)
	return f, nil
}

func (f *flightRecorder) starts(t *conn.Table) { f.table = t }
func (f *flightRecorder) rotate(int64) error   { return nil }

// write implements chronicle.
func (f *flightRecorder) write(s *conn.Step) error {
	if !recorded(s) {
		return nil
	}
	if s.Event.Inferred {
		f.derived(s)
	} else {
		f.put(s.Event, s)
	}
	if i := f.watch.Look(s); i != nil {
		f.happens(i)
	}
	if err := f.rules.take(s); err != nil {
		return err
	}
	if len(f.usr1) > 0 {
		f.signalled(s.Event.Time)
	}
	return nil
}

// derived keeps what an inferred transition depends on that is no event: that its time
// had passed, and since when the end was in the state that it leaves. What events alone
// tell is inferred from them once more.
func (f *flightRecorder) derived(s *conn.Step) {
	if wait := s.From.Patience(); wait > 0 || s.Event.Old != tcp.Listen {
		ev := s.Event
		f.put(&tcp.Event{Time: ev.Time + int64(wait), Cookie: ev.Cookie, Netns: ev.Netns, Flow: ev.Flow, Old: ev.Old, New: ev.New}, s)
	}
}

// put keeps an event, of which s says whose it is.
func (f *flightRecorder) put(ev *tcp.Event, s *conn.Step) {
	e := &f.entry
	*e = flight.Entry{Time: ev.Time, Cookie: s.Event.Cookie, Kind: ev.Kind, Old: ev.Old, New: ev.New, Row: record.Pack(e.Row[:0], ev)}
	if c := s.Conn; c != nil {
		e.Conn = c.Number
		if e.Cookie == 0 {
			e.Cookie = c.Cookie
		}
		e.Then = flight.Then{Role: c.Role, Older: c.OlderThanTrace(), Embryo: s.HalfOpen, From: s.From}
		if s.InStateKnown {
			e.Then.Since = s.Event.Time - int64(s.InState)
		}
	}
	f.ring.Put(e)
	f.last = max(f.last, ev.Time)
	if len(f.open) == 0 {
		return
	}
	f.finish(ev.Time)
	for _, i := range f.open {
		if i.isAbout(e) && !e.Silent() {
			f.note(i, i.take(ev))
		}
	}
}

// happens writes an incident, unless it is part of one that is being written, or
// there are too many.
func (f *flightRecorder) happens(i *flight.Incident) {
	for _, o := range f.open {
		if o.window || i.Number != 0 && o.numbers[i.Number] {
			return
		}
	}
	if len(f.open) >= f.atOnce() || !f.limit.Lets(i.Time) {
		f.limit.LeaveOut(i.Why)
		return
	}
	if err := f.shelf.another(len(f.open)); err != nil {
		f.fail(err)
		return
	}
	in, err := f.begin(i)
	if err != nil {
		f.fail(err)
		return
	}
	f.open = append(f.open, in)
	f.note(in, in.tellPast())
}

// mostOpen bounds the incidents that are being written at a time: each has a buffer.
const mostOpen = 16

// atOnce is how many are written at a time: no more than there may be files.
func (f *flightRecorder) atOnce() int { return min(mostOpen, f.o.keepFiles) }

// signalled is SIGUSR1.
func (f *flightRecorder) signalled(now int64) {
	select {
	case <-f.usr1:
		f.happens(&flight.Incident{Why: flight.Signal, Time: now})
	default:
	}
}

// finish ends the incidents whose time after is over at time now.
func (f *flightRecorder) finish(now int64) {
	for n := len(f.open) - 1; n >= 0; n-- {
		if i := f.open[n]; now > i.until {
			f.ends(i, i.until)
		}
	}
}

// ends completes an incident's file at time now. A verdict may rest on time that has
// passed and nothing else: the file says so.
func (f *flightRecorder) ends(i *incident, now int64) {
	err := errTold
	if i.verdict {
		if failed := i.take(&tcp.Event{Time: now}); failed != nil {
			err = failed
		}
	}
	f.note(i, err)
}

// errTold: an incident's file is complete. errCut: there is no more room for it.
var (
	errTold = errors.New("told")
	errCut  = errors.New("no room")
)

// note ends an incident for which something has gone wrong, or right. The others go
// on, and so does the recorder.
func (f *flightRecorder) note(i *incident, err error) {
	if err == nil {
		return
	}
	for n, o := range f.open {
		if o == i {
			f.open = append(f.open[:n:n], f.open[n+1:]...)
		}
	}
	size := i.rec.w.Size()
	if err == errTold || err == errCut {
		if closeErr := i.rec.close(); closeErr != nil {
			err = closeErr
		}
	} else {
		err = i.rec.files.close(err)
	}
	f.shelf.total -= i.claimed
	if info, statErr := os.Stat(i.name); statErr == nil {
		size = info.Size()
	}
	if size == 0 && os.Remove(i.name) == nil { // not a block of it found room
		f.fail(err)
		return
	}
	f.shelf.put(i.name, size)
	f.wrote++
	switch err {
	case errTold:
		f.e.say("incident: %s: %s", i.title, i.name)
	case errCut:
		f.e.say("incident: %s: %s, cut off: --keep %s leaves no more room", i.title, i.name, f.o.keep)
	default:
		f.fail(err)
	}
}

// fail tells an error, which recording survives.
func (f *flightRecorder) fail(err error) {
	if len(f.fails) < 10 {
		f.fails = append(f.fails, err)
	}
	f.e.say("%s", oneLine(err))
}

func (f *flightRecorder) pause(now int64) error { return f.rules.pass(now) }

// leftOutInterval is how often it is said what was left out.
const leftOutInterval = time.Minute

// flush uses a lull.
func (f *flightRecorder) flush() error {
	now := time.Now().UnixNano()
	f.signalled(now)
	if err := f.rules.pass(now - int64(underWay)); err != nil {
		return err
	}
	f.finish(now - int64(underWay))
	_ = f.watch.Stuck(now, f.table, func(i *flight.Incident) error { f.happens(i); return nil })
	for _, i := range f.open {
		f.note(i, i.rec.flush())
	}
	if now-f.said >= int64(leftOutInterval) {
		f.said = now
		f.sayLeftOut()
	}
	return nil
}

func (f *flightRecorder) sayLeftOut() {
	if n, which := f.limit.LeftOut(); n > 0 {
		f.e.say("%s left out, more than --incidents %d a minute, or %d at a time: %s", plural(n, "incident"), f.o.rate, f.atOnce(), which)
	}
}

func plural(n uint64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// now is the latest time of which something is known.
func (f *flightRecorder) now() int64 {
	if f.rules == nil {
		return f.last
	}
	return max(f.last, f.rules.now)
}

// close ends what is being written, at once.
func (f *flightRecorder) close() error {
	signal.Stop(f.usr1)
	if err := f.rules.ends(); err != nil {
		f.fail(err)
	}
	for len(f.open) > 0 {
		f.ends(f.open[0], f.now())
	}
	f.sayLeftOut()
	f.e.say("%s written", plural(f.wrote, "incident"))
	if n := f.ring.TooLong(); n > 0 {
		f.e.say("%s longer than --ring, and not kept", plural(n, "event"))
	}
	if err := errors.Join(f.shelf.close(), unix.Munmap(f.mem)); err != nil {
		return fmt.Errorf("end the flight recorder: %w", err)
	}
	if len(f.fails) > 0 {
		return errors.New("not every incident could be written")
	}
	return nil
}
