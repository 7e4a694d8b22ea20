package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/flight"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// idle is a flight recorder to which nothing happens, and its table.
func idle(t testing.TB) (*flightRecorder, *conn.Table) {
	t.Helper()
	chosen, err := flight.Choose(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openShelf(filepath.Join(t.TempDir(), "x"), 1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	f := &flightRecorder{ring: flight.NewRing(make([]byte, 1<<20)), watch: flight.NewWatch(chosen), limit: flight.NewLimit(1), shelf: s, unpack: record.NewUnpacker()}
	table := conn.New(conn.Options{})
	f.starts(table)
	return f, table
}

// round plays two hosts' healthy connection, in other moments each time.
func round(t testing.TB, f *flightRecorder, table *conn.Table, events []*tcp.Event) {
	for _, ev := range events {
		ev.Time += int64(2 * conn.DefaultLinger) // for the table to forget the last round
		if err := f.write(table.Apply(ev)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFlightDoesNotAllocate: to keep an event costs no memory but the ring's.
func TestFlightDoesNotAllocate(t *testing.T) {
	f, table := idle(t)
	events := conntest.Whole(conntest.Hosts(80)).Events
	for range 100 {
		round(t, f, table, events)
	}
	if n := testing.AllocsPerRun(100, func() { round(t, f, table, events) }); n > 0 {
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}

// BenchmarkFlight is what keeping one event in memory costs, BenchmarkTable what
// finding its place has cost before.
func BenchmarkFlight(b *testing.B) {
	f, table := idle(b)
	events := conntest.Whole(conntest.Hosts(80)).Events
	b.ReportAllocs()
	for b.Loop() {
		round(b, f, table, events)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}

func BenchmarkTable(b *testing.B) {
	table := conn.New(conn.Options{})
	events := conntest.Whole(conntest.Hosts(80)).Events
	for b.Loop() {
		for _, ev := range events {
			ev.Time += int64(2 * conn.DefaultLinger)
			table.Apply(ev)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}

// TestIncidentFollowsNoLink: a link that somebody lays where an incident's file is about
// to be made, in a directory that others may write to, costs the incident and not what
// the link leads to.
func TestIncidentFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	theirs, link := filepath.Join(dir, "theirs"), filepath.Join(dir, "x-1.pcapng")
	mustDo(t, os.WriteFile(theirs, []byte("theirs"), 0o600))
	mustDo(t, os.Symlink(theirs, link))
	out := &files{path: link, fresh: true}
	if _, err := out.open(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("opened: %v", err)
	}
	if text, err := os.ReadFile(theirs); string(text) != "theirs" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestShelfLeavesOthersAlone: a file that has an incident's name and is somebody else's,
// or is none, is neither removed nor counted.
func TestShelfLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	names := [...]string{"20200101-000000.000-reset", "20200101-000000.001-reset", "20200101-000000.002-reset"}
	for i := range names {
		names[i] = filepath.Join(dir, "incident-"+names[i]+".pcapng")
	}
	ours, theirs, link := names[0], names[1], names[2]
	mustDo(t, os.WriteFile(ours, make([]byte, 10), 0o600))
	mustDo(t, os.WriteFile(theirs, make([]byte, 1000), 0o600))
	mustDo(t, os.Chown(theirs, 65534, 65534))
	mustDo(t, os.Symlink(theirs, link))
	s, err := openShelf(dir, 500, 10)
	mustDo(t, err)
	if s.total != 10 || len(s.old) != 1 || s.old[0].name != ours {
		t.Errorf("%+v", s)
	}
	if ok, err := s.claim(495); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	mustDo(t, s.close())
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// TestMatchIsOn: --match is a trigger beside those of --on, and switches none off.
func TestMatchIsOn(t *testing.T) {
	for _, c := range []struct {
		args  string
		match bool
		reset bool
	}{
		{"--match tcp --on timeout", true, false},
		{"--match tcp --on timeout,match", true, false},
		{"--match tcp", true, true},
		{"--on timeout", false, false},
	} {
		o, _, err := parseRecord(append(strings.Fields(c.args), "--ring", "4m", "-w", t.TempDir()))
		mustDo(t, err)
		if o.chosen.On(flight.Match) != c.match || o.chosen.On("reset") != c.reset || !o.chosen.On(flight.Signal) {
			t.Errorf("%s: %+v", c.args, o.chosen)
		}
	}
}
