package render

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"tcpstory/internal/tcp"
)

// TableOptions are what a table of now's has to fit.
type TableOptions struct {
	Width int // columns; 0: any
	Color bool
}

// columnGap is what stands between two columns.
const columnGap = 2

// leastProcess is the room that a process's name has before other columns have any.
const leastProcess = 20

// leastPiled is the same where it stands beside little: its beginning, and the PID.
const leastPiled = 12

// AppendSockets appends the sockets as a table that fits the width: what every
// table has, and of the rest as much as there is room for. Addresses are never
// cut: where both ends have no room beside each other, a socket takes two lines, and
// three where they have none beside anything.
func AppendSockets(dst []byte, sockets []tcp.Socket, o TableOptions) ([]byte, error) {
	columns := measured(sockets, columnState, columnRecv, columnSend, columnLocal, columnRemote, columnProcess)
	process := len(columns) - 1
	wanted := columns[process].width
	if o.Width > 0 {
		columns[process].width = min(wanted, leastProcess)
		if widthOf(columns) > o.Width {
			columns, process = measured(sockets, columnStacked, columnRecv, columnSend, columnEnds), 0
			least := len(columnStacked.title)
			if ends := columns[len(columns)-1].width; o.Width < widthOf(columns)-columns[0].width+least {
				columns, least = measured(sockets, columnPiled), 1+ends
			}
			wanted = columns[0].width
			columns[0].width = min(wanted, max(o.Width-(widthOf(columns)-wanted), least))
		}
	}
	for _, c := range measured(sockets, furtherColumns...) {
		if more := append(columns, c); !c.idle && (o.Width == 0 || widthOf(more) <= o.Width) {
			columns = more
		}
	}
	if o.Width > 0 {
		p := &columns[process]
		p.width = min(wanted, p.width+max(0, o.Width-widthOf(columns)))
	}
	fitted(sockets, &columns[process])
	return appendTable(dst, columns, o)
}

// columnEnds and columnStacked hold two lines, columnPiled three.
var (
	columnEnds = socketColumn{title: "LOCAL, REMOTE", cell: func(s *tcp.Socket) string {
		return columnLocal.cell(s) + "\n" + columnRemote.cell(s)
	}}
	columnStacked = socketColumn{
		title: "STATE, PROCESS",
		cell:  func(s *tcp.Socket) string { return stateCell(s) + "\n" + processCell(s) },
		fit:   func(s *tcp.Socket, width int) string { return stateCell(s) + "\n" + processIn(s, width) },
	}
	columnPiled = socketColumn{
		title: "STATE, RECV-Q/SEND-Q, PROCESS, BOTH ENDS",
		cell:  func(s *tcp.Socket) string { return piled(s, processCell(s)) },
		fit: func(s *tcp.Socket, width int) string {
			return piled(s, processIn(s, max(width-len(piled(s, ""))+len(endsBelow(s)), leastPiled)))
		},
	}
)

// piled is a socket below its state, queues and process.
func piled(s *tcp.Socket, process string) string {
	return fmt.Sprintf("%s %s/%s %s%s", stateCell(s), columnRecv.cell(s), columnSend.cell(s), process, endsBelow(s))
}

func endsBelow(s *tcp.Socket) string {
	return "\n " + columnLocal.cell(s) + "\n " + columnRemote.cell(s)
}

// fitted makes the cells of a column anew that has got less room than it would take.
func fitted(sockets []tcp.Socket, c *tableColumn) {
	for i := range sockets {
		c.cells[i] = c.fit(&sockets[i], c.width)
	}
}

// tableColumn is a column with its cells.
type tableColumn struct {
	title string
	right bool
	cells []string
	width int
	idle  bool // it says nothing
	fit   func(*tcp.Socket, int) string
}

func measured(sockets []tcp.Socket, columns ...socketColumn) []tableColumn {
	made := make([]tableColumn, len(columns))
	for i, c := range columns {
		m := tableColumn{title: c.title, right: c.right, cells: make([]string, len(sockets)), idle: c.idle != nil, fit: c.fit}
		for k := range sockets {
			m.cells[k] = c.cell(&sockets[k])
			m.idle = m.idle && c.idle(m.cells[k])
		}
		m.measure()
		made[i] = m
	}
	return made
}

func (c *tableColumn) measure() {
	c.width = len(c.title)
	for _, cell := range c.cells {
		for line := range strings.SplitSeq(cell, "\n") {
			c.width = max(c.width, utf8.RuneCountInString(line))
		}
	}
}

func widthOf(columns []tableColumn) int {
	width := -columnGap
	for i := range columns {
		width += columns[i].width + columnGap
	}
	return width
}

// appendTable appends the columns, which have their widths.
func appendTable(dst []byte, columns []tableColumn, o TableOptions) ([]byte, error) {
	var out bytes.Buffer
	aligns, pads := make([]tw.Align, len(columns)), make([]tw.Padding, len(columns))
	widths := tw.NewMapper[int, int]()
	for i, c := range columns {
		aligns[i], pads[i] = tw.AlignLeft, tw.Padding{Right: strings.Repeat(" ", columnGap), Overwrite: true}
		if c.right {
			aligns[i] = tw.AlignRight
		}
		widths.Set(i, c.width+columnGap)
	}
	t := tablewriter.NewTable(&out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone, Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: aligns}),
		tablewriter.WithRowPaddingPerColumn(pads),
		tablewriter.WithColumnWidths(widths),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
	)
	if err := t.Bulk(tableRows(columns)); err != nil {
		return dst, fmt.Errorf("make a table: %w", err)
	}
	if err := t.Render(); err != nil {
		return dst, fmt.Errorf("make a table: %w", err)
	}
	head := true
	for line := range strings.Lines(out.String()) {
		line = strings.TrimRight(line, " \n")
		if head && o.Color {
			line = string(styleBold) + line + string(stylePlain)
		}
		head = false
		dst = append(append(dst, line...), '\n')
	}
	return dst, nil
}

// tableRows turns the columns into rows, the titles first.
func tableRows(columns []tableColumn) [][]string {
	rows := make([][]string, 1+len(columns[0].cells))
	for r := range rows {
		rows[r] = make([]string, len(columns))
		for i := range columns {
			if r == 0 {
				rows[r][i] = columns[i].title
				continue
			}
			rows[r][i] = columns[i].cells[r-1]
		}
	}
	return rows
}

// cut shortens a cell.
func cut(cell string, width int) string {
	if len(cell) <= width {
		return cell
	}
	return cell[:width-1] + "~"
}

// Fit is a line of untrusted text in so many columns, one at least.
func Fit(line string, columns int) string {
	return cut(string(appendASCII(nil, []byte(line))), max(columns, 1))
}
