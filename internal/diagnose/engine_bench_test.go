package diagnose_test

import (
	"fmt"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// crowd is an engine with n connections that are opening, each watched, and due in a
// far future.
func crowd(tb testing.TB, n int) (*diagnose.Engine, int64) {
	tb.Helper()
	l := limits
	l.After = 1 << 61 // it never comes
	e := diagnose.New(diagnose.Options{Limits: l}, func(v *diagnose.Verdict) error {
		return fmt.Errorf("said of idle connections: %s", v.Findings[0].Text)
	})
	story := conntest.New()
	at := int64(0)
	for i := range n {
		c := &conn.Conn{Number: uint64(i + 1), Cookie: uint64(i + 1), Netns: 1, Role: conn.RoleClient, State: tcp.SynSent}
		c.Flow = conntest.Flow(fmt.Sprintf("10.1.%d.%d:%d", i>>8&255, i&255, 1024+i>>16), "10.77.0.2:80")
		story.State(&conntest.Socket{Cookie: c.Cookie, Netns: 1, Flow: c.Flow}, tcp.Close, tcp.SynSent)
		ev := story.Events[0]
		story.Events, at = story.Events[:0], ev.Time
		if err := e.Take(&conn.Step{Event: ev, Conn: c, Flow: c.Flow}); err != nil {
			tb.Fatal(err)
		}
	}
	return e, at
}

// BenchmarkIdle is the passing of 20 ms beside connections that are watched, and of
// which nothing is due.
func BenchmarkIdle(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e, at := crowd(b, n)
			b.ReportAllocs()
			for b.Loop() {
				at += int64(20 * time.Millisecond)
				if err := e.Pass(at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// lives replays connections from beginning to end, of as many sockets as there are.
type lives struct {
	e      *diagnose.Engine
	table  *conn.Table
	events []*tcp.Event
	shift  int64
	n      uint64
}

// next is one more of them: another socket, later.
func (l *lives) next(tb testing.TB) {
	l.n++
	for _, ev := range l.events {
		one := *ev
		one.Time += int64(l.n) * l.shift
		one.Cookie += l.n << 20
		if err := l.table.Tell(&one, l.e.Take); err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkHealthy is a whole healthy connection's cost, its table's included.
func BenchmarkHealthy(b *testing.B) {
	c, v := conntest.Hosts(40000)
	s := conntest.Whole(c, v)
	l := &lives{table: conn.New(conn.Options{}), shift: int64(2 * time.Second)}
	l.e = diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error { return fmt.Errorf("said: %s", v.Findings[0].Text) })
	for _, ev := range s.Events {
		if ev.Netns == c.Netns {
			l.events = append(l.events, ev)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		l.next(b)
	}
}

// TestNoAllocation: what is said and heard on an open connection, and looking at it
// when it is due, allocates nothing.
func TestNoAllocation(t *testing.T) {
	s := begin()
	s.answered()
	from := len(s.Events)
	for range 200 {
		s.answered()
		s.Wait(scaled(limits.Slow, 50))
	}
	e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error { return fmt.Errorf("said: %s", v.Findings[0].Text) })
	var steps []conn.Step
	table := conn.New(conn.Options{})
	for i, ev := range s.Events {
		if ev.Netns != s.c.Netns {
			continue
		}
		err := table.Tell(ev, func(step *conn.Step) error {
			if i >= from {
				steps = append(steps, *step)
				return nil
			}
			return e.Take(step)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	i := 0
	if n := testing.AllocsPerRun(len(steps)-2, func() {
		if err := e.Take(&steps[i]); err != nil {
			t.Fatal(err)
		}
		i++
	}); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}
