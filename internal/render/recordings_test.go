package render

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/conn"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// tellRecording tells a recording of the laboratory (make recordings) to a sink,
// as -r does.
func tellRecording(t *testing.T, text []byte, older bool, sink Sink) {
	t.Helper()
	r, err := record.NewJSONReader(bufio.NewReaderSize(bytes.NewReader(text), record.BufferSize))
	if err != nil {
		t.Fatal(err)
	}
	write := func(s *conn.Step) error {
		if s.Selected {
			return sink.Write(s)
		}
		if k, ok := sink.(Keeper); ok && !s.Event.Inferred {
			return k.Keep(s.Event)
		}
		return nil
	}
	table := conn.New(conn.Options{TellOlder: older})
	var ev tcp.Event
	for err = r.Next(&ev); err == nil; err = r.Next(&ev) {
		ev.Decode()
		if ev.Kind != tcp.KindNone {
			err = table.Tell(&ev, write)
		} else if err = table.Infer(ev.Time, write); err == nil {
			if k, ok := sink.(Keeper); ok {
				err = k.Keep(&ev)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err != io.EOF || len(r.Damages()) > 0 {
		t.Fatal(err, r.Damages())
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRecordings: what was recorded on a real kernel shows in each view as it is
// written down, and as JSON the same as live, to the byte.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob("../record/testdata/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			j := NewJSON(NewWriter(&out, "the test", false))
			var scratch []byte
			j.Event = func(b []byte, ev *tcp.Event) []byte {
				b, scratch = record.AppendEvent(b, scratch, ev)
				return b
			}
			tellRecording(t, text, true, j)
			_, live, _ := strings.Cut(string(text), "\n") // less what was asked for
			if d := cmp.Diff(live, out.String()); d != "" {
				t.Errorf("live (-) and told again (+):\n%s", d)
			}
			for view, sink := range map[string]func(*Writer) Sink{
				"lines":   func(w *Writer) Sink { return NewLines(w, LineOptions{}) },
				"columns": columns(ColumnsOptions{Width: 100, Unicode: true}),
			} {
				var out bytes.Buffer
				tellRecording(t, text, false, sink(NewWriter(&out, "the test", false)))
				golden(t, "recorded-"+name+"."+view, out.String())
			}
		})
	}
}
