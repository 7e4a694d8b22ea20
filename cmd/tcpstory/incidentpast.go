package main

import (
	"cmp"
	"slices"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/flight"
	"tcpstory/internal/tcp"
)

// tellPast writes what memory has of the incident: first the sockets that were there
// when that begins.
func (in *incident) tellPast() error {
	if in.window {
		in.f.table.Ends(func(c *conn.Conn) {
			if !c.PassedOver() {
				in.conns = append(in.conns, c)
			}
		})
	}
	if err := in.tellStanding(); err != nil {
		return err
	}
	in.conns = nil
	var ev tcp.Event
	return in.f.ring.All(func(e *flight.Entry) error {
		if !in.isAbout(e) || e.Silent() {
			return nil
		}
		if err := in.f.unpack.Unpack(&ev, e.Row); err != nil {
			return err
		}
		ev.Decode()
		return in.take(&ev)
	})
}

// endKey is how an end is known in memory: by its cookie, or where it has none, a
// request socket, by its conversation.
type endKey struct{ cookie, conversation uint64 }

func keyOf(cookie, conversation uint64) endKey {
	if cookie != 0 {
		conversation = 0
	}
	return endKey{cookie, conversation}
}

// past is what memory says of the time before it.
type past struct {
	begins int64           // when it has something about the incident first
	met    map[endKey]bool // ends of which it has a transition
	first  []flight.Entry  // the first one each, where that is not the end's beginning
	acts   map[endKey]bool // ends of which it has who uses them
	halves []flight.Entry  // children's first transition, where memory has their beginning, and not their request socket's
	again  map[endKey]bool // half-open ones that it shows to be so, though not since when
	about  map[uint64]bool // conversations of which it has anything
	conns  map[endKey]*conn.Conn
}

// look goes through what memory has about the incident.
func (in *incident) look() (*past, error) {
	p := &past{met: map[endKey]bool{}, acts: map[endKey]bool{}, again: map[endKey]bool{}, about: map[uint64]bool{}, conns: map[endKey]*conn.Conn{}}
	err := in.f.ring.All(func(e *flight.Entry) error {
		if !in.isAbout(e) || e.Common() {
			return nil
		}
		if p.begins == 0 {
			p.begins = e.Time
		}
		in.numbers[e.Conn] = in.numbers[e.Conn] || !in.window && e.Conn != 0
		p.about[e.Conn] = true
		p.meets(e, keyOf(e.Cookie, e.Conn))
		return nil
	})
	if p.begins == 0 {
		p.begins = in.at
	}
	return p, err
}

func (p *past) meets(e *flight.Entry, key endKey) {
	switch {
	case key == endKey{}:
		return
	case e.Kind == tcp.KindSynAckAgain:
		p.again[key] = true
	case e.Kind == tcp.KindOwner, e.Kind == tcp.KindState:
		p.acts[key] = true
	}
	switch {
	case !e.Moves():
	case p.met[key]:
		if e.Kind == tcp.KindState && e.Then.Embryo && !p.shows(e.Then.Since, key) {
			p.halves = append(p.halves, keptEntry(e))
		}
	case e.Begins(), e.Kind == tcp.KindNone && e.Old == tcp.SynRecv && p.shows(e.Then.Since, key):
		p.met[key] = true
	default:
		p.met[key] = true
		p.first = append(p.first, keptEntry(e))
	}
}

// keptEntry copies an entry, which is valid for a while only.
func keptEntry(e *flight.Entry) flight.Entry {
	kept := *e
	kept.Row = slices.Clone(e.Row)
	return kept
}

// shows reports that memory has the SYN-ACK by which a request socket is known.
func (p *past) shows(since int64, key endKey) bool {
	return since >= p.begins || since == 0 && p.again[key]
}

// bygone is an end as it stood when memory begins.
type bygone struct {
	conn  *conn.Conn // nil: forgotten
	half  bool       // it is conn's request socket
	over  bool       // it had ended before
	then  conn.Then
	event tcp.Event
	known tcp.Known
}

// tellStanding writes the ends that memory does not show beginning, as what existed:
// in the state that their first transition leaves, or, without any, in which they
// still are.
func (in *incident) tellStanding() error {
	p, err := in.look()
	if err != nil {
		return err
	}
	var all []bygone
	for _, c := range in.conns {
		key := keyOf(c.Cookie, c.Number)
		if p.conns[key] = c; key == (endKey{}) || p.met[key] {
			continue
		}
		if over := in.over(p, c); over || p.stood(c, key) {
			all = append(all, bygone{conn: c, over: over, then: c.Stands()})
		}
	}
	for i := range p.first {
		s, err := in.left(p, &p.first[i])
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	for i := range p.halves {
		s, err := in.left(p, &p.halves[i])
		if err != nil {
			return err
		}
		s.half, s.then.Small, s.then.Due = true, true, p.halves[i].Time+int64(time.Second)
		all = append(all, s)
	}
	in.describe(p, all)
	if err := in.take(in.f.table.Before(p.begins)); err != nil {
		return err
	}
	return in.tellAll(all)
}

// stood reports that c, of which memory has no transition, stood when it begins.
func (p *past) stood(c *conn.Conn, key endKey) bool {
	if c.IsSmall() && c.State == tcp.SynRecv {
		return !p.shows(c.Since, key)
	}
	return c.IsSmall() || c.Socket && c.Closed == 0
}

// over reports that c had ended when memory begins, and that something of its
// conversation is told: late packets, or what the other end does.
func (in *incident) over(p *past, c *conn.Conn) bool {
	return c.State == tcp.Close && !c.IsSmall() && (!in.window || p.about[c.Number])
}

// left is how an end stood that its first transition in memory tells of.
func (in *incident) left(p *past, e *flight.Entry) (s bygone, err error) {
	if s.conn = p.conns[keyOf(e.Cookie, e.Conn)]; s.conn == nil && e.Cookie != 0 {
		s.conn = in.f.table.Find(e.Cookie)
	}
	s.then = conn.Then{State: e.Old, Since: e.Then.Since, Embryo: e.Then.Embryo}
	if e.Kind == tcp.KindNone {
		s.then.Small, s.then.Due, s.then.Why = true, e.Time, e.Then.From
	}
	if e.Silent() { // an event ends it, and no timer before that
		s.then.Due, s.then.Why = e.Time+int64(time.Second), conn.GroundNone
	}
	if s.then.Since > p.begins { // it has come to that in between, as an orphan does to TIME_WAIT
		if s.then.Since = 0; s.then.Small {
			s.then.State = tcp.FinWait2
		}
	}
	if s.conn != nil {
		return s, nil
	}
	var ev tcp.Event
	if err := in.f.unpack.Unpack(&ev, e.Row); err != nil {
		return s, err
	}
	s.known = tcp.Known{Role: uint8(e.Then.Role)}
	if e.Then.Older {
		s.known.Marks = tcp.MarkOlder
	}
	forgotten := conn.Conn{Cookie: ev.Cookie, Netns: ev.Netns, Flow: ev.Flow, Cgroup: ev.Cgroup, Role: e.Then.Role, Older: e.Then.Older}
	forgotten.Stood(s.then, nil, &s.event, &s.known)
	return s, nil
}

// describe completes what is told of each, and puts them in the order of their times:
// since when each is known to have been in its state, and where that is not known,
// when memory begins.
func (in *incident) describe(p *past, all []bygone) {
	ids := map[*conn.Conn]uint32{}
	for i := range all {
		if c := all[i].conn; c != nil && !all[i].half {
			ids[c] = uint32(i + 1)
		}
	}
	for i := range all {
		s := &all[i]
		if c := s.conn; c != nil {
			if s.over {
				in.f.table.Over(c, ids, &s.event, &s.known)
			} else {
				c.Stood(s.then, ids, &s.event, &s.known)
			}
			if c.Met >= p.begins {
				s.known.Opener = tcp.Task{}
			}
			if c.Met >= p.begins || p.acts[keyOf(c.Cookie, c.Number)] && c.Task.PID != c.Opener.PID { // who had it then is not known
				s.event.Task = tcp.Task{}
			}
			if s.event.Via = c.Via; p.acts[keyOf(c.Cookie, c.Number)] || !s.event.Task.Known() { // how it is known now is not how it was then
				s.event.Via = tcp.ViaUnknown
			}
		}
		if s.half {
			s.event.Cookie, s.known.ID = 0, 0
		}
		if s.event.Time = s.then.Since; s.event.Time == 0 {
			if s.event.Time = p.begins; s.conn != nil && s.then == s.conn.Stands() && s.conn.OlderThanTrace() {
				s.event.Time = min(s.conn.Opened, p.begins)
			}
		}
		if !in.window && !s.over {
			s.known.Marks |= tcp.MarkTold
		}
		s.event.Known = &s.known
	}
	slices.SortStableFunc(all, func(a, b bygone) int { return cmp.Compare(a.event.Time, b.event.Time) })
}

// tellAll writes what existed: names of places first.
func (in *incident) tellAll(all []bygone) error {
	for i := range all {
		if all[i].conn == nil {
			continue
		}
		for _, ev := range places(all[i].conn) {
			ev.Time = all[0].event.Time
			if err := in.take(&ev); err != nil {
				return err
			}
		}
	}
	for i := range all {
		all[i].event.Known = &all[i].known // sorting has moved it
		if err := in.take(&all[i].event); err != nil {
			return err
		}
	}
	return nil
}

// places are what a connection's namespace and cgroup are called.
func places(c *conn.Conn) (events []tcp.Event) {
	if p := c.Namespace; p != nil && *p != (tcp.Place{}) {
		events = append(events, tcp.Event{Kind: tcp.KindPlace, Netns: c.Netns, Place: p})
	}
	if p := c.Home; p != nil && *p != (tcp.Place{}) {
		events = append(events, tcp.Event{Kind: tcp.KindPlace, Cgroup: c.Cgroup, Place: p})
	}
	return events
}
