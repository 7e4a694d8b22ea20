package main

import (
	"os"
	"testing"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/record"
)

// TestRecorderDoesNotAllocate: the whole way from an event to the file's buffer.
func TestRecorderDoesNotAllocate(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	table := conn.New(conn.Options{})
	f := &files{path: "-", stdout: null}
	file, err := f.first(0)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{w: record.NewWriter(file, record.About{}, record.RowsJournal), files: f, table: table}
	events := conntest.Whole(conntest.Hosts(80)).Events
	round := func() {
		for _, ev := range events {
			ev.Time += int64(2 * conn.DefaultLinger) // for the table to forget the last round
			if err := r.write(table.Apply(ev)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.flush(); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}
