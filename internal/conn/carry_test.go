package conn_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// line is all that a view can see of a step.
func line(s *conn.Step) string {
	flat := *s
	flat.Event, flat.Conn = nil, nil
	text := fmt.Sprintf("%v %d %v", s.Event.Kind, s.Event.Time, flat)
	for c, n := s.Conn, 0; c != nil && n < 2; c, n = c.Peer, n+1 {
		text += fmt.Sprint(" | ", c.Number, c.Cookie, c.Netns, c.Flow, c.Role, c.Socket, c.State, c.Via, c.Older, c.Since, c.Opened, c.Closed,
			c.Task, c.Opener, c.Cgroup, c.Namespace, c.Home, c.Alias)
	}
	return text
}

// telling is what a table tells, event by event.
type telling struct {
	table *conn.Table
	lines []string
}

func (l *telling) tell(t *testing.T, ev *tcp.Event) {
	t.Helper()
	if err := l.table.Tell(ev, l.take); err != nil {
		t.Fatal(err)
	}
}

func (l *telling) take(s *conn.Step) error {
	if s.Selected {
		l.lines = append(l.lines, line(s))
	}
	return nil
}

// carriesOver tells events, the later ones to a table that another has told what
// went before, whichever event these begin with.
func carriesOver(t *testing.T, opt conn.Options, events []*tcp.Event) {
	t.Helper()
	end := events[len(events)-1].Time + int64(10*time.Minute)
	whole := &telling{table: conn.New(opt)}
	var from []int // lines told before each event
	for _, ev := range events {
		from = append(from, len(whole.lines))
		whole.tell(t, ev)
	}
	if err := whole.table.Infer(end, whole.take); err != nil {
		t.Fatal(err)
	}
	for cut := range events {
		first := &telling{table: conn.New(opt)}
		for _, ev := range events[:cut] {
			first.tell(t, ev)
		}
		second := &telling{table: conn.New(opt)}
		if err := first.table.Carry(func(ev *tcp.Event) error { second.tell(t, ev); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(second.lines) > 0 {
			t.Fatalf("what is carried over is told: %s", second.lines)
		}
		for _, ev := range events[cut:] {
			second.tell(t, ev)
		}
		if err := second.table.Infer(end, second.take); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(whole.lines[from[cut]:], second.lines); d != "" {
			t.Errorf("from event %d of %d on, told in one (-) and carried over (+):\n%s", cut, len(events), d)
			return
		}
	}
}

// TestCarry: wherever a story is cut, the rest is told as in one.
func TestCarry(t *testing.T) {
	ends := []func(uint16) (*conntest.Socket, *conntest.Socket){conntest.Hosts, conntest.SameHost}
	for name, tell := range map[string]func(c, v *conntest.Socket) *conntest.Story{
		"whole": conntest.Whole, "orphan": conntest.Orphan, "given up": conntest.GivenUp, "lasting": conntest.Lasting,
		"refused": conntest.Refused, "black hole": conntest.BlackHole, "aborted": conntest.Aborted, "unanswered": conntest.Unanswered,
		"no port": func(c, _ *conntest.Socket) *conntest.Story { return conntest.NoPort(c, true) },
		"translated": func(c, _ *conntest.Socket) *conntest.Story {
			return conntest.Translated(c, tcp.Flow{Local: c.Flow.Local, Remote: conntest.Flow("10.99.0.9:8080", "").Local})
		},
		"owners": owners,
	} {
		t.Run(name, func(t *testing.T) {
			for i, hosts := range ends {
				events := tell(hosts(uint16(40000 + i))).Events
				carriesOver(t, conn.Options{}, events)
				carriesOver(t, conn.Options{TellOlder: true, Whose: func(c *conn.Conn) bool { return bytes.Equal(c.Task.Name(), []byte("nc")) }}, events)
			}
		})
	}
}

// TestChildOfResumed: a socket that takes over what was carried over of its packets has a
// past that this table was not told, too.
func TestChildOfResumed(t *testing.T) {
	c, v := conntest.Hosts(40000)
	s := conntest.New()
	s.Handshake(c, v)
	first, second := conn.New(conn.Options{}), conn.New(conn.Options{})
	var child *conn.Conn
	for i, ev := range s.Events {
		switch {
		case ev.Netns != v.Netns:
		case ev.Kind == tcp.KindPacket && i < len(s.Events)-3:
			first.Apply(ev)
		case child == nil:
			if err := first.Carry(func(ev *tcp.Event) error { second.Apply(ev); return nil }); err != nil {
				t.Fatal(err)
			}
			fallthrough
		default:
			child = second.Apply(ev).Conn
		}
	}
	if child == nil || !child.Socket || !child.Resumed {
		t.Errorf("the child is %+v", child)
	}
}

// TestFirstActIsNews: that a process which only held an accepted connection has read from
// it is told, once; of a socket that is older than the trace it is not.
func TestFirstActIsNews(t *testing.T) {
	for older, want := range map[bool]int{false: 2, true: 1} {
		c, v := conntest.Hosts(40000)
		s := conntest.New()
		if older {
			s.Kernel(v, tcp.KindSocket, conntest.Now(tcp.Established))
		} else {
			s.Handshake(c, v)
		}
		for _, via := range [...]tcp.Via{tcp.ViaHeld, tcp.ViaRead, tcp.ViaWrite, tcp.ViaRead} {
			s.Kernel(v, tcp.KindOwner, conntest.By(conntest.Nginx), conntest.Through(via), conntest.Now(tcp.Established))
		}
		told, tab := 0, conn.New(conn.Options{})
		for _, ev := range s.Events {
			if tab.Apply(ev).Selected && ev.Kind == tcp.KindOwner {
				told++
			}
		}
		if told != want {
			t.Errorf("older %v: %d owners are told, want %d", older, told, want)
		}
	}
}

// owners is a connection that changes hands, with names for where it lives, beside
// a listener and a loss.
func owners(c, v *conntest.Socket) *conntest.Story {
	s := conntest.New()
	l := &conntest.Socket{Cookie: 77, Netns: v.Netns, Flow: conntest.Flow("0.0.0.0:80", "0.0.0.0:0"), Task: conntest.Nginx}
	s.Kernel(l, tcp.KindSocket, conntest.Now(tcp.Listen))
	s.Events[0].Cgroup = 4711
	s.Add(&tcp.Event{Kind: tcp.KindPlace, Netns: v.Netns, Place: &tcp.Place{Name: "blue"}})
	s.Add(&tcp.Event{Kind: tcp.KindPlace, Cgroup: 4711, Place: &tcp.Place{Name: "web", Path: "/docker/abc", Container: "abc", Runtime: "docker"}})
	s.Handshake(c, v)
	s.Add(&tcp.Event{Kind: tcp.KindGap, Gap: tcp.Gap{Cause: tcp.GapRingFull, Lost: 1}})
	s.Kernel(v, tcp.KindOwner, conntest.By(conntest.Nginx), conntest.Through(tcp.ViaRead))
	s.Kernel(v, tcp.KindOwner, conntest.By(conntest.NC), conntest.Through(tcp.ViaWrite))
	s.Exchange(c, v)
	s.Close(c, v)
	return s
}
