package timeline

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"net/netip"

	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// TestRecordings: of what a real kernel told (make recordings), less what it does
// not know yet when it tells of it, the hold makes the same again.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob("../record/testdata/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		want, raw, lacking := recorded(t, file)
		var got []*tcp.Event
		emit := func(ev *tcp.Event) error { got = append(got, clone(ev)); return nil }
		var h Hold
		for _, ev := range raw {
			if err := h.Push(ev, emit); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Flush(emit); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); d != "" || lacking == 0 {
			t.Errorf("%s, %d events that lack something: recorded (-) and held (+):\n%s", file, lacking, d)
		}
	}
}

// recorded reads a recording as it is, and as the kernel told it.
func recorded(t *testing.T, file string) (whole, raw []*tcp.Event, lacking int) {
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
		var ev tcp.Event
		if err := r.Next(&ev); err == io.EOF {
			return whole, raw, lacking
		} else if err != nil {
			t.Fatal(err)
		}
		ev.Decode()
		whole = append(whole, clone(&ev))
		c := clone(&ev)
		switch {
		case ev.Kind == tcp.KindState && ev.New == tcp.SynSent:
			c.Flow.Local = netip.AddrPortFrom(ev.Flow.Local.Addr(), 0)
			lacking++
		case ev.Kind == tcp.KindState && ev.New == tcp.SynRecv && ev.Old == tcp.Listen:
			c.ISN, c.PeerISN = 0, 0
			lacking++
		}
		raw = append(raw, c)
	}
}

func clone(ev *tcp.Event) *tcp.Event {
	c := *ev
	c.Packet.Frame = bytes.Clone(ev.Packet.Frame)
	if ev.Place != nil {
		place := *ev.Place
		c.Place = &place
	}
	if ev.Counters != nil {
		counters := *ev.Counters
		c.Counters = &counters
	}
	return &c
}
