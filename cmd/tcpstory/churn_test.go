package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"tcpstory/internal/lab"
)

// Connections that come and go while tracers start: so many at a time, that live
// as long as this at most, and besides so many short ones a second.
const (
	churners   = 100
	churnLife  = 200 * time.Millisecond
	churnPace  = 400  // a slow machine takes seconds for a start: more would pile up in TIME_WAIT than a tracer keeps
	churnFirst = 7680 // port
)

// TestStartsAmidChurn: of the sockets that come and go while it starts, a tracer
// knows those that are older, and no others as such; and it knows their states.
// A tracer that was there before is the witness.
func TestStartsAmidChurn(t *testing.T) {
	const starts = 6
	l := newLab(t, lab.Options{})
	client, server := l.Host(lab.Client), l.Host(lab.Server)
	flags := []string{"--json", "--no-packets", "--netns", client.NetnsName(), "--netns", server.NetnsName()}
	oracle := watch(t, here{}, flags...)
	churn(t, routes(l, churnFirst))
	var late []*lateTracer
	for range starts {
		late = append(late, startLate(t, flags))
	}
	oracle.interrupt()
	truth := lives(facts(t, oracle, client, server))
	t.Logf("%d lives", len(truth))
	for i, p := range late {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p.check(&few{T: t}, truth, facts(t, p.proc, client, server))
		})
	}
}

// lateTracer is one that started while there was traffic.
type lateTracer struct {
	*proc
	listened, ended time.Time
}

// startLate runs a tracer until it has told of more than what existed.
func startLate(t *testing.T, flags []string) *lateTracer {
	t.Helper()
	p := start(t, tcpstory(here{}, flags...))
	at := p.awaitsIn(p.err, listens).at
	p.awaits(`"kind":"state"`)
	err := p.out.until(func(lines []line) bool { return len(lines) > 0 && time.Since(at) > churnLife })
	if err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	p.interrupt()
	return &lateTracer{p, at, ended}
}

// churn keeps connections coming and going until the test is over.
func churn(t *testing.T, ways []route) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var listeners []net.Listener
	for _, r := range ways {
		ln := r.listen(t)
		listeners = append(listeners, ln)
		all.Go(func() { serveChurn(ln) })
		for range churners / len(ways) {
			all.Go(func() { churnClient(ctx, r) })
		}
	}
	loads := []*lab.Host{nil, ways[0].server}
	for _, to := range loads {
		all.Go(func() {
			_, err := lab.Load(ctx, ways[0].client, lab.LoadOptions{Duration: time.Hour, Rate: churnPace / len(loads), Bytes: 200, Server: to})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the load ended: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		for _, ln := range listeners {
			ln.Close()
		}
		all.Wait()
	})
}

// lifetime is any up to churnLife.
func lifetime() time.Duration { return rand.N(churnLife) }

// serveChurn answers, and ends some connections first, some by a RST.
func serveChurn(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			time.Sleep(lifetime())
			if rand.N(8) == 0 {
				c.(*net.TCPConn).SetLinger(0)
				return
			}
			c.Write(text(100))
			if rand.N(2) == 0 {
				c.(*net.TCPConn).CloseWrite()
				time.Sleep(lifetime())
			}
			c.SetDeadline(time.Now().Add(patience))
			io.Copy(io.Discard, c)
		}()
	}
}

func churnClient(ctx context.Context, r route) {
	for ctx.Err() == nil {
		c, err := r.dial()
		if err != nil {
			continue // a listener that is closed, or a queue that is full
		}
		c.Write(text(50))
		time.Sleep(lifetime())
		if rand.N(2) == 0 {
			c.CloseWrite()
			time.Sleep(lifetime())
		}
		c.Close()
	}
}

// livedSocket is what was told of one socket.
type livedSocket struct {
	moves []fact
	all   []*fact
	older []bool // each of all
	first *fact
}

func lives(list []fact) map[uint64]*livedSocket {
	all := map[uint64]*livedSocket{}
	for i := range list {
		f := &list[i]
		if f.Cookie == 0 {
			continue
		}
		l := all[f.Cookie]
		if l == nil {
			l = &livedSocket{first: f}
			all[f.Cookie] = l
		}
		l.all, l.older = append(l.all, f), append(l.older, f.Older)
		if f.Kind == "state" && !f.IsInferred {
			l.moves = append(l.moves, *f)
		}
	}
	return all
}

// begins reports a life whose birth was told.
func (l *livedSocket) begins() bool {
	if len(l.moves) == 0 {
		return false
	}
	m := l.moves[0]
	return m.Old == "CLOSE" || m.Old == "LISTEN" && m.New == "SYN_RECV"
}

// check holds what a tracer has told against the lives of the sockets.
func (p *lateTracer) check(t *few, truth map[uint64]*livedSocket, list []fact) {
	t.Helper()
	have := lives(list)
	older := 0
	for cookie, l := range have {
		w := truth[cookie]
		if w == nil || !w.begins() {
			t.Errorf("the witness does not know the beginning of %v", l.first)
			continue
		}
		if i := slices.Index(l.older, l.begins()); i >= 0 {
			t.Errorf("its birth was told: %v, and it is older: %v, from %v on; first %v", l.begins(), l.older, l.all[i], l.first)
		}
		if !l.begins() && len(l.moves) > 0 {
			older++
		}
		p.checkMoves(t, w, l)
	}
	for cookie, w := range truth {
		p.checkPresence(t, w, have[cookie])
	}
	t.Logf("%d sockets, %d older ones that moved", len(have), older)
	if older < churners/2 {
		t.Errorf("only %d older sockets have moved", older)
	}
}

// checkMoves wants a run of the true transitions, the end of which the tracer may
// have missed because it ended, and the state in which the socket existed to be
// the one before.
func (p *lateTracer) checkMoves(t *few, w, l *livedSocket) {
	t.Helper()
	skip := len(w.moves)
	if len(l.moves) > 0 {
		skip = slices.IndexFunc(w.moves, func(m fact) bool { return sameMove(m, l.moves[0]) })
	}
	if skip < 0 || len(l.moves) > len(w.moves)-skip {
		t.Errorf("%d transitions, the witness has %d; first %v", len(l.moves), len(w.moves), l.first)
		return
	}
	for i, m := range l.moves {
		if !sameMove(m, w.moves[skip+i]) {
			t.Errorf("instead of %v:\n %v", &w.moves[skip+i], &m)
			return
		}
	}
	if l.first.Kind == "socket" && len(l.moves) > 0 && l.first.State != l.moves[0].Old {
		t.Errorf("it existed in %s, and left %s first: %v", l.first.State, l.moves[0].Old, l.first)
	}
}

func sameMove(a, b fact) bool { return a.Old == b.Old && a.New == b.New }

// checkPresence wants all sockets that were there when tracing had begun, and all
// of their transitions from then on.
func (p *lateTracer) checkPresence(t *few, w, l *livedSocket) {
	t.Helper()
	after := 0
	for _, m := range w.moves {
		if at := time.Unix(0, m.Time); at.After(p.listened) && at.Before(p.ended) {
			after++
		}
	}
	switch {
	case after > 0 && l == nil:
		t.Errorf("nothing is told of %v", w.first)
	case after > 0 && len(l.moves) < after:
		t.Errorf("%d transitions of %d since the start of %v", len(l.moves), after, w.first)
	case after > 0 && time.Unix(0, w.first.Time).Before(p.started) && l.first.Kind != "socket":
		t.Errorf("it existed, and was met by %v", l.first)
	}
}
