package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"tcpstory/internal/host"
	"tcpstory/internal/kernel"
	"tcpstory/internal/life"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// lifeLive is `tcpstory life`.
func lifeLive(ctx context.Context, e *env) error {
	o, flags, err := parseLife(e.args)
	switch {
	case err != nil:
		return err
	case e.closed:
		return errStdoutClosed
	case o.help:
		_, err := fmt.Fprint(e.stdout, usage(lifeHead, flags))
		return err
	case o.read != "":
		return untilInterrupted(ctx, func() error { return lifeFile(ctx, e, o) })
	}
	expr, note := o.expression(e)
	sel, err := newSelection(expr, tcp.LinkEthernet, tcp.LinkRaw)
	if err != nil {
		return err
	}
	names := host.New()
	defer names.Close()
	config, err := o.config(names)
	if err != nil {
		return err
	}
	source, err := kernel.Open(config)
	if err != nil {
		return err
	}
	notes := append(source.Notes(), note, o.waitsFor("/proc"))
	if o.verbose > 0 {
		notes = append(notes, source.Refusals()...)
	}
	e.announce(&o.options, notes)
	s := &lifeStory{source: source, picks: o.picks(sel), sink: newLifeSink(e, o), every: o.interval, places: lifePlaces{names: names}, breaks: e.terminal && !o.json && !o.csv}
	if o.open {
		s.enter = func() ([]kernel.Entrance, string, error) { return entrances(names, config.Netns) }
	}
	stop := context.AfterFunc(ctx, s.end)
	defer stop()
	err = s.follow()
	s.endInterval()
	s.unnoted[0], s.unnoted[1] = source.Unnoted()
	err = errors.Join(err, s.sink.Close(), source.Close())
	if quietly(err) {
		return nil
	}
	if s.note != "" {
		e.say("%s", s.note)
	}
	return errors.Join(err, s.unseen, s.summarise(e))
}

// config says what the kernel side has to do for this command line.
func (o *lifeOptions) config(names *host.Names) (kernel.Config, error) {
	c := kernel.Config{Lives: true, RingSize: o.ring}
	if err := o.choose(&c, names); err != nil {
		return c, err
	}
	return c, o.chooseNetns(&c)
}

func newLifeSink(e *env, o *lifeOptions) render.LifeSink {
	w := render.NewWriter(e.stdout, "standard output", o.lined)
	switch {
	case o.json && o.summary:
		return render.NewLifeTallyJSON(w, o.by)
	case o.json:
		return render.NewLifeJSON(w)
	case o.csv:
		return render.NewLifeCSV(w)
	}
	opts := render.LifeOptions{Wide: o.wide, Clock: o.clock, Stamp: o.stamp, Unicode: isUTF8(e.getenv)}
	if e.terminal {
		opts.Width = terminalWidth(e)
	}
	if o.summary {
		return render.NewLifeTally(w, o.by, opts, e.terminal)
	}
	return render.NewLifeRows(w, opts)
}

// lifeStory is the spine: each record becomes a line, and the line is written when
// nothing of it is still to come.
type lifeStory struct {
	source  *kernel.Source
	desk    life.Desk
	picks   func(*life.Line) bool
	sink    render.LifeSink
	places  lifePlaces
	summary render.LifeSummary
	every   time.Duration // of a summary; 0: one at the end
	due     int64         // when the next summary is, event time
	look    int64         // when the desk is looked through again, event time
	blind   bool          // looking for owners has failed
	unnoted [2]uint64

	enter  func() ([]kernel.Entrance, string, error) // --open: the namespaces to look at in the end; nil: none
	note   string                                    // what may be missing of them
	unseen error                                     // what could not be looked at
	ending atomic.Bool                               // it is time to look
	over   bool                                      // that was noticed
	breaks bool                                      // the terminal has a ^C in a line of its own then
	open   []life.Line                               // still, when it was
	ended  map[uint64]bool                           // meanwhile, by cookie; nil: not looked yet
}

// end is called when it shall end.
func (s *lifeStory) end() {
	s.ending.Store(true)
	if s.enter == nil {
		_ = s.source.Stop()
	}
}

// atEnd does, once, what is to be done when it shall end.
func (s *lifeStory) atEnd() error {
	if s.over || !s.ending.Load() {
		return nil
	}
	s.over = true
	if s.breaks {
		if err := s.sink.Break(); err != nil {
			return err
		}
	}
	if s.enter == nil {
		return nil
	}
	return s.lookAtOpen()
}

// lookAtOpen looks at what is open while the programs are at work yet, so that
// each connection is either found or ends before them; then they stop.
func (s *lifeStory) lookAtOpen() error {
	s.ended = map[uint64]bool{}
	enter, note, err := s.enter()
	s.note = note
	if err == nil {
		err = s.source.StillOpen(enter, func(ev *tcp.Event) error {
			var l life.Line
			l.Fill(ev)
			s.open = append(s.open, l)
			return nil
		})
	}
	s.unseen = err // the rest is told nevertheless
	return s.source.Stop()
}

// giveOpen gives out what was open and has not ended meanwhile.
func (s *lifeStory) giveOpen() error {
	for i := range s.open {
		if s.ended[s.open[i].Cookie] {
			continue
		}
		if err := s.give(&s.open[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *lifeStory) follow() error {
	var ev tcp.Event
	for {
		if err := s.atEnd(); err != nil {
			return err
		}
		err := s.source.Read(&ev)
		switch {
		case err == nil:
			if err = s.take(&ev); err == nil && ev.Time >= s.look {
				err = s.lookThrough(ev.Time)
			}
		case errors.Is(err, kernel.ErrIdle):
			err = s.pause()
		case errors.Is(err, io.EOF):
			if err := errors.Join(s.atEnd(), s.desk.Flush(s.give)); err != nil {
				return err
			}
			return s.giveOpen()
		}
		if err != nil {
			return err
		}
	}
}

func (s *lifeStory) take(ev *tcp.Event) error {
	if ev.Kind == tcp.KindGap {
		s.summary.Lose(&ev.Gap)
		return nil
	}
	if s.ended != nil && ev.Kind == tcp.KindLife {
		s.ended[ev.Cookie] = true
	}
	return s.desk.Take(ev, s.give)
}

func (s *lifeStory) give(l *life.Line) error {
	if !s.picks(l) {
		return nil
	}
	if l.Half && l.End == life.EndOpen && s.enter == nil {
		s.summary.HalfOpen++ // without --open only what has ended is told
		return nil
	}
	s.summary.Count(l)
	return s.sink.Write(s.places.row(l))
}

// lookThrough gives out what has waited too long, and asks whose the rest is.
func (s *lifeStory) lookThrough(now int64) error {
	s.look = now + int64(lookInterval)
	if err := s.desk.Expire(now-int64(underWay), s.give); err != nil {
		return err
	}
	if err := s.summariseDue(now); err != nil {
		return err
	}
	if s.blind || !s.desk.Unowned(now) || !s.source.MayFindOwners() {
		return nil
	}
	if s.source.FindOwners(s.desk.Wants) != nil {
		s.blind = true // the lines go on without
	}
	return nil
}

// summariseDue shows a summary when its time has come.
func (s *lifeStory) summariseDue(now int64) error {
	tally, ok := s.sink.(*render.LifeTally)
	if !ok || s.every == 0 || now < s.due {
		return nil
	}
	first := s.due == 0
	s.due = now + int64(s.every)
	if first {
		return nil
	}
	return tally.Show(now)
}

// endInterval says when the last interval has ended, which is seldom a whole one.
func (s *lifeStory) endInterval() {
	if tally, ok := s.sink.(*render.LifeTally); ok && s.every > 0 {
		tally.EndsAt(time.Now().UnixNano())
	}
}

// pause uses a lull.
func (s *lifeStory) pause() error {
	if now := time.Now().UnixNano(); now >= s.look {
		if err := s.lookThrough(now); err != nil {
			return err
		}
	}
	if err := s.sink.Flush(); err != nil {
		return err
	}
	return s.source.Wait()
}

// summarise tells at the end what was seen, and everything lost.
func (s *lifeStory) summarise(e *env) error {
	s.summary.Unnoted, s.summary.HalfUnnoted = s.unnoted[0], s.unnoted[1]
	_, err := e.stderr.Write(s.summary.Append(nil))
	return err
}
