package bench

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// WriteText writes the report as people read it.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%s\n", r.Date.Format("2006-01-02 15:04 -0700"), r.Machine)
	b.WriteString(r.cautions())
	if err := r.writeFull(&b); err != nil {
		return err
	}
	if err := r.writePaced(&b); err != nil {
		return err
	}
	fmt.Fprintln(&b)
	for _, v := range r.Verdicts() {
		fmt.Fprintln(&b, v)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (r *Report) writeFull(b *bytes.Buffer) error {
	alone := medianOf(r.alone())
	fmt.Fprintf(b, "\nFull speed: connections one after another on lo, 200 bytes each way, four-way close,\n"+
		"%g s a run. Pairs: %d; each run with a tool against its neighbours without,\n"+
		"where a connection takes %s µs. Own CPU: of %g s runs. Median (95 %% interval), per connection.\n\n",
		r.Seconds, r.Pairs, alone.with("%.1f"), longTimes*r.Seconds)
	rows := [][]string{{"", "load", "added µs", "added CPU µs", "own CPU µs", "events", "µs/event", "lost"}}
	for _, t := range r.Results() {
		rows = append(rows, []string{
			t.Command, "×" + t.Load.with("%.2f"), t.Added.with("%.1f"), t.Busy.with("%.1f"), t.Full.CPU.with("%.2f"),
			fmt.Sprintf("%.1f", t.Full.Events), fmt.Sprintf("%.2f", t.Full.CPUPerEvent), t.Full.lossText(),
		})
	}
	return writeTable(b, rows)
}

func (r *Report) writePaced(b *bytes.Buffer) error {
	head := []string{"", "first event ms", "memory MiB"}
	title := "First event on a terminal after exec, and peak resident memory."
	if len(r.Paced) > 0 {
		title = fmt.Sprintf("Paced: %d connections a second. %s", r.Rate, title)
		head = append(head, "own CPU µs", "events", "µs/event", "lost")
	}
	fmt.Fprintf(b, "\n%s\n\n", title)
	rows := [][]string{head}
	for _, t := range r.Results() {
		row := []string{t.Command, t.First.with("%.0f"), fmt.Sprintf("%.0f", t.PeakMiB)}
		if len(r.Paced) > 0 {
			row = append(row, t.Paced.CPU.with("%.2f"), fmt.Sprintf("%.1f", t.Paced.Events),
				fmt.Sprintf("%.2f", t.Paced.CPUPerEvent), t.Paced.lossText())
		}
		rows = append(rows, row)
	}
	return writeTable(b, rows)
}

// with prints an estimate, each figure by the format.
func (e Estimate) with(format string) string {
	if e == (Estimate{}) {
		return "–"
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", e.Value, e.Low, e.High)
}

// lossText tells a loss, however small, from none.
func (g Regime) lossText() string {
	if g.Lost == 0 {
		return "0"
	}
	return fmt.Sprintf("%.2g %%", g.LostShare*100)
}

// writeTable writes rows, the head first, without rules around them.
func writeTable(b *bytes.Buffer, rows [][]string) error {
	align := []tw.Align{tw.AlignLeft}
	for range rows[0][1:] {
		align = append(align, tw.AlignRight)
	}
	var out bytes.Buffer
	t := tablewriter.NewTable(&out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone, Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
	)
	if err := t.Bulk(rows); err != nil {
		return fmt.Errorf("make a table: %w", err)
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("make a table: %w", err)
	}
	for line := range strings.Lines(out.String()) {
		fmt.Fprintln(b, strings.TrimRight(line, " \n"))
	}
	return nil
}
