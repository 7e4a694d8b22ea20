package render

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

func newJSON(w *Writer) Sink { return NewJSON(w) }

// newWholeJSON begins a story, and keeps something besides.
func newWholeJSON(w *Writer) Sink {
	j := NewJSON(w)
	j.Event = func(b []byte, ev *tcp.Event) []byte {
		return append(b, `{"seq":`+strconv.FormatUint(ev.Seq, 10)+`}`...)
	}
	_ = j.Begin([]byte("{}"))
	_ = j.Keep(&tcp.Event{Seq: 7})
	return j
}

// TestJSONKeeps: what was asked for comes first, and each line that shows an event
// of the kernel's or of the wire's has it whole.
func TestJSONKeeps(t *testing.T) {
	c, v := conntest.Hosts(40000)
	out := tell(t, newWholeJSON, conntest.Whole(c, v))
	objects := parseLines(t, out)
	if !strings.HasPrefix(out, `{"kind":"trace","trace":{}}`+"\n"+`{"kind":"hidden","event":{"seq":7}}`+"\n") {
		t.Errorf("it begins\n%.200s", out)
	}
	for _, m := range objects[2:] {
		event, whole := m["event"].(map[string]any)
		if inferred := m["inferred"] == true; whole == inferred || whole && event["seq"] != m["seq"] {
			t.Errorf("inferred %v, event %v", inferred, event)
		}
	}
}

// parseLines parses every line as one object.
func parseLines(t testing.TB, out string) (objects []map[string]any) {
	t.Helper()
	sc := bufio.NewScanner(strings.NewReader(out))
	for sc.Scan() {
		dec := json.NewDecoder(strings.NewReader(sc.Text()))
		dec.UseNumber()
		var m map[string]any
		if err := dec.Decode(&m); err != nil || dec.More() {
			t.Fatalf("%s: %v", sc.Text(), err)
		}
		objects = append(objects, m)
	}
	return objects
}

func TestJSONFieldsAreDocumentedAndUsed(t *testing.T) {
	seen := map[string]bool{}
	out := tell(t, newWholeJSON, append(stories(), everything(), whose(), unsent())...)
	for _, m := range parseLines(t, out) {
		for k := range m {
			seen[k] = true
		}
	}
	for _, f := range JSONFields {
		if f.Type == "" || f.Text == "" {
			t.Errorf("%s is not described", f.Name)
		}
		if strings.ToLower(f.Name) != f.Name || strings.ContainsAny(f.Name, " -") {
			t.Errorf("%s is not snake case", f.Name)
		}
		if !seen[f.Name] {
			t.Errorf("no story writes %s", f.Name)
		}
		delete(seen, f.Name)
	}
	for k := range seen {
		t.Errorf("%s is written but not listed", k)
	}
}

// everything has the members that the other stories do not.
func everything() *conntest.Story {
	c, v := conntest.Hosts(40020)
	s := conntest.New()
	s.Gets(c, conntest.Header{Flags: conntest.A, Seq: 1, Ack: 2, Options: conntest.Sack})
	p := &s.Events[0].Packet
	p.Frame = append(append(append([]byte{}, p.Frame[:12]...), 0x88, 0xa8, 0, 7, 0x81, 0, 0x20, 42), p.Frame[12:]...)
	p.Length, p.Ifindex = p.Length+8, 3
	p.Decode()
	s.Kernel(v, tcp.KindDrop, conntest.By(conntest.NC))
	s.Kernel(c, tcp.KindSocketError, conntest.Errno(113))
	s.Events[len(s.Events)-1].Soft = true
	return s
}

// whose tells whose sockets they are.
func whose() *conntest.Story {
	c, v := conntest.Hosts(40021)
	s := conntest.Whole(c, v)
	s.Kernel(v, tcp.KindOwner, conntest.By(conntest.Nginx), conntest.Through(tcp.ViaRead))
	s.Kernel(v, tcp.KindOwner, conntest.By(conntest.NC), conntest.Through(tcp.ViaWrite))
	old, _ := conntest.Hosts(40022)
	s.Kernel(old, tcp.KindSocket, conntest.By(conntest.NC), conntest.Through(tcp.ViaHeld), conntest.Now(tcp.Established))
	last := s.Events[len(s.Events)-1]
	last.Cgroup = 4711
	last.Counters = &tcp.Counters{BytesAcked: 1, BytesReceived: 2, SegsOut: 3, SegsIn: 4, Retransmits: 5, SRTT: 6, Backlog: 7, MaxBacklog: 8}
	s.Add(&tcp.Event{Kind: tcp.KindPlace, Netns: old.Netns, Place: &tcp.Place{Name: "blue"}})
	s.Add(&tcp.Event{Kind: tcp.KindPlace, Cgroup: 4711, Place: &tcp.Place{Name: "web", Path: "/docker/abc", Container: "abc", Runtime: "docker"}})
	s.State(old, tcp.Established, tcp.CloseWait)
	before, _ := conntest.Hosts(40024) // of an incident
	s.Kernel(before, tcp.KindSocket, conntest.Now(tcp.Established))
	s.Events[len(s.Events)-1].Known = &tcp.Known{Role: uint8(conn.RoleClient), Since: conntest.Start - 1, Opened: conntest.Start - 2, Marks: tcp.MarkTold}
	return s
}

// unsent are attempts that fail before a SYN.
func unsent() *conntest.Story {
	c, _ := conntest.Hosts(40023)
	s := conntest.NoPort(c, true)
	s.Events = append(s.Events, conntest.NoRoute(c).Events...)
	return s
}

func TestJSONValues(t *testing.T) {
	c, v := conntest.Hosts(40000)
	objects := parseLines(t, tell(t, newJSON, conntest.Whole(c, v), everything()))
	pick := func(i int, names ...string) []any {
		var out []any
		for _, n := range names {
			switch v := objects[i][n].(type) {
			case json.Number:
				out = append(out, v.String())
			default:
				out = append(out, v)
			}
		}
		return out
	}
	for _, tc := range []struct{ got, want []any }{
		{pick(0, "seq", "time", "time_ns", "kind", "conn"), []any{"1", "2026-11-23T12:00:00.000000000Z", "1795435200000000000", "state", "1"}},
		{pick(0, "old_state", "new_state", "in_state_us", "pid", "comm", "role"), []any{"CLOSE", "SYN_SENT", nil, "1234", "nc", "client"}},
		{pick(0, "local_addr", "local_port", "remote_addr", "remote_port"), []any{"10.77.0.1", "40000", "10.77.0.2", "80"}},
		{pick(1, "kind", "direction", "outgoing", "device", "flags", "tcp_seq", "tcp_ack"), []any{"packet", "Out", true, "veth0", "S", "1000", nil}},
		{pick(1, "mss", "wscale", "sack_ok", "ts_val", "ts_ecr"), []any{"1460", "7", true, "1000", "0"}},
		{pick(6, "old_state", "in_state_us", "pid", "owner_pid", "owner_comm"), []any{"SYN_SENT", "100.000", nil, "1234", "nc"}},
		{pick(4, "seq", "kind", "old_state", "new_state", "inferred", "inferred_from", "cookie", "role"), []any{nil, "state", "LISTEN", "SYN_RECV", true, "SYN-ACK", nil, "server"}},
		{pick(10, "old_state", "in_state_us", "in_state_inferred", "inferred"), []any{"SYN_RECV", "120.000", true, nil}},
		{pick(2, "direction", "outgoing", "src_port", "local_port", "cookie"), []any{"In", nil, "40000", "80", nil}},
	} {
		if d := cmp.Diff(tc.want, tc.got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
	last := objects[len(objects)-3]
	if d := cmp.Diff([]any{json.Number("7"), json.Number("42")}, last["vlan"]); d != "" {
		t.Errorf("vlan: %s", d)
	}
	if d := cmp.Diff([]any{[]any{json.Number("1100"), json.Number("1200")}}, last["sack"]); d != "" {
		t.Errorf("sack: %s", d)
	}
	inferred := 0
	for _, m := range objects {
		if m["inferred_state"] == "TIME_WAIT" {
			inferred++
		}
	}
	if inferred != 1 {
		t.Errorf("TIME_WAIT inferred %d times", inferred)
	}
}

func TestJSONString(t *testing.T) {
	for _, in := range []string{
		"", "nc", `a"b\c`, "\x00\x1b[31m\x7f\n", "日本語", "\u0085\u009b31m", "\u202egnp", "\xff\xfe", "ok\xe6", "\U0001f600", "\U000e0001", "\u2028",
	} {
		out := string(appendJSONString(nil, in))
		var back string
		if err := json.Unmarshal([]byte(out), &back); err != nil {
			t.Errorf("%q became %s: %v", in, out, err)
			continue
		}
		if want := strings.ToValidUTF8(in, "\ufffd"); utf8.ValidString(in) && back != want {
			t.Errorf("%q came back as %q", in, back)
		}
		onlyPrintable(t, out)
		if strings.ContainsAny(out, "\u0085\u009b\u202e\u2028\U000e0001") {
			t.Errorf("%s holds a control character", out)
		}
	}
}

func TestRFC3339(t *testing.T) {
	var r rfc3339
	for _, ns := range []int64{0, 1, -1, 999_999_999, 1_000_000_000, -1_000_000_000, conntest.Start + 123456789, 1 << 62} {
		want := time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
		if got := string(r.append(nil, ns)); got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
}

// hostile makes a step out of fuzzed bytes: any kind, any name, any frame.
func hostile(kind uint8, seed uint64, name, frame []byte) *tcp.Event {
	r := rand.New(rand.NewPCG(seed, 1))
	ev := &tcp.Event{
		Kind: tcp.Kind(kind), Time: int64(r.Uint64()), Cookie: r.Uint64N(3), Netns: r.Uint32N(2), Errno: int32(r.Uint32()),
		Old: tcp.State(r.Uint32N(20)), New: tcp.State(r.Uint32N(20)), Reason: string(name),
		Retransmit: tcp.Retransmit{Again: tcp.RetransmitKind(r.Uint32N(9)), Count: r.Uint32()},
		Gap:        tcp.Gap{Cause: tcp.GapCause(r.Uint32N(6)), Lost: r.Uint64(), Hook: string(name)},
	}
	ev.Task.PID = r.Uint32N(2)
	copy(ev.Task.Comm[:], name)
	p := &ev.Packet
	p.Frame, p.Length, p.Device = frame, uint32(len(frame))+r.Uint32N(3), string(name)
	p.Link, p.Dir, p.Asked, p.Loopback = tcp.LinkType(r.Uint32N(2)), tcp.Direction(r.Uint32N(8)), true, r.Uint32N(2) == 0
	p.Decode()
	ev.Flow = p.Flow
	return ev
}

func FuzzSinks(f *testing.F) {
	c, v := conntest.Hosts(40000)
	for i, ev := range conntest.Whole(c, v).Events {
		f.Add(uint8(ev.Kind), uint64(i), []byte("nc"), ev.Packet.Frame)
	}
	f.Add(uint8(tcp.KindState), uint64(3), []byte("\x1b]0;owned\x07\x9b\xff"), []byte{})
	f.Fuzz(func(t *testing.T, kind uint8, seed uint64, name, frame []byte) {
		ev := hostile(kind, seed, name, frame)
		for sinkName, sink := range sinks {
			var out strings.Builder
			s := sink(NewWriter(&out, "", false))
			tab := conn.New(conn.Options{})
			for range 2 {
				if err := s.Write(tab.Apply(ev)); err != nil {
					t.Fatal(err)
				}
			}
			_ = s.Close()
			noControls(t, sinkName, out.String())
			if sinkName == "json" && len(parseLines(t, out.String())) != 2 {
				t.Fatal("not two objects")
			}
		}
	})
}
