package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/kernel"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
	"tcpstory/internal/timeline"
)

// TestRecorderDoesNotAllocate: the whole way from an event to the file's buffer.
func TestRecorderDoesNotAllocate(t *testing.T) {
	round, events := recorderRound(t)
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations for %d events", n, events)
	}
}

// recorderRound is two hosts' healthy connection, recorded to nowhere, in other moments
// each time, and how many events that is.
func recorderRound(t testing.TB) (round func(), n int) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	table := conn.New(conn.Options{})
	f := &files{path: "-", stdout: null}
	file, err := f.first(0)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{w: record.NewWriter(file, record.About{}, record.RowsJournal), files: f, table: table}
	events := conntest.Whole(conntest.Hosts(80)).Events
	return func() {
		for _, ev := range events {
			ev.Time += int64(2 * conn.DefaultLinger) // for the table to forget the last round
			if err := r.write(table.Apply(ev)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.flush(); err != nil {
			t.Fatal(err)
		}
	}, len(events)
}

// BenchmarkRecorder is what recording one event costs, its place in the table found
// (BenchmarkTable) included.
func BenchmarkRecorder(b *testing.B) {
	round, events := recorderRound(b)
	b.ReportAllocs()
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

// pausing is a source of one event, after which nothing comes for a while.
type pausing struct {
	ev    *tcp.Event
	waits int
}

func (p *pausing) Read(ev *tcp.Event) error {
	switch {
	case p.ev != nil:
		*ev, p.ev = *p.ev, nil
		return nil
	case p.waits > 0:
		return kernel.ErrIdle
	}
	return io.EOF
}

func (p *pausing) Wait() error {
	p.waits--
	time.Sleep(timeline.HoldLimit)
	return nil
}

func (*pausing) FindOwners(func(uint64) bool) error { return nil }
func (*pausing) MayFindOwners() bool                { return false }

// TestPauseIsRecorded: that something was inferred because time passed (here that a
// request socket has given up) stands in the recording, and not that nothing was.
func TestPauseIsRecorded(t *testing.T) {
	f := &files{path: filepath.Join(t.TempDir(), "story")}
	file, err := f.first(0)
	if err != nil {
		t.Fatal(err)
	}
	out := &output{sink: nowhere{}, record: &recorder{w: record.NewWriter(file, record.About{}, record.RowsJournal), files: f}}
	again := &tcp.Event{Seq: 1, Time: time.Now().UnixNano(), Kind: tcp.KindSynAckAgain, New: tcp.NewSynRecv, Netns: 1,
		Flow: conntest.Flow("10.0.0.2:80", "10.0.0.1:1024"), Retransmit: tcp.Retransmit{Count: 1},
		Timer: tcp.Timer{Tick: time.Millisecond, Now: 1000, Expires: 1010}}
	if err := newStory(&options{}, nil, nil, out).follow(&pausing{ev: again, waits: 12}); err != nil {
		t.Fatal(err)
	}
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(f.path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, err := record.NewReader(bufio.NewReaderSize(in, record.BufferSize))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []tcp.Kind
	var ev tcp.Event
	for r.Next(&ev) == nil {
		kinds = append(kinds, ev.Kind)
	}
	if len(kinds) != 2 || kinds[0] != tcp.KindSynAckAgain || kinds[1] != tcp.KindNone || ev.Time-again.Time < int64(10*time.Millisecond) {
		t.Errorf("recorded: %v, the last after %v", kinds, time.Duration(ev.Time-again.Time))
	}
}
