package conn_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tcpstory/internal/conn"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// recorded reads a recording of the laboratory (make recordings).
func recorded(t *testing.T, file string) (events []*tcp.Event) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.NewJSONReader(bufio.NewReaderSize(bytes.NewReader(text), record.BufferSize))
	if err != nil {
		t.Fatal(err)
	}
	for {
		ev := new(tcp.Event)
		if err := r.Next(ev); err == io.EOF {
			return events
		} else if err != nil {
			t.Fatal(err)
		}
		ev.Packet.Frame = bytes.Clone(ev.Packet.Frame)
		if ev.Place != nil {
			place := *ev.Place
			ev.Place = &place
		}
		if ev.Counters != nil {
			counters := *ev.Counters
			ev.Counters = &counters
		}
		if ev.Decode(); ev.Kind != tcp.KindNone { // in a test, no time passes between events
			events = append(events, ev)
		}
	}
}

// TestRecordingsCarry: what a real kernel told is carried over at each event.
func TestRecordingsCarry(t *testing.T) {
	files, err := filepath.Glob("../record/testdata/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { carriesOver(t, conn.Options{}, recorded(t, file)) })
	}
}

// TestRecordingsAreWhole: each recorded connection whose both ends live in the
// laboratory is one conversation, of a client and a server, with numbers that fit.
func TestRecordingsAreWhole(t *testing.T) {
	files, _ := filepath.Glob("../record/testdata/*.json")
	for _, file := range files {
		table := conn.New(conn.Options{})
		roles := map[uint64]map[conn.Role]bool{}
		for _, ev := range recorded(t, file) {
			err := table.Tell(ev, func(s *conn.Step) error {
				if c := s.Conn; c != nil && c.Number != 0 {
					if roles[c.Number] == nil {
						roles[c.Number] = map[conn.Role]bool{}
					}
					roles[c.Number][c.Role] = true
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for n, r := range roles {
			if r[conn.RoleUnknown] || !r[conn.RoleListener] && !r[conn.RoleClient] {
				t.Errorf("%s: conversation %d has the roles %v", file, n, r)
			}
		}
	}
}
