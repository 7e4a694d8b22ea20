package render

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

// tell runs stories through a fresh table into the sink that make returns, and
// returns what it wrote.
func tell(t testing.TB, make func(*Writer) Sink, stories ...*conntest.Story) string {
	t.Helper()
	var out bytes.Buffer
	sink := make(NewWriter(&out, "the test", false))
	tab := conn.New(conn.Options{})
	for _, s := range stories {
		for _, ev := range s.Events {
			if err := tab.Tell(ev, sink.Write); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// golden compares with testdata/name; -update writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, d)
	}
}

// stories are the tutorial's scenarios and the unusual, each with a port of its
// own.
func stories() []*conntest.Story {
	at := func(ends func(uint16) (*conntest.Socket, *conntest.Socket), tell func(c, v *conntest.Socket) *conntest.Story, port uint16) *conntest.Story {
		return tell(ends(port))
	}
	return []*conntest.Story{
		at(conntest.Hosts, conntest.Whole, 40000),
		at(conntest.SameHost, conntest.Whole, 40001),
		at(conntest.Hosts, conntest.Refused, 40002),
		at(conntest.Hosts, conntest.BlackHole, 40003),
		at(conntest.SameHost, conntest.Aborted, 40004),
		at(conntest.Hosts, conntest.Unanswered, 40005),
		translated(40006), oddities(),
		at(conntest.SameHost, conntest.Orphan, 40007),
		at(conntest.Hosts, conntest.GivenUp, 40008),
		at(conntest.Hosts, conntest.Lasting, 40009),
	}
}

func translated(port uint16) *conntest.Story {
	c, _ := conntest.Hosts(port)
	return conntest.Translated(c, tcp.Flow{Local: c.Flow.Local, Remote: conntest.Flow("10.99.0.9:8080", "").Local})
}

// oddities are a listener, IPv6, unknown ends, an ICMP error, gaps and hostile
// names.
func oddities() *conntest.Story {
	s := conntest.New()
	l := &conntest.Socket{Cookie: 1, Netns: 1, Flow: conntest.Flow("0.0.0.0:80", "0.0.0.0:0"), Task: conntest.Nginx}
	s.State(l, tcp.Close, tcp.Listen, conntest.By(l.Task))
	s.State(l, tcp.Listen, tcp.Close, conntest.By(l.Task))
	six := &conntest.Socket{Cookie: 2, Netns: 1, Flow: conntest.Flow("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:1]:40000", "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:2]:443"), Device: "eth0"}
	s.State(six, tcp.Close, tcp.SynSent, conntest.By(conntest.Task(99, "ev\x1b[31mil\x07\xff")))
	s.Sends(six, conntest.Header{Flags: conntest.S, Seq: 7, Window: 64800, Options: conntest.SynOptions})
	s.State(six, tcp.SynSent, tcp.Close, conntest.Errno(9999))
	nobody := &conntest.Socket{Cookie: 3, Netns: 1, Flow: conntest.Flow("10.0.0.1:0", "10.0.0.2:80")}
	s.State(nobody, tcp.Close, tcp.SynSent)
	s.Kernel(nobody, tcp.KindSocketError, conntest.Now(tcp.SynSent))
	c, v := conntest.Hosts(40010)
	s.State(c, tcp.Close, tcp.SynSent, conntest.By(conntest.Task(4711, "日本語")))
	s.Gets(c, conntest.Header{})
	icmp := s.Events[len(s.Events)-1]
	icmp.Packet.Frame = conntest.Unreachable("10.77.0.254:0", c.Flow, conntest.Header{Flags: conntest.S, Seq: 1})
	icmp.Packet.Length = uint32(len(icmp.Packet.Frame))
	icmp.Packet.Decode()
	s.Kernel(&conntest.Socket{Netns: v.Netns, Flow: v.Flow}, tcp.KindSynAckAgain, conntest.Again(tcp.RetransmitRTO, 2))
	s.Add(&tcp.Event{Kind: tcp.KindGap, Gap: tcp.Gap{Cause: tcp.GapRingFull, Lost: 12}})
	s.Add(&tcp.Event{Kind: tcp.KindGap, Gap: tcp.Gap{Cause: tcp.GapRecursion, Lost: 1, Hook: "packet_in"}})
	return s
}

func TestLines(t *testing.T) {
	golden(t, "lines.txt", tell(t, func(w *Writer) Sink { return NewLines(w, LineOptions{}) }, stories()...))
	golden(t, "lines-any.txt", tell(t, func(w *Writer) Sink { return NewLines(w, LineOptions{Columns: true}) }, stories()[0]))
}

func TestLineFormsAreComplete(t *testing.T) {
	described := map[tcp.Kind]bool{tcp.KindPacket: true}
	for _, f := range LineForms {
		described[f.Kind] = f.Form != "" && f.Text != ""
	}
	for k := tcp.KindState; k < tcp.KindPort; k++ {
		if !described[k] {
			t.Errorf("%v has no form", k)
		}
	}
}

// onlyPrintable fails on the first byte that a terminal could take as anything
// but text.
func onlyPrintable(t testing.TB, out string) {
	t.Helper()
	for i, c := range []byte(out) {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
			t.Fatalf("control byte %#x at %d of %q", c, i, out)
		}
	}
}

func TestLinesAreASCII(t *testing.T) {
	out := tell(t, func(w *Writer) Sink { return NewLines(w, LineOptions{}) }, stories()...)
	onlyPrintable(t, out)
	for _, r := range out {
		if r > 0x7e {
			t.Fatalf("%q is not ASCII", r)
		}
	}
}

// steps applies stories and keeps the steps of one kind, for loops.
func stepsOf(kind tcp.Kind) []*conn.Step {
	var out []*conn.Step
	for _, s := range stories() {
		for _, ev := range s.Events {
			if ev.Kind == kind {
				tab := conn.New(conn.Options{})
				out = append(out, tab.Apply(ev))
			}
		}
	}
	return out
}

// inTurn returns a function that writes one step after the other to a sink.
func inTurn(sink Sink, steps []*conn.Step) func() {
	i := 0
	return func() {
		_ = sink.Write(steps[i%len(steps)])
		i++
	}
}

// sinks are all sinks of the package.
var sinks = map[string]func(*Writer) Sink{
	"lines":  func(w *Writer) Sink { return NewLines(w, LineOptions{}) },
	"json":   func(w *Writer) Sink { return NewJSON(w) },
	"narrow": columns(ColumnsOptions{Width: 80, Unicode: true, Color: true}),
	"wide":   columns(ColumnsOptions{Width: 160}),
}

func TestSinksDoNotAllocate(t *testing.T) {
	for name, sink := range sinks {
		for kind := tcp.KindState; kind < tcp.KindPort; kind++ {
			steps := stepsOf(kind)
			write := inTurn(sink(NewWriter(io.Discard, "", false)), steps)
			all := func() {
				for range steps {
					write()
				}
			}
			all()
			if n := testing.AllocsPerRun(50, all); n != 0 {
				t.Errorf("%s, %v: %v allocations in %d events", name, kind, n, len(steps))
			}
		}
	}
}

func BenchmarkSinks(b *testing.B) {
	for name, sink := range sinks {
		for _, kind := range []tcp.Kind{tcp.KindState, tcp.KindPacket} {
			b.Run(name+"/"+kind.String(), func(b *testing.B) {
				write := inTurn(sink(NewWriter(io.Discard, "", false)), stepsOf(kind))
				b.ReportAllocs()
				for b.Loop() {
					write()
				}
			})
		}
	}
}

// failing fails with err after n bytes.
type failing struct {
	n   int
	err error
}

func (f *failing) Write(b []byte) (int, error) {
	if f.n -= len(b); f.n < 0 {
		return 0, f.err
	}
	return len(b), nil
}

func TestWriterErrors(t *testing.T) {
	for name, sink := range sinks {
		w := NewWriter(&failing{err: syscall.EPIPE}, "standard output", true)
		s := sink(w)
		err := s.Write(stepsOf(tcp.KindState)[0])
		if !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: line-buffered write: %v", name, err)
		}
		if err := s.Close(); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: the error must stay: %v", name, err)
		}
		s = sink(NewWriter(&failing{err: syscall.ENOSPC}, "out.txt", false))
		if err := s.Write(stepsOf(tcp.KindState)[0]); err != nil {
			t.Errorf("%s: buffered write: %v", name, err)
		}
		if err := s.Flush(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: flush: %v", name, err)
		}
	}
}

// noControls fails on control characters, C1 ones included, and on bytes that
// are not UTF-8. The escapes that a sink puts there itself are taken out before.
func noControls(t testing.TB, sink, out string) {
	t.Helper()
	for _, r := range ownEscapes.Replace(out) {
		if r != '\n' && r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0) || r == utf8.RuneError || unicode.Is(unicode.Cf, r) {
			t.Fatalf("%s: %q in %q", sink, r, out)
		}
	}
}

var ownEscapes = func() *strings.Replacer {
	var pairs []string
	for _, s := range append(idStyles[:], styleDim, styleBold, styleRed, styleGreen, styleYellow, stylePlain) {
		pairs = append(pairs, string(s), "")
	}
	return strings.NewReplacer(pairs...)
}()
