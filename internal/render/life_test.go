package render

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tcpstory/internal/life"
	"tcpstory/internal/tcp"
)

// web is a client's life.
func web() *life.Line {
	l := &life.Line{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local).UnixNano(), Cookie: 77, Netns: 4026531840,
		Flow: tcp.Flow{Local: netip.MustParseAddrPort("10.0.0.1:40000"), Remote: netip.MustParseAddrPort("10.0.0.2:80")},
		Task: tcp.Task{PID: 4711, TID: 4711}, Direction: life.DirOut, Established: true,
		TX: 200, RX: 1048576, Duration: 12345678 * time.Nanosecond, Connect: 1500 * time.Microsecond,
		FirstByte: 3 * time.Millisecond, Idle: 8 * time.Millisecond, RTTMin: 900, SRTT: 1000,
		SegsIn: 700, SegsOut: 400, MSS: 1448, Cwnd: 10, End: life.EndFINOwn, Last: tcp.FinWait2,
	}
	copy(l.Task.Comm[:], "cu,rl\x1b\"x")
	l.States = [4]life.Span{{State: tcp.SynSent, For: 1500 * time.Microsecond}, {State: tcp.Established, For: 10 * time.Millisecond}}
	return l
}

// nobodys is one that nothing is known of.
func nobodys() *life.Line {
	return &life.Line{Time: 1, TX: life.Unknown, RX: life.Unknown, Duration: life.Unknown, Connect: life.Unknown,
		FirstByte: life.Unknown, Idle: life.Unknown, Retransmits: life.Unknown, BytesRetrans: life.Unknown,
		SegsIn: life.Unknown, SegsOut: life.Unknown, Older: true,
		Flow: tcp.Flow{Local: netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"), Remote: netip.MustParseAddrPort("[fe80::1]:443")}}
}

func written(t *testing.T, open func(*Writer) LifeSink, lines ...*life.Line) []string {
	t.Helper()
	var b strings.Builder
	s := open(NewWriter(&b, "test", false))
	for _, l := range lines {
		if err := s.Write(LifeRow{Line: l, Namespace: "blue", Home: &tcp.Place{Name: "web"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// TestLifeRows: values stand below their names; what is too long pushes, and is whole.
func TestLifeRows(t *testing.T) {
	for _, width := range []int{80, 160} {
		got := written(t, func(w *Writer) LifeSink {
			return NewLifeRows(w, LifeOptions{Width: width, Unicode: true})
		}, web(), nobodys())
		if len(got) != map[int]int{80: 4, 160: 3}[width] {
			t.Fatalf("%q", got)
		}
		head, row, long := []rune(got[0]), []rune(got[1]), strings.Join(strings.Fields(strings.Join(got[2:], " ")), " ")
		for name, want := range map[string]string{"COMM": `cu,rl\x1b"x`, "LOCAL": "10.0.0.1:40000", "END": "FIN "} {
			at := len([]rune(got[0][:strings.Index(got[0], name)]))
			if width == 80 && name != "COMM" {
				continue // the long name has pushed them
			}
			if !strings.HasPrefix(string(row[at:]), want) {
				t.Errorf("at %d columns, below %s:\n%s\n%s", width, name, string(head), string(row))
			}
		}
		for _, want := range []string{"→ 10.0.0.2:80 ", " 200 ", " 1048576 ", " 12.346 ", "   4711 "} {
			if !strings.Contains(" "+got[1]+" ", strings.TrimLeft(want, " ")) {
				t.Errorf("no %q in %s", want, got[1])
			}
		}
		if want := "[2001:db8:1111:2222:3333:4444:5555:6666]:65535 ? [fe80::1]:443"; !strings.Contains(long, want) {
			t.Errorf("no %q in %s", want, long)
		}
		if f := strings.Fields(long); f[0] != "?" || f[1] != "?" || !strings.HasSuffix(strings.Join(f, " "), map[int]string{80: "? ? ? ?*", 160: "? ? ? ? (older)"}[width]) {
			t.Errorf("what is unknown: %s", long)
		}
	}
}

// TestLifeRowsFold: where a row has no room beside, it takes several lines, none wider
// than the terminal. Each end is whole, the counts stand below their names.
func TestLifeRowsFold(t *testing.T) {
	six, four := web(), web()
	for _, l := range []*life.Line{six, four} {
		l.Task.Comm, l.RX = [16]byte{'n', 'g', 'i', 'n', 'x'}, 300
	}
	six.Flow.Local = nobodys().Flow.Local
	six.Flow.Remote = netip.MustParseAddrPort("[2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa]:54321")
	six.Older = true
	for width := 50; width <= 170; width++ {
		for _, clock := range []bool{false, true} {
			got := written(t, func(w *Writer) LifeSink {
				return NewLifeRows(w, LifeOptions{Width: width, Clock: clock, Unicode: true})
			}, six, four)
			whole := map[string]bool{}
			for _, line := range got {
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("%d columns of %d: %s", n, width, line)
				}
				for _, word := range strings.Fields(line) {
					whole[word] = true
				}
			}
			for _, want := range []string{six.Flow.Local.String(), six.Flow.Remote.String(), four.Flow.Local.String(), four.Flow.Remote.String()} {
				if !whole[want] {
					t.Errorf("%d columns: %s is not whole in\n%s", width, want, strings.Join(got, "\n"))
				}
			}
			under(t, width, got, "END", "FIN", false)
			under(t, width, got, "MS", ".346", true)
		}
	}
}

// under wants every value to begin below its name, or to end there.
func under(t *testing.T, width int, lines []string, name, value string, end bool) {
	t.Helper()
	columns := map[int]bool{}
	for _, line := range lines {
		for _, text := range []string{name, value} {
			at := strings.Index(line+" ", text+map[bool]string{true: " "}[end])
			if at < 0 {
				continue
			}
			if end {
				at += len(text)
			}
			columns[utf8.RuneCountInString(line[:at])] = true
		}
	}
	if len(columns) != 1 {
		t.Errorf("%d columns: %s is not below %s:\n%s", width, value, name, strings.Join(lines, "\n"))
	}
}

// TestLifeRowsFit: an ordinary row of IPv4 takes no more than 80 columns, however it ended.
func TestLifeRowsFit(t *testing.T) {
	for _, e := range life.Ends() {
		l := web()
		l.Task.Comm = [16]byte{}
		copy(l.Task.Comm[:], "life-load")
		l.Task.PID, l.Flow.Remote, l.Flow.Local, l.End = 123456, netip.MustParseAddrPort("127.0.0.1:54321"), netip.MustParseAddrPort("10.77.0.2:48202"), e
		l.RX, l.Duration = 99999, 999*time.Second/1000
		got := written(t, func(w *Writer) LifeSink { return NewLifeRows(w, LifeOptions{Width: 80, Unicode: true}) }, l)
		if n := len([]rune(got[1])); n > 80 {
			t.Errorf("%d columns: %s", n, got[1])
		}
	}
}

// TestLifeRowsWide: each column of -w stands below its name.
func TestLifeRowsWide(t *testing.T) {
	got := written(t, func(w *Writer) LifeSink { return NewLifeRows(w, LifeOptions{Wide: true, Clock: true, Stamp: true}) }, web(), web())
	for name, want := range map[string]string{
		"TIME": "03:04:05", "CONN": "1.500 ", "RTTMIN": "0.900 ", "RTT ": "1.000 ", "RETR ": "0 ", "SEGO": "400 ", "SEGI": "700 ",
		"MSS": "1448 ", "CWND": "10 ", "TTFB": "3.000 ", "IDLE": "8 ", "NETNS": "blue ", "CONTAINER": "web ",
		"STATES": "SYN_SENT=1.500,ESTABLISHED=10.000",
	} {
		at := strings.Index(got[0], name)
		if at < 0 || !strings.HasPrefix(got[2][at:], want) {
			t.Errorf("below %s is no %q:\n%s\n%s", name, want, got[0], got[2])
		}
	}
}

// TestLifeJSON: every member of the table, with its value; unknown ones left out.
func TestLifeJSON(t *testing.T) {
	got := written(t, func(w *Writer) LifeSink { return NewLifeJSON(w) }, web(), nobodys())
	var known, unknown map[string]any
	for line, to := range map[int]*map[string]any{0: &known, 1: &unknown} {
		if err := json.Unmarshal([]byte(got[line]), to); err != nil {
			t.Fatalf("%v: %s", err, got[line])
		}
	}
	for name, want := range map[string]any{"pid": 4711.0, "comm": "cu,rl\x1b\"x", "tx_bytes": 200.0, "rx_bytes": 1048576.0,
		"duration_us": 12345.678, "end": "fin-local", "direction": "out", "netns_name": "blue", "container_name": "web", "remote_port": 80.0} {
		if known[name] != want {
			t.Errorf("%s is %v, want %v", name, known[name], want)
		}
	}
	for _, name := range []string{"pid", "comm", "tx_bytes", "rx_bytes", "duration_us", "direction", "retransmits", "segs_in", "idle_ms", "errno"} {
		if v, there := unknown[name]; there {
			t.Errorf("%s is unknown, and %v", name, v)
		}
	}
	if unknown["end"] != "unknown" || unknown["older"] != true {
		t.Errorf("%s", got[1])
	}
}

// TestLifeCookie: the kernel counts cookies that it takes in an interrupt down from 2^64.
func TestLifeCookie(t *testing.T) {
	l := web()
	l.Cookie = 1<<64 - 156
	if got := written(t, func(w *Writer) LifeSink { return NewLifeJSON(w) }, l); !strings.Contains(got[0], `"cookie":18446744073709551460,`) {
		t.Errorf("%s", got[0])
	}
}

// TestLifeCSV reads it back as others would; the two formats agree.
func TestLifeCSV(t *testing.T) {
	got := written(t, func(w *Writer) LifeSink { return NewLifeCSV(w) }, web(), nobodys())
	rows, err := csv.NewReader(strings.NewReader(strings.Join(got, "\n"))).ReadAll()
	if err != nil || len(rows) != 3 || len(rows[0]) != len(lifeFields) {
		t.Fatalf("%v: %q", err, rows)
	}
	cell := map[string]string{}
	for i, name := range rows[0] {
		cell[name] = rows[1][i]
		if name == "tx_bytes" && rows[2][i] != "" {
			t.Errorf("unknown TX is %q", rows[2][i])
		}
	}
	if cell["comm"] != `cu,rl\x1b"x` || cell["tx_bytes"] != "200" || cell["end"] != "fin-local" {
		t.Errorf("%v", cell)
	}
	if got := written(t, func(w *Writer) LifeSink { return NewLifeCSV(w) }); len(got) != 1 || !strings.HasPrefix(got[0], "time_ns,") {
		t.Errorf("of nothing: %q", got)
	}
}

// TestLifeTallyFits: where three percentiles have no room, fewer are shown.
func TestLifeTallyFits(t *testing.T) {
	for width, want := range map[int]string{0: "95 %", 160: "95 %", 90: "half of them, and 99 %,", 80: "99 % of them"} {
		got := written(t, func(w *Writer) LifeSink { return NewLifeTally(w, "process", LifeOptions{Width: width}, true) }, longer(1), longer(20), longer(400))
		for _, line := range got {
			if width > 0 && len(line) > width {
				t.Errorf("in %d columns: %d in %q", width, len(line), line)
			}
		}
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("in %d columns nothing of %q: %q", width, want, got)
		}
	}
}

// TestLifeTallyFolds: where a long name leaves the counts no room, it has a line of its own.
func TestLifeTallyFolds(t *testing.T) {
	six := web()
	six.Flow.Remote = netip.MustParseAddrPort("[2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa]:54321")
	got := written(t, func(w *Writer) LifeSink { return NewLifeTally(w, "remote", LifeOptions{Width: 80}, true) }, six, longer(400), six)
	for _, line := range got {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if len(got) < 7 || !strings.HasPrefix(got[0], " remote  conns ") || got[1] != " 2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa" ||
		!strings.HasPrefix(got[2], strings.Repeat(" ", len(" remote      "))+"2 ") || got[5] != " all" {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestLifeTallyJSON: an object a group and one for all, which add up.
func TestLifeTallyJSON(t *testing.T) {
	got := written(t, func(w *Writer) LifeSink { return NewLifeTallyJSON(w, "process") }, longer(1), longer(20), nobodys())
	if len(got) != 3 {
		t.Fatalf("%d lines: %q", len(got), got)
	}
	var all, first map[string]any
	for line, to := range map[int]*map[string]any{0: &first, 2: &all} {
		if err := json.Unmarshal([]byte(got[line]), to); err != nil {
			t.Fatalf("%v: %s", err, got[line])
		}
	}
	duration, _ := first["duration_us"].(map[string]any)
	if first["process"] != "cu,rl\x1b\"x" || first["connections"] != 2.0 || first["tx_bytes"] != 21*1234567.0 || duration["count"] != 2.0 {
		t.Errorf("%s", got[0])
	}
	if p := duration["p99"].(float64); p < 24200*31/32 || p > 24200*33/32 {
		t.Errorf("99 %% took %g µs, not 24,200", p)
	}
	ended, _ := all["ended"].(map[string]any)
	if all["total"] != true || all["connections"] != 3.0 || all["bytes_unknown"] != 1.0 || ended["fin-local"] != 2.0 || ended["unknown"] != 1.0 {
		t.Errorf("%s", got[2])
	}
}

// longer is a connection some times as long in all respects.
func longer(times int) *life.Line {
	l := web()
	l.Connect, l.Duration, l.SRTT = time.Duration(times)*121*time.Microsecond, time.Duration(times)*1210*time.Microsecond, uint32(times)*121
	l.TX, l.RX = 1234567*int64(times), 7654321*int64(times)
	return l
}

func BenchmarkLifeRow(b *testing.B) {
	s := NewLifeRows(NewWriter(io.Discard, "nowhere", false), LifeOptions{Width: 160, Unicode: true})
	row := LifeRow{Line: web()}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Write(row); err != nil {
			b.Fatal(err)
		}
	}
}
