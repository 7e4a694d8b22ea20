package whytest

import (
	"bufio"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/record"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// found is a finding of a verdict.
type found struct {
	rule, place string
	certainty   diagnose.Certainty
	standing    bool
	text        string
	numbers     map[string]int
	evidence    []diagnose.Clue
}

// opinion is all that was said of one conversation, update by update.
type opinion struct {
	updates [][]found
	times   []int64
	texts   []string // as people read them
}

// vantage is who sees certain namespaces only, and what he says.
type vantage struct {
	netns    []uint32
	from, to int64
	table    *conn.Table
	engine   *diagnose.Engine
	opinions map[uint64]*opinion
	gaps     int // something was lost meanwhile
}

func newVantage(l diagnose.Limits, from, to int64, netns ...uint32) *vantage {
	v := &vantage{netns: netns, from: from, to: to, table: conn.New(conn.Options{TellOlder: true}), opinions: map[uint64]*opinion{}}
	v.engine = diagnose.New(diagnose.Options{Limits: l}, v.verdict)
	return v
}

func (v *vantage) verdict(d *diagnose.Verdict) error {
	o := v.opinions[d.End.Number]
	if o == nil {
		o = &opinion{}
		v.opinions[d.End.Number] = o
	}
	var list []found
	for _, f := range d.Findings {
		n := map[string]int{}
		for _, x := range f.Numbers {
			n[x.What] = int(x.N)
		}
		list = append(list, found{f.Rule.Name, f.Place.String(), f.Certainty, f.Standing, f.Text, n, slices.Clone(d.Evidence)})
	}
	var text strings.Builder
	w := render.NewVerdicts(render.NewWriter(&text, "a text", false), func() int { return 110 })
	if err := errors.Join(w.Verdict(d), w.Close()); err != nil {
		return err
	}
	o.texts = append(o.texts, text.String())
	o.updates, o.times = append(o.updates, list), append(o.times, d.Time)
	return nil
}

// take is given every event of a recording.
func (v *vantage) take(ev *tcp.Event) error {
	write := func(s *conn.Step) error {
		if !s.Selected && s.Event.Kind != tcp.KindCounters {
			return nil
		}
		return v.engine.Take(s)
	}
	if ev.Time < v.from || ev.Time > v.to {
		return nil
	}
	if ev.Kind == tcp.KindNone || ev.Kind != tcp.KindGap && !slices.Contains(v.netns, ev.Netns) && ev.Kind != tcp.KindPlace {
		if err := v.table.Infer(ev.Time, write); err != nil {
			return err
		}
		return v.engine.Pass(ev.Time)
	}
	if ev.Kind == tcp.KindGap {
		v.gaps++
	}
	copied := *ev // the table may complete it
	return v.table.Tell(&copied, write)
}

// judge gives a recording to all who look, less what is to be left out.
func judge(t *testing.T, path string, leaves func(*tcp.Event) bool, all []*vantage) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := record.NewReader(bufio.NewReaderSize(file, record.BufferSize))
	if err != nil {
		t.Fatal(err)
	}
	var ev tcp.Event
	for {
		err := reader.Next(&ev)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if ev.Decode(); leaves(&ev) {
			continue
		}
		for _, v := range all {
			if err := v.take(&ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, v := range all {
		if err := errors.Join(v.engine.Pass(v.to+int64(settled)), v.engine.End()); err != nil {
			t.Fatal(err)
		}
	}
}
