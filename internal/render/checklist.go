package render

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// Verdict is what a check came to.
type Verdict int

// The verdicts.
const (
	Good Verdict = iota
	Missing
	Unsure
)

// Check is a line of a checklist, with what there is to say below it.
type Check struct {
	Group, Name string
	Verdict     Verdict
	Text        string
	Notes       []Note
}

// Note is a word and what it introduces: "remedy", and the remedy.
type Note struct{ Word, Text string }

// ChecklistOptions are what the terminal can do.
type ChecklistOptions struct {
	Width          int // columns
	Color, Unicode bool
}

// marks are the verdicts' signs, with and without UTF-8, and their styles.
var marks = [...]struct {
	sign, ascii string
	style       style
}{
	Good: {"✓", "+", styleGreen}, Missing: {"–", "-", styleYellow}, Unsure: {"?", "?", styleYellow},
}

// narrowText is the least room for a check's text; below, lines are longer than the terminal.
const narrowText = 30

// AppendChecklist appends the checks as a table, a heading before each group. The
// texts are our own, or clean already.
func AppendChecklist(dst []byte, checks []Check, o ChecklistOptions) ([]byte, error) {
	var out bytes.Buffer
	names := 0
	for _, c := range checks {
		names = max(names, len(c.Name))
	}
	text := max(o.Width-len("? ")-names-len("  "), narrowText)
	t := tablewriter.NewTable(&out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone, Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithRowPaddingPerColumn([]tw.Padding{{Right: " ", Overwrite: true}, {Right: "  ", Overwrite: true}, {Overwrite: true}}),
		tablewriter.WithColumnWidths(tw.NewMapper[int, int]().Set(0, 2).Set(1, names+2).Set(2, text)),
		tablewriter.WithRowAutoWrap(tw.WrapNormal),
		tablewriter.WithTrimSpace(tw.Off),
	)
	if err := t.Bulk(checkRows(checks, o)); err != nil {
		return dst, fmt.Errorf("make a table: %w", err)
	}
	if err := t.Render(); err != nil {
		return dst, fmt.Errorf("make a table: %w", err)
	}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimRight(line, " \n")
		if o.Color {
			line = painted(line)
		}
		dst = append(append(dst, line...), '\n')
	}
	return dst, nil
}

func checkRows(checks []Check, o ChecklistOptions) (rows [][]string) {
	group := ""
	for _, c := range checks {
		if c.Group != group {
			group = c.Group
			rows = append(rows, []string{"", "", ""}, []string{"", strings.ToUpper(group), ""})
		}
		m := marks[c.Verdict]
		sign := m.ascii
		if o.Unicode {
			sign = m.sign
		}
		rows = append(rows, []string{sign, c.Name, c.Text})
		for _, n := range c.Notes {
			rows = append(rows, []string{"", "  " + n.Word, n.Text})
		}
	}
	return rows
}

// painted colours a line of the table by what stands where: a sign at the edge, a
// heading below the names, a note's word two columns on.
func painted(line string) string {
	for _, m := range marks {
		for _, sign := range []string{m.sign, m.ascii} {
			if rest, ok := strings.CutPrefix(line, sign+" "); ok {
				return string(m.style) + sign + string(stylePlain) + " " + rest
			}
		}
	}
	indented := strings.TrimLeft(line, " ")
	word, rest, _ := strings.Cut(indented, " ")
	switch indent := line[:len(line)-len(indented)]; len(indent) {
	case len("? "):
		return indent + string(styleBold) + indented + string(stylePlain)
	case len("?   "):
		return indent + string(styleDim) + word + string(stylePlain) + " " + rest
	}
	return line
}
