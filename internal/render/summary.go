package render

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// Summary counts what was shown, for the lines at exit. The zero value is ready
// for use.
type Summary struct {
	Packets     uint64 // shown
	Events      uint64 // of the kernel, shown
	Connections uint64 // conversations shown
	Inferred    uint64 // transitions that the kernel does not trace, shown
	Unfollowed  uint64 // half-open connections and TIME_WAITs given up before their end
	InTheMiddle uint64 // packets in the middle of streams, which the kernel side left out
	PacketsOnly bool   // the kernel side was not asked for: no lines about it
	losses      []tcp.Gap
}

// Count counts a step that was shown.
func (s *Summary) Count(st *conn.Step) {
	switch st.Event.Kind {
	case tcp.KindPacket:
		s.Packets++
	case tcp.KindGap:
		s.lose(&st.Event.Gap)
	default:
		if st.Event.Inferred {
			s.Inferred++
			break
		}
		s.Events++
	}
	if st.Conn != nil {
		s.Connections = max(s.Connections, st.Conn.Number)
	}
}

// lose adds a gap to its cause and hook.
func (s *Summary) lose(g *tcp.Gap) {
	for i := range s.losses {
		if l := &s.losses[i]; l.Cause == g.Cause && l.Hook == g.Hook {
			l.Lost += g.Lost
			return
		}
	}
	s.losses = append(s.losses, *g)
}

// Lost returns how many events were lost, of all causes.
func (s *Summary) Lost() (n uint64) {
	for i := range s.losses {
		n += s.losses[i].Lost
	}
	return n
}

// Append appends the lines: tcpdump's "N packets captured" and "N packets
// dropped by kernel" with what is ours between them, and for more than one loss
// a table of causes.
func (s *Summary) Append(dst []byte) []byte {
	dst = appendPlural(dst, s.Packets, "packet", "captured\n")
	if s.InTheMiddle > 0 {
		dst = appendPlural(dst, s.InTheMiddle, "packet", "in the middle of streams passed over in the kernel\n")
	}
	if !s.PacketsOnly {
		dst = appendPlural(dst, s.Events, "kernel event", "captured\n")
		dst = appendPlural(dst, s.Connections, "connection", "seen\n")
		dst = s.appendInferred(dst)
	}
	return s.appendLosses(dst)
}

// appendLosses appends what was lost, and how.
func (s *Summary) appendLosses(dst []byte) []byte {
	what := "event"
	if s.PacketsOnly {
		what = "packet"
	}
	if slices.ContainsFunc(s.losses, func(g tcp.Gap) bool { return atMost(g.Cause) }) {
		dst = append(dst, "up to "...)
	}
	dst = appendPlural(dst, s.Lost(), what, "dropped by kernel")
	switch len(s.losses) {
	case 0:
		return append(dst, '\n')
	case 1:
		dst = append(append(dst, ": "...), gapWord(s.losses[0].Cause)...)
		if hook := s.losses[0].Hook; hook != "" {
			dst = appendASCII(append(dst, ", "...), []byte(hook))
		}
		return append(dst, '\n')
	}
	return s.appendTable(append(dst, ":\n"...))
}

// appendInferred appends what there is to say about states that are not traced.
func (s *Summary) appendInferred(dst []byte) []byte {
	if s.Inferred > 0 {
		dst = appendPlural(dst, s.Inferred, "transition", "inferred\n")
	}
	if s.Unfollowed > 0 {
		dst = appendPlural(dst, s.Unfollowed, "connection", "in TIME_WAIT, SYN_RECV or an orphan's FIN_WAIT2 not followed to the end\n")
	}
	return dst
}

func appendPlural(dst []byte, n uint64, what, done string) []byte {
	dst = append(append(strconv.AppendUint(dst, n, 10), ' '), what...)
	if n != 1 {
		dst = append(dst, 's')
	}
	return append(append(dst, ' '), done...)
}

// appendTable appends a line per cause and hook.
func (s *Summary) appendTable(dst []byte) []byte {
	var out bytes.Buffer
	t := tablewriter.NewTable(&out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone, Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: []tw.Align{tw.AlignRight, tw.AlignLeft, tw.AlignLeft}}),
	)
	for _, l := range s.losses {
		if err := t.Append(strconv.FormatUint(l.Lost, 10), gapWord(l.Cause), string(appendASCII(nil, []byte(l.Hook)))); err != nil {
			return fmt.Appendf(dst, "%v\n", err) // unreachable: the buffer takes everything
		}
	}
	if err := t.Render(); err != nil {
		return fmt.Appendf(dst, "%v\n", err)
	}
	for _, line := range bytes.SplitAfter(out.Bytes(), []byte("\n")) {
		if line = bytes.TrimRight(line, " \n"); len(line) > 0 {
			dst = append(append(dst, line...), '\n')
		}
	}
	return dst
}
