package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/flight"
	"tcpstory/internal/life"
	"tcpstory/internal/record"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// viewed keeps what a view can see of steps, but for numbers and for who has a socket, of
// which an incident knows less, and never other than it was.
type viewed struct {
	lines  []string
	peers  []uint64 // cookies of other ends
	lives  life.Chronicle
	ends   []string // of lives
	stood  []string // of sockets that existed
	owners map[string]tcp.Task
}

func (w *viewed) Write(s *conn.Step) error {
	if err := w.lives.Take(s, func(l *life.Line) error {
		w.ends = append(w.ends, fmt.Sprint(l.Time, l.Flow, l.Direction, l.Older, l.Duration, l.Connect, l.States))
		return nil
	}); err != nil {
		return err
	}
	if s.Event.Kind == tcp.KindSocket {
		w.stood = append(w.stood, string(render.AppendFact(nil, s)))
		return nil
	}
	flat := *s
	flat.Event, flat.Conn = nil, nil
	text := fmt.Sprintf("%v %d %v>%v %v", s.Event.Kind, s.Event.Time, s.Event.Old, s.Event.New, flat)
	var peer uint64
	if c := s.Conn; c != nil {
		text += fmt.Sprint(" | ", c.Cookie, c.Netns, c.Flow, c.Role, c.OlderThanTrace(), c.Cgroup, c.Namespace, c.Home, c.Alias)
		if c.Closed == 0 {
			text += fmt.Sprint(" ", c.State, c.Since)
		}
		if p := c.Peer; p != nil && p.Cookie != 0 {
			peer = p.Cookie
		}
		if c.Task.Known() {
			w.owners[text] = c.Task
		}
	}
	w.peers, w.lines = append(w.peers, peer), append(w.lines, text)
	return nil
}

func (*viewed) Flush() error { return nil }
func (*viewed) Close() error { return nil }

// unplugged is a flight recorder that is told a story without a kernel, and what it shows.
func unplugged(t *testing.T, args ...string) (*flightRecorder, *story, *viewed) {
	t.Helper()
	o, _, err := parseRecord(append(args, "--ring", "1m", "--before", "1h", "--after", "1h", "-w", filepath.Join(t.TempDir(), "x")))
	mustDo(t, err)
	f, err := newFlight(&env{stderr: io.Discard, getenv: func(string) string { return "" }}, o, tcp.LinkEthernet)
	mustDo(t, err)
	shown := &viewed{owners: map[string]tcp.Task{}}
	s := newStory(&options{}, nil, nil, &output{sink: shown, record: f})
	s.settled = true
	return f, s, shown
}

// incidentOf is what an incident's file shows that has just been written.
func incidentOf(t *testing.T, f *flightRecorder) *viewed {
	t.Helper()
	names, _ := filepath.Glob(f.shelf.begin + "*.pcapng")
	if len(names) != 1 {
		t.Fatalf("files: %v", names)
	}
	data, err := os.ReadFile(names[0])
	mustDo(t, err)
	r, err := record.NewReader(bufio.NewReaderSize(bytes.NewReader(data), record.BufferSize))
	mustDo(t, err)
	shown := &viewed{owners: map[string]tcp.Task{}}
	s := newStory(&options{}, nil, nil, &output{sink: shown})
	s.settled = true
	var ev tcp.Event
	for {
		if err := r.Next(&ev); err == io.EOF {
			return shown
		} else if err != nil {
			t.Fatal(err)
		}
		ev.Decode()
		mustDo(t, s.take(&ev))
	}
}

// beginsLate tells a story to a recorder whose memory begins at the event that is cut,
// and holds what it writes against what was shown from there on.
func beginsLate(t *testing.T, events []*tcp.Event, cut int) {
	t.Helper()
	f, s, live := unplugged(t, "--on", "signal")
	from := 0
	for i, ev := range events {
		if i == cut {
			mustDo(t, s.table.Infer(ev.Time, s.out.write))
			f.ring = flight.NewRing(f.mem)
			from = len(live.lines)
		}
		mustDo(t, s.take(ev))
	}
	end := events[len(events)-1].Time
	f.happens(&flight.Incident{Why: flight.Signal, Time: end})
	mustDo(t, s.table.Infer(end+int64(10*time.Minute), s.out.write))
	mustDo(t, f.close())
	back := incidentOf(t, f)
	if d := cmp.Diff(live.lines[from:], back.lines); d != "" {
		t.Errorf("from event %d of %d on, live (-) and the incident (+):\n%s", cut, len(events), d)
	}
	for i := from; i < len(live.lines) && !t.Failed(); i++ {
		if got, want := back.peers[i-from], live.peers[i]; got != want {
			t.Errorf("from event %d of %d on, %d is the peer, and not %d: %s", cut, len(events), got, want, live.lines[i])
		}
	}
	for text, task := range back.owners {
		if live.owners[text] != task {
			t.Errorf("from event %d of %d on, not %v:\n%s", cut, len(events), task, text)
		}
	}
}

// TestIncidentBeginsLate: wherever memory begins, an incident's file tells what follows
// as it was told live: states and since when, roles, ends that belong together, also where
// one had ended before, address translation, what is inferred. Nothing that was seen to begin is older than the trace.
func TestIncidentBeginsLate(t *testing.T) {
	for name, tell := range map[string]func(c, v *conntest.Socket) *conntest.Story{
		"whole": conntest.Whole, "orphan": conntest.Orphan, "given up": conntest.GivenUp, "lasting": conntest.Lasting,
		"refused": conntest.Refused, "black hole": conntest.BlackHole, "aborted": conntest.Aborted, "unanswered": conntest.Unanswered,
		"translated": func(c, _ *conntest.Socket) *conntest.Story {
			return conntest.Translated(c, tcp.Flow{Local: c.Flow.Local, Remote: conntest.Flow("10.99.0.9:8080", "").Local})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i, hosts := range []func(uint16) (*conntest.Socket, *conntest.Socket){conntest.Hosts, conntest.SameHost} {
				events := surveyed(tell(hosts(uint16(40000 + i))).Events)
				for cut := range events {
					if beginsLate(t, events, cut); t.Failed() {
						return
					}
				}
			}
		})
	}
}

// surveyed tells first of the sockets that a story does not tell to begin.
func surveyed(events []*tcp.Event) (whole []*tcp.Event) {
	met := map[uint64]bool{}
	for _, ev := range events {
		if ev.Kind != tcp.KindState || ev.Cookie == 0 || met[ev.Cookie] {
			continue
		}
		met[ev.Cookie] = true
		if e := (flight.Entry{Kind: ev.Kind, Old: ev.Old, New: ev.New}); !e.Begins() {
			whole = append(whole, &tcp.Event{Kind: tcp.KindSocket, Time: events[0].Time - int64(time.Second), Cookie: ev.Cookie, Netns: ev.Netns, Flow: ev.Flow, New: ev.Old})
		}
	}
	return append(whole, events...)
}

// TestIncidentSaysWhatStood: of the connection whose beginning has left memory the file
// says since when it is what it is, which end, and who opened it and when.
func TestIncidentSaysWhatStood(t *testing.T) {
	c, v := conntest.Hosts(40000)
	events := conntest.Whole(c, v).Events
	f, s, live := unplugged(t, "--on", "signal")
	for _, ev := range events {
		if ev.Kind == tcp.KindState && ev.New == tcp.FinWait1 {
			f.ring = flight.NewRing(f.mem)
		}
		mustDo(t, s.take(ev))
	}
	end := f.table.Find(c.Cookie)
	f.happens(&flight.Incident{Why: "reset", Time: f.last, Conn: end, Number: end.Number, Flow: end.Flow})
	mustDo(t, f.close())
	want := []string{
		"Existed in ESTABLISHED from here on, client, opened 0.100 ms before by 1234 (nc), owner 1234 (nc)",
		"Existed in ESTABLISHED from here on, server, opened 0.140 ms before",
	}
	back := incidentOf(t, f)
	if d := cmp.Diff(want, back.stood); d != "" {
		t.Errorf("want (-), the file says (+):\n%s", d)
	}
	if d := cmp.Diff(live.ends[:1], back.ends[:1]); d != "" || len(live.ends) != len(back.ends) || strings.Contains(back.ends[1], "true") { // of the server's handshake the file knows less
		t.Errorf("lives, live (-) and the incident (+):\n%s\n%s", d, back.ends)
	}
}
