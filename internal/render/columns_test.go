package render

import (
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

func columns(o ColumnsOptions) func(*Writer) Sink {
	return func(w *Writer) Sink { return NewColumns(w, o) }
}

func TestColumns(t *testing.T) {
	for name, o := range map[string]ColumnsOptions{
		"columns-80.txt":       {Width: 80, Unicode: true},
		"columns-80-ascii.txt": {Width: 80},
		"columns-120.txt":      {Width: 120, Unicode: true},
		"columns-160.txt":      {Width: 160, Unicode: true},
		"columns-color.txt":    {Width: 100, Unicode: true, Color: true},
		"columns-delta.txt":    {Width: 80, Unicode: true, Time: TimeDelta, Absolute: true},
	} {
		golden(t, name, tell(t, columns(o), stories()...))
	}
}

func TestColumnsKeepTheirWidth(t *testing.T) {
	for width := minWidth; width <= 200; width++ {
		for _, unicode := range []bool{false, true} {
			out := tell(t, columns(ColumnsOptions{Width: width, Unicode: unicode, Time: TimeDate}), stories()...)
			for _, line := range strings.Split(out, "\n") {
				if w := runewidth.StringWidth(line); w > width {
					t.Fatalf("%d columns at width %d: %q", w, width, line)
				}
				if !unicode && utf8.RuneCountInString(line) != len(line) {
					t.Fatalf("not ASCII: %q", line)
				}
			}
		}
	}
}

func TestColumnsWithoutColourHaveNoEscapes(t *testing.T) {
	onlyPrintable(t, tell(t, columns(ColumnsOptions{Width: 80, Unicode: true}), stories()...))
}

// Colours change nothing else.
func TestColoursAreOnlyColours(t *testing.T) {
	plain := tell(t, columns(ColumnsOptions{Width: 100, Unicode: true}), stories()...)
	coloured := tell(t, columns(ColumnsOptions{Width: 100, Unicode: true, Color: true}), stories()...)
	if got := ownEscapes.Replace(coloured); got != plain {
		t.Errorf("without its colours it reads\n%s\nnot\n%s", got, plain)
	}
}

func TestHeadingComesBack(t *testing.T) {
	a, av := conntest.Hosts(40000)
	b, bv := conntest.SameHost(40001)
	first, second := conntest.Whole(a, av), conntest.Whole(b, bv)
	list := []*conntest.Story{first, second, second, second, second, second, second, first}
	out := tell(t, columns(ColumnsOptions{Width: 80}), list...)
	if n := strings.Count(out, "\n#1  c 10.77.0.1.40000 (nc/1234) > s 10.77.0.2.80\n"); n != 1 {
		t.Errorf("%d headings of the first conversation's first use\n%s", n, out)
	}
}

// TestHeadingTellsTranslation: who sees which addresses is told once, and only where
// it differs from what was told.
func TestHeadingTellsTranslation(t *testing.T) {
	virtual := conntest.Flow("10.99.0.9:8080", "").Local
	ways := func(wireC, wireV tcp.Flow, v tcp.Flow) *conntest.Story {
		c, s := conntest.Hosts(40000)
		c.Flow.Remote, s.Flow = virtual, v
		story := conntest.Whole(c, s)
		for _, ev := range story.Events {
			if p := &ev.Packet; p.Dir == tcp.DirOut && ev.Netns == c.Netns && wireC.Local.IsValid() {
				p.Flow, ev.Flow, ev.Cookie = wireC, c.Flow, c.Cookie
			} else if p.Dir == tcp.DirOut && ev.Netns == s.Netns && wireV.Local.IsValid() {
				p.Flow, ev.Flow = wireV, s.Flow
			}
		}
		return story
	}
	direct, masked := conntest.Flow("10.77.0.2:80", "10.77.0.1:40000"), conntest.Flow("10.77.0.2:80", "10.88.0.1:999")
	for name, c := range map[string]struct {
		story *conntest.Story
		want  []string
	}{
		"at the client": {ways(direct.Reverse(), tcp.Flow{}, direct), []string{"on the wire 10.77.0.1.40000 - 10.77.0.2.80"}},
		"on the way":    {ways(tcp.Flow{}, tcp.Flow{}, masked), []string{"at s 10.77.0.2.80 - 10.88.0.1.999"}},
		"at the server": {ways(tcp.Flow{}, conntest.Flow("10.99.0.9:8080", "10.77.0.1:40000"), direct), []string{"at s 10.77.0.2.80 - 10.77.0.1.40000"}},
	} {
		var got []string
		for line := range strings.Lines(tell(t, columns(ColumnsOptions{Width: 80}), c.story)) {
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), "#1  "); ok && !strings.HasPrefix(text, "c ") {
				got = append(got, text)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestHeadingIsRepeatedWhenItHasLeftTheScreen(t *testing.T) {
	c, _ := conntest.Hosts(40000)
	s := conntest.New()
	for range 2*headingAge + 1 {
		s.State(c, tcp.Established, tcp.Established)
	}
	var at []int
	for i, line := range strings.Split(tell(t, columns(ColumnsOptions{Width: 80}), s), "\n") {
		if strings.HasPrefix(line, "#1") {
			at = append(at, i)
		}
	}
	if d := cmp.Diff([]int{1, headingAge + 2, 2*headingAge + 3}, at); d != "" {
		t.Errorf("headings in lines (-want +got):\n%s", d)
	}
}

func TestColumnsResize(t *testing.T) {
	c, s := conntest.Hosts(40000)
	v := NewColumns(NewWriter(io.Discard, "", false), ColumnsOptions{Width: 80})
	tab := conn.New(conn.Options{})
	for i, ev := range conntest.Whole(c, s).Events {
		if i == 10 {
			v.SetWidth(160)
		}
		if err := v.Write(tab.Apply(ev)); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(string(v.buf), "KERNEL"); n != 2 {
		t.Errorf("%d header lines, want one per width:\n%s", n, v.buf)
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0µs", 999 * time.Microsecond: "999µs", 1250 * time.Microsecond: "1.2ms", 9999 * time.Microsecond: "9.9ms",
		10 * time.Millisecond: "10ms", 999 * time.Millisecond: "999ms", 1501 * time.Millisecond: "1.5s",
		99900 * time.Millisecond: "99.9s", 100 * time.Second: "1.6m", 10 * time.Minute: "10m", 99 * time.Minute: "99m",
		100 * time.Minute: "1h", 99 * time.Hour: "99h", 100 * time.Hour: "4d",
	} {
		v := NewColumns(NewWriter(io.Discard, "", false), ColumnsOptions{Width: 80, Unicode: true})
		v.lay = layoutFor(80, 0, 3)
		v.c.begin(nil, 80)
		v.spent(d)
		if got := strings.TrimSpace(string(v.c.b)); got != want || utf8.RuneCountInString(got) > 5 {
			t.Errorf("%v reads %q, want %q", d, got, want)
		}
	}
}
