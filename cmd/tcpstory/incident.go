package main

import (
	"fmt"
	"strings"

	"tcpstory/internal/conn"
	"tcpstory/internal/flight"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// incident is one that is being written: its part of the past, and what follows, go
// through a table of its own into its file, as reading the file will do it.
type incident struct {
	f       *flightRecorder
	name    string // of the file
	title   string // for people
	verdict bool   // it is about one of why's
	window  bool   // it is everything from some time on
	at      int64
	from    int64
	until   int64
	numbers map[uint64]bool // of the conversation
	ends    map[uint64]bool // cookies of its sockets
	conns   []*conn.Conn    // its sockets, while it begins
	story   *story
	rec     *recorder
	claimed int64 // of the shelf
}

// begin opens an incident's file.
func (f *flightRecorder) begin(i *flight.Incident) (*incident, error) {
	in := &incident{
		f: f, name: f.shelf.name(i), title: title(i), at: i.Time, until: i.Time + int64(f.o.after),
		numbers: map[uint64]bool{}, ends: map[uint64]bool{}, verdict: strings.HasPrefix(i.Why, flight.RulePrefix),
	}
	c := i.Conn
	if c == nil && i.Cookie != 0 {
		c = f.table.Find(i.Cookie)
	}
	if i.Number == 0 || f.o.window {
		in.window, in.from = true, i.Time-int64(f.o.before)
	} else {
		in.numbers[i.Number] = true
		if i.Cookie != 0 {
			in.ends[i.Cookie] = true
		}
		if in.join(c); c != nil {
			in.join(c.Peer)
		}
	}
	out := &files{path: in.name, fresh: true}
	file, err := out.open()
	if err != nil {
		return nil, err
	}
	in.rec = &recorder{w: record.NewWriter(file, f.about, rowKinds[f.o.rows]), files: out}
	as := *f.o
	as.replays = true
	in.story = newStory(&as, f.could, f.o.whose(), &output{sink: nowhere{}, record: in.rec})
	return in, nil
}

// title says in a line what has happened, and to whom.
func title(i *flight.Incident) string {
	if !i.Flow.Local.IsValid() && !i.Flow.Remote.IsValid() {
		return i.Why
	}
	return fmt.Sprintf("%s, %s > %s", i.Why, i.Flow.Local, i.Flow.Remote)
}

func (in *incident) join(c *conn.Conn) {
	if c == nil {
		return
	}
	in.conns = append(in.conns, c)
	if c.Number != 0 {
		in.numbers[c.Number] = true
	}
	if c.Cookie != 0 {
		in.ends[c.Cookie] = true
	}
}

// isAbout reports whether an entry belongs to the incident.
func (in *incident) isAbout(e *flight.Entry) bool {
	return e.Common() || in.window && e.Time >= in.from || e.Conn != 0 && in.numbers[e.Conn] || e.Cookie != 0 && in.ends[e.Cookie]
}

// take writes one event.
func (in *incident) take(ev *tcp.Event) error {
	if err := in.story.take(ev); err != nil {
		return err
	}
	return in.claim()
}

// claimStep is how much room is claimed at a time: with what is in a block to come
// and the file's end, a file stays below what it has claimed.
const claimStep = 256 << 10

// claim sees to it that the file stays within --keep.
func (in *incident) claim() error {
	if in.rec.w.Size()+claimStep/4 < in.claimed {
		return nil
	}
	step := min(claimStep, max(in.f.shelf.most/8, claimStep/8))
	ok, err := in.f.shelf.claim(step)
	switch {
	case err != nil:
		return err
	case !ok:
		return errCut
	}
	in.claimed += step
	return nil
}
