package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tcpstory/internal/kernel"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// patience bounds every wait for something that is bound to happen.
const patience = 20 * time.Second

// stream reads a source in a goroutine of its own.
type stream struct {
	t      *testing.T
	source *kernel.Source
	done   chan struct{}
	err    error

	idle atomic.Uint64 // how often nothing was waiting

	mu  sync.Mutex
	see func(*tcp.Event)
}

// follow opens a source for the hosts' namespaces and gives every event to see,
// which must not keep it.
func follow(t *testing.T, c kernel.Config, see func(*tcp.Event), hosts ...*lab.Host) *stream {
	t.Helper()
	for _, h := range hosts {
		c.Netns = append(c.Netns, h.Netns())
	}
	source, err := kernel.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, source: source, see: see, done: make(chan struct{})}
	go s.read()
	t.Cleanup(s.end)
	return s
}

func (s *stream) read() {
	defer close(s.done)
	var ev tcp.Event
	for last := uint64(0); ; {
		switch err := s.source.Read(&ev); {
		case err == nil:
			if last++; ev.Seq != last {
				s.err = fmt.Errorf("event %d came as number %d", last, ev.Seq)
				return
			}
			ev.Decode()
			s.mu.Lock()
			s.see(&ev)
			s.mu.Unlock()
		case errors.Is(err, kernel.ErrIdle):
			s.idle.Add(1)
			if err := s.source.Wait(); err != nil {
				s.err = err
				return
			}
		case errors.Is(err, io.EOF):
			return
		default:
			s.err = err
			return
		}
	}
}

// drain waits until all that has happened so far was seen.
func (s *stream) drain() {
	s.t.Helper()
	from := s.idle.Load()
	await(s.t, "the reader to have seen everything", func() bool { return s.idle.Load() >= from+2 })
}

// show gives the events from now on to see.
func (s *stream) show(see func(*tcp.Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.see = see
}

// end detaches, drains and closes; the second time it does nothing.
func (s *stream) end() {
	s.t.Helper()
	if s.source == nil {
		return
	}
	err := s.source.Stop()
	<-s.done
	if err := errors.Join(err, s.err, s.source.Close()); err != nil {
		s.t.Error(err)
	}
	s.source = nil
}

// await looks again and again until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v in vain for %s", patience, what)
		case <-tick.C:
		}
	}
}

// quiet waits until every connection of the hosts has ended, TIME_WAIT apart.
func quiet(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	await(t, "the last connection to end", func() bool {
		for _, h := range hosts {
			for _, f := range lab.Families {
				if busy(t, h, f) {
					return false
				}
			}
		}
		return true
	})
}

func busy(t *testing.T, h *lab.Host, f lab.Family) bool {
	t.Helper()
	socks, err := h.Sockets(f)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(socks, func(s lab.Socket) bool {
		return !slices.Contains([]tcp.State{tcp.Listen, tcp.TimeWait, tcp.Close, tcp.BoundInactive}, s.State)
	})
}

// newLab makes hosts that go with the test.
func newLab(t *testing.T, topology lab.Topology) *lab.Lab {
	t.Helper()
	l, err := lab.New(t.Context(), lab.Options{Topology: topology})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
