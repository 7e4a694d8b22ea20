package render

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"tcpstory/internal/life"
)

// LifeGroupings are what --by takes: what a row's group is called.
var LifeGroupings = map[string]func([]byte, *LifeRow) []byte{
	"process": func(b []byte, r *LifeRow) []byte {
		switch {
		case r.Task.Known():
			return append(b, r.Task.Name()...)
		case r.Nobody:
			return append(b, '-')
		}
		return append(b, '?')
	},
	"remote": func(b []byte, r *LifeRow) []byte {
		if a := r.Flow.Remote.Addr(); a.IsValid() {
			return a.AppendTo(b)
		}
		return append(b, '?')
	},
	"port": func(b []byte, r *LifeRow) []byte {
		return strconv.AppendUint(b, uint64(r.Flow.Local.Port()), 10)
	},
	"container": func(b []byte, r *LifeRow) []byte {
		if name := containerName(r.Home); name != "" {
			return append(b, name...)
		}
		return append(b, '-')
	},
}

// mostRows is how many groups a summary shows; the others are one row.
const mostRows = 30

// LifeTally is the sink of life --summary: counts, and a table of them.
type LifeTally struct {
	*Writer
	by     string
	tally  life.Tally
	key    []byte
	opts   LifeOptions
	histos bool
	json   bool
	end    int64 // of the last interval, nanoseconds since 1970; 0: there are none
}

// NewLifeTally groups by a word of LifeGroupings; histograms stand below the table
// where somebody looks.
func NewLifeTally(w *Writer, by string, opts LifeOptions, histograms bool) *LifeTally {
	return &LifeTally{Writer: w, by: by, opts: opts, histos: histograms}
}

// Write counts a row.
func (t *LifeTally) Write(row LifeRow) error {
	t.key = LifeGroupings[t.by](t.key[:0], &row)
	t.tally.Add(t.key, row.Line)
	return t.err
}

// EndsAt says when the last interval ends, which Close shows: nanoseconds since 1970.
func (t *LifeTally) EndsAt(end int64) { t.end = end }

// Close shows the summary.
func (t *LifeTally) Close() error {
	if err := t.Show(t.end); err != nil {
		return err
	}
	return t.Writer.Close()
}

// tallyForms are what is shown, and what a narrow terminal has room for: fewer
// percentiles, and in the end a group's name in a line of its own, above its counts.
var tallyForms = []tallyForm{
	{ranks: []float64{50, 95, 99}, took: "half of them, 95 % and 99 %"},
	{ranks: []float64{50, 99}, took: "half of them, and 99 %,"},
	{ranks: []float64{99}, took: "99 % of them"},
	{ranks: []float64{50, 99}, took: "half of them, and 99 %,", folds: true},
	{ranks: []float64{99}, took: "99 % of them", folds: true},
}

type tallyForm struct {
	ranks []float64
	took  string
	folds bool
}

// Show writes what was counted since the last time; until is now, nanoseconds since
// 1970, or 0 where there is one summary only.
func (t *LifeTally) Show(until int64) error {
	if t.json {
		b := t.appendJSON(t.buf, until)
		t.tally = life.Tally{}
		return t.commit(b)
	}
	return t.showTable()
}

func (t *LifeTally) showTable() error {
	groups := t.tally.Groups()
	var table []byte
	var took string
	for i := range tallyForms {
		form, err := &tallyForms[i], error(nil)
		if table, err = t.table(groups, form); err != nil {
			return err
		}
		if took = form.took; t.opts.Width <= 0 || widest(table) <= t.opts.Width {
			break
		}
	}
	b := append(t.buf, table...)
	if n := len(groups) - mostRows; n > 0 {
		b = fmt.Appendf(b, "and %d more\n", n)
	}
	b = fmt.Appendf(b, "connect, duration, RTT: %s took at most (within 3.2 %%)\n", took)
	b = appendKinds(b, &t.tally.All)
	if t.histos {
		b = t.histograms(b)
	}
	t.tally = life.Tally{}
	return t.commit(append(b, '\n'))
}

// table is a row for each group, the first ones, and one for all.
func (t *LifeTally) table(groups []*life.Group, form *tallyForm) ([]byte, error) {
	var out bytes.Buffer
	table := tablewriter.NewTable(&out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone, Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: []tw.Align{
			tw.AlignLeft, tw.AlignRight, tw.AlignRight, tw.AlignRight, tw.AlignRight}}),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
	)
	table.Header(t.by, "conns", "failed", "TX", "RX", "connect", "duration", "RTT")
	var above []string
	add := func(name string, g *life.Group) error {
		if form.folds {
			above, name = append(above, name), ""
		}
		return table.Append(tallyRow(name, g, form.ranks))
	}
	for _, g := range groups[:min(len(groups), mostRows)] {
		if err := add(groupName(g), g); err != nil {
			return nil, err
		}
	}
	if err := add("all", &t.tally.All); err != nil {
		return nil, err
	}
	if err := table.Render(); err != nil {
		return nil, err
	}
	return appendTrimmed(nil, interleave(out.Bytes(), above)), nil
}

// interleave puts a line above each line of a table but its head.
func interleave(table []byte, above []string) []byte {
	if above == nil {
		return table
	}
	var b []byte
	i := -1
	for line := range bytes.Lines(table) {
		if i >= 0 && i < len(above) {
			b = append(append(append(b, ' '), above[i]...), '\n')
		}
		b = append(b, line...)
		i++
	}
	return b
}

// widest is the length of a table's longest line, all of ASCII.
func widest(table []byte) (n int) {
	for line := range bytes.Lines(table) {
		n = max(n, len(line)-1)
	}
	return n
}

func groupName(g *life.Group) string {
	if g.Others {
		return "(others)"
	}
	return string(appendASCII(nil, []byte(g.Key)))
}

func tallyRow(name string, g *life.Group, ranks []float64) []string {
	count := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return []string{name, count(g.Connections), count(g.Failed()), sumWord(g, g.TX), sumWord(g, g.RX),
		percentiles(&g.Connect, ranks), percentiles(&g.Duration, ranks), percentiles(&g.RTT, ranks)}
}

// sumWord is a sum of bytes: ? of nothing known, > where some is unknown.
func sumWord(g *life.Group, n uint64) string {
	switch g.Silent {
	case 0:
		return sizeWord(n)
	case g.Connections:
		return "?"
	}
	return ">" + sizeWord(n)
}

// sizeWord is a number of bytes in three or four digits.
func sizeWord(n uint64) string {
	units := "BKMGTPE"
	if n < 10000 {
		return strconv.FormatUint(n, 10)
	}
	v, u := float64(n), 0
	for v >= 1000 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	return fmt.Sprintf("%.3g%c", v, units[u])
}

func percentiles(s *life.Sketch, ranks []float64) string {
	if s.Count() == 0 {
		return "?"
	}
	words := make([]string, len(ranks))
	for i, p := range ranks {
		words[i] = lengthWord(s.Percentile(p))
	}
	return strings.Join(words, "/")
}

// lengthWord is a duration in three digits.
func lengthWord(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dus", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.3gms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.3gs", d.Seconds())
}

// appendKinds appends how connections ended, the kinds that there were.
func appendKinds(b []byte, g *life.Group) []byte {
	first := true
	for _, e := range life.Ends() {
		n := g.Ended[e]
		if n == 0 {
			continue
		}
		if first {
			b = append(b, "ended: "...)
		} else {
			b = append(b, ", "...)
		}
		first = false
		b = append(append(strconv.AppendUint(b, n, 10), ' '), e.String()...)
	}
	if !first {
		b = append(b, '\n')
	}
	return b
}

// Heights of a histogram's columns.
var (
	asciiBars   = []string{" ", ".", ":", "-", "=", "+", "*", "#"}
	unicodeBars = []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}
)

// histograms appends one line each: a column for each power of two.
func (t *LifeTally) histograms(b []byte) []byte {
	bars := asciiBars
	if t.opts.Unicode {
		bars = unicodeBars
	}
	for _, h := range []struct {
		name string
		of   *life.Sketch
	}{{"connect", &t.tally.All.Connect}, {"duration", &t.tally.All.Duration}, {"RTT", &t.tally.All.RTT}} {
		first, counts := h.of.Octaves()
		if len(counts) == 0 {
			continue
		}
		most := uint64(0)
		for _, n := range counts {
			most = max(most, n)
		}
		b = fmt.Appendf(b, "%-9s from %s ", h.name, lengthWord(first))
		for _, n := range counts {
			level := int(n * uint64(len(bars)-1) / most)
			if n > 0 {
				level = max(level, 1)
			}
			b = append(b, bars[level]...)
		}
		b = fmt.Appendf(b, " to %s, doubling\n", lengthWord(first<<len(counts)))
	}
	return b
}

// appendTrimmed appends lines without the blanks at their ends.
func appendTrimmed(dst, text []byte) []byte {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimRight(line, " \n"); len(line) > 0 {
			dst = append(append(dst, line...), '\n')
		}
	}
	return dst
}
