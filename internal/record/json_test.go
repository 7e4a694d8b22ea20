package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tcpstory/internal/tcp"
)

// inJSON is a story in JSON: its beginning, and some events.
func inJSON(t testing.TB, about *About, events ...*tcp.Event) []byte {
	t.Helper()
	text, err := AppendAbout([]byte(`{"kind":"trace","trace":`), about)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "}\n"...)
	var scratch []byte
	for _, ev := range events {
		text, scratch = AppendEvent(append(text, `{"kind":"hidden","event":`...), scratch, ev)
		text = append(text, "}\n"...)
	}
	return text
}

func readJSON(t testing.TB, text []byte) (events []*tcp.Event, r *JSONReader) {
	t.Helper()
	r, err := NewJSONReader(bufio.NewReaderSize(bytes.NewReader(text), BufferSize))
	if err != nil {
		t.Fatal(err)
	}
	for {
		ev := new(tcp.Event)
		if err := r.Next(ev); err == io.EOF {
			return events, r
		} else if err != nil {
			t.Fatal(err)
		}
		events = append(events, clone(ev))
	}
}

// TestEveryFieldInJSON: each field of an event survives, of any kind, alone and
// among all others, with values that have a name and with others.
func TestEveryFieldInJSON(t *testing.T) {
	full := every(t)
	var events []*tcp.Event
	for kind := tcp.KindNone; kind < 32; kind++ {
		ev := clone(full)
		if ev.Kind = kind; kind == tcp.KindPacket {
			ev.Packet.Link, ev.Packet.Frame = tcp.LinkEthernet, frame
			ev.Decode()
		}
		events = append(events, ev)
	}
	for _, path := range leaves(reflect.ValueOf(full).Elem(), nil) {
		ev := new(tcp.Event)
		put(reflect.ValueOf(ev).Elem(), reflect.ValueOf(full).Elem(), path)
		ev.Kind = tcp.KindDrop
		events = append(events, ev)
	}
	for v := range uint8(20) {
		events = append(events, &tcp.Event{Kind: tcp.KindState, Old: tcp.State(v), New: tcp.State(v + 200), Via: tcp.Via(v),
			Retransmit: tcp.Retransmit{Again: tcp.RetransmitKind(v)}, Gap: tcp.Gap{Cause: tcp.GapCause(v)}, Packet: tcp.Packet{Dir: tcp.Direction(v)}})
	}
	for _, name := range []string{"\xff\x00\x1b[31m", `a"b\c`, "日本語", "=x", " ", "plain"} {
		ev := &tcp.Event{Kind: tcp.KindOwner, Reason: name, Place: &tcp.Place{Name: name, Path: name}}
		copy(ev.Task.Comm[:], strings.TrimRight(name, "\x00"))
		ev.Task.PID = 1
		events = append(events, ev)
	}
	text := inJSON(t, &About{}, events...)
	for line := range bytes.Lines(text) {
		if !json.Valid(line) || bytes.ContainsFunc(bytes.TrimSuffix(line, []byte("\n")), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("not plain JSON: %q", line)
		}
	}
	got, r := readJSON(t, text)
	for _, ev := range got {
		if ev.Kind == tcp.KindPacket {
			ev.Decode()
		}
	}
	if d := cmp.Diff(events, got, addrPort); d != "" || len(r.Damages()) > 0 {
		t.Errorf("%v\n%s", r.Damages(), d)
	}
}

// TestEveryMemberHasAName: and only one.
func TestEveryMemberHasAName(t *testing.T) {
	doc, err := os.ReadFile("../../doc/RECORDING.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for tag := tagNone + 1; tag < tagEnd; tag++ {
		name := names[tag].name
		if name == "" || seen[name] {
			t.Errorf("member %d is called %q", tag, name)
		}
		seen[name] = true
		if !bytes.Contains(doc, []byte("`"+name+"`")) {
			t.Errorf("doc/RECORDING.md does not tell of `%s`", name)
		}
	}
}

// TestAboutInJSON: each member of what a story begins with survives, both ways.
func TestAboutInJSON(t *testing.T) {
	about := &About{Program: "p", OS: "o", Hardware: "h", Link: 276, Expr: `tcp[tcpflags] & tcp-syn != 0 and len < 9 or "x"`, PIDs: []uint32{1, 2},
		Comms: []string{"a", "b"}, Cgroups: []string{"/c"}, NoStates: true, NoPackets: true, Count: 5, From: &About{Expr: "port 80"}}
	v := reflect.ValueOf(*about)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not tested", v.Type().Field(i).Name)
		}
	}
	_, r := readJSON(t, inJSON(t, about))
	if d := cmp.Diff(*about, r.About()); d != "" {
		t.Errorf("JSON:\n%s", d)
	}
	about.From = nil // which no recording has
	var file bytes.Buffer
	if err := NewWriter(&file, *about, RowsNone).End(); err != nil {
		t.Fatal(err)
	}
	_, b := readAll(t, file.Bytes())
	if d := cmp.Diff(*about, b.About()); d != "" {
		t.Errorf("pcapng:\n%s", d)
	}
}

// TestJSONDamage: what is no event is passed over, and told by its lines; events
// behind it are read.
func TestJSONDamage(t *testing.T) {
	events := story(t)
	text := inJSON(t, &About{}, events...)
	lines := slices.Collect(bytes.Lines(text))
	for what, c := range map[string]struct {
		text []byte
		lost int
		said []string
	}{
		"whole":           {text, 0, nil},
		"no beginning":    {bytes.Join(lines[1:], nil), 0, nil},
		"no last newline": {text[:len(text)-1], 0, nil},
		"cut":             {text[:len(text)-9], 1, []string{"the file is cut off: its last line, 13, is not whole"}},
		"empty lines":     {bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n\n")), 0, nil},
		"inferred":        {slices.Concat(text, []byte(`{"kind":"state","inferred":true}`)), 0, nil},
		"joined":          {slices.Concat(text[:len(text)-len(lines[12])], lines[0], lines[12]), 0, nil},
		"foreign": {slices.Concat(lines[0], []byte("{\"kind\":\"state\"}\n[]\n"), bytes.Join(lines[1:], nil)), 0,
			[]string{"lines 2 to 3 hold no event, and were passed over"}},
		"noise": {slices.Concat(lines[0], lines[1], []byte("\x00\xff\n"), bytes.Join(lines[2:], nil)), 0,
			[]string{"line 3 holds no event, and was passed over"}},
		"bad member": {bytes.Replace(text, []byte(`"old":"CLOSE"`), []byte(`"old":"CLOSED"`), 1), 1,
			[]string{"line 2 holds no event, and was passed over"}},
		"too long": {slices.Concat(lines[0], bytes.Repeat([]byte("x"), BufferSize+1), []byte("\n"), bytes.Join(lines[1:], nil)), 0,
			[]string{"line 2 holds no event, and was passed over"}},
		"a later member": {bytes.ReplaceAll(text, []byte(`"event":{`), []byte(`"event":{"colour":{"red":[1]},`)), 0, nil},
	} {
		got, r := readJSON(t, c.text)
		var said []string
		for _, d := range r.Damages() {
			said = append(said, d.String())
		}
		if !slices.Equal(said, c.said) || len(got) != len(events)-c.lost {
			t.Errorf("%s: %d of %d events, %q", what, len(got), len(events), said)
		}
		if c.lost == 0 && !cmp.Equal(events, decoded(got), addrPort) {
			t.Errorf("%s: other events", what)
		}
	}
}

// TestJSONOfOthers: lines that might follow from events, and no event, are no story.
func TestJSONOfOthers(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "",
		`{"kind":"verdict"}`: "line 1 holds no event, and was passed over",
		"{\"kind\":\"verdict\"}\n{\"kind\":\"state\",\"inferred\":true}\n": "lines 1 to 2 hold no event, and were passed over",
		string(inJSON(t, &About{})):                                        "",
	} {
		got, r := readJSON(t, []byte(text))
		said := ""
		for _, d := range r.Damages() {
			said += d.String()
		}
		if len(got) != 0 || said != want {
			t.Errorf("%q: %d events, %q", text, len(got), said)
		}
	}
}

// TestEveryPrefixOfJSON reads up to its last whole line.
func TestEveryPrefixOfJSON(t *testing.T) {
	text := inJSON(t, &About{Expr: "port 80"}, story(t)[:3]...)
	read := 0
	for n := range text {
		got, r := readJSON(t, text[:n])
		if len(got) < read || len(r.Damages()) > 1 {
			t.Fatalf("%d bytes: %d events after %d, %v", n, len(got), read, r.Damages())
		}
		read = len(got)
	}
}

// FuzzJSONReader: no text makes the reader fail, hang or give what it would not
// write the same.
func FuzzJSONReader(f *testing.F) {
	text := inJSON(f, &About{Expr: "port 80"}, story(f)...)
	f.Add(text)
	for line := range bytes.Lines(text) {
		f.Add(line)
	}
	f.Add([]byte(`{"event":{"type":"place","place":true,"place_name_base64":"/w==","local":":80","old":77}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		in := buffers.Get().(*bufio.Reader)
		defer buffers.Put(in)
		in.Reset(bytes.NewReader(text))
		r, err := NewJSONReader(in)
		if err != nil {
			t.Fatal(err)
		}
		var ev tcp.Event
		for err == nil {
			if err = r.Next(&ev); err == nil {
				again, _ := AppendEvent(nil, nil, &ev)
				got, _ := readJSON(t, slices.Concat([]byte(`{"event":`), again, []byte("}\n")))
				if len(got) != 1 || !cmp.Equal(&ev, got[0], addrPort, cmpopts.EquateEmpty()) {
					t.Fatalf("%s came back as %+v", again, got)
				}
			}
		}
		if err != io.EOF {
			t.Fatal(err)
		}
	})
}

// TestJSONNoAllocation: writing events costs no memory.
func TestJSONNoAllocation(t *testing.T) {
	events := story(t)
	var text, scratch []byte
	if n := testing.AllocsPerRun(100, func() {
		for _, ev := range events {
			text, scratch = AppendEvent(text[:0], scratch, ev)
		}
	}); n > 0 {
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	events := story(b)
	var text, scratch []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		text, scratch = AppendEvent(text[:0], scratch, events[i%2])
	}
}

func BenchmarkReadJSON(b *testing.B) {
	text := bytes.Repeat(inJSON(b, &About{}, story(b)...), 1000)
	var ev tcp.Event
	var r *JSONReader
	b.ReportAllocs()
	for b.Loop() {
		if r == nil || r.Next(&ev) == io.EOF {
			r, _ = NewJSONReader(bufio.NewReaderSize(bytes.NewReader(text), BufferSize))
		}
	}
}
