package render

import (
	"strconv"
	"strings"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// Verdicts writes verdicts for people: what is wrong, the evidence, what to look
// at next.
type Verdicts struct {
	*Writer
	width func() int // of a terminal, to which lines are broken; 0: they are not
}

// VerdictSink takes verdicts. Sinks are not safe for concurrent use.
type VerdictSink interface {
	Verdict(*diagnose.Verdict) error
	Flush() error
	Close() error
}

// NewVerdicts returns a sink that asks for the terminal's width again and again.
func NewVerdicts(w *Writer, width func() int) *Verdicts { return &Verdicts{w, width} }

// placeWords are the places as people say them.
var placeWords = [...]string{
	diagnose.PlaceUnknown: "place unknown", diagnose.BeforeWire: "before the wire", diagnose.OnTheWay: "on the way",
	diagnose.AfterWire: "after the wire", diagnose.Application: "in the application",
}

// Verdict appends one verdict, unless a crowd counts it.
func (w *Verdicts) Verdict(v *diagnose.Verdict) error {
	if v.Alike {
		return nil
	}
	width, again := w.width(), v.Update > 0 && !v.Fresh
	b := appendParagraph(w.buf, "", string(appendVerdictEnds(appendClock(nil, v.Time), v.End, v.Formerly)), width)
	for i := range v.Findings {
		f := &v.Findings[i]
		if i > 0 {
			b = append(b, "  then"...)
		}
		b = append(append(b, "  "...), f.Rule.Name...)
		b = append(append(b, ", "...), placeWords[f.Place]...)
		if f.Certainty != diagnose.Sure {
			b = append(append(b, ", "...), f.Certainty.String()...)
		}
		if f.Standing {
			b = append(b, ", goes on"...)
		}
		switch {
		case i > 0:
		case again:
			b = append(b, ", update"...)
		case v.Episode > 0:
			b = append(b, ", again"...)
		}
		b = append(b, '\n')
		b = appendParagraph(b, "    ", f.Text, width)
		if !again || i > 0 {
			b = appendParagraph(b, "    next: ", f.Next, width)
		}
	}
	for i := range v.Evidence {
		if again && v.Evidence[i].Last <= v.Since {
			continue // it was shown
		}
		b = appendParagraph(b, "      ", string(appendClue(nil, &v.Evidence[i])), width)
	}
	return w.commit(b)
}

// appendParagraph appends a text, broken to the width, behind an indent.
func appendParagraph(b []byte, indent, text string, width int) []byte {
	b = append(b, indent...)
	col := len(indent)
	for i, word := range strings.Fields(text) {
		if i > 0 {
			if width > 0 && col+1+len(word) > width {
				b = append(b, '\n')
				for range len(indent) {
					b = append(b, ' ')
				}
				col = len(indent)
			} else {
				b = append(b, ' ')
				col++
			}
		}
		b = append(b, word...)
		col += len(word)
	}
	return append(b, '\n')
}

// appendVerdictEnds appends whose a verdict is, as a line.
func appendVerdictEnds(b []byte, n *diagnose.End, formerly []uint64) []byte {
	b = append(b, " #"...)
	b = strconv.AppendUint(b, n.Number, 10)
	for _, number := range formerly {
		b = strconv.AppendUint(append(b, " (was #"...), number, 10)
		b = append(b, ')')
	}
	b = append(b, ' ')
	b = appendEnd(b, n.Flow.Local, false)
	b = append(b, " > "...)
	b = appendEnd(b, n.Flow.Remote, false)
	if n.Role != conn.RoleUnknown {
		b = append(append(b, ", "...), n.Role.String()...)
	}
	if n.Task.Known() {
		b = appendTask(append(b, ", "...), &n.Task)
	}
	c := conn.Conn{Home: n.Home, Namespace: n.Namespace}
	if where := whereabouts(&c); where != "" {
		b = appendASCII(append(b, ", in "...), []byte(where))
	}
	if n.OlderThanTrace() {
		b = append(b, ", older"...)
	}
	return append(b, '\n')
}

func appendClock(b []byte, at int64) []byte {
	return time.Unix(0, at).AppendFormat(b, "15:04:05.000000")
}

// sightWords say what a clue is, in front of its particulars.
var sightWords = [...]string{
	diagnose.Left: "left", diagnose.Arrived: "arrived", diagnose.DroppedOut: "thrown away on the way out",
	diagnose.DroppedIn: "thrown away on the way in", diagnose.Resent: "sent again", diagnose.SynAckAgain: "SYN-ACK again",
	diagnose.ResetSent: "RST sent", diagnose.ResetReceived: "RST received", diagnose.Failed: "socket error", diagnose.NotedError: "soft error",
	diagnose.ConnectFailed: "connect() failed", diagnose.Moved: "", diagnose.Complained: "ICMP", diagnose.Existed: "existed, in",
	diagnose.Overflowed: "counter", diagnose.Missed: "lost by the trace",
}

func appendClue(b []byte, c *diagnose.Clue) []byte {
	b = appendClock(b, c.Time)
	if c.Count > 1 {
		b = appendClock(append(b, '-'), c.Last)
		b = append(strconv.AppendUint(append(b, ' '), uint64(c.Count), 10), 'x')
	}
	if c.Role != conn.RoleUnknown {
		b = append(append(b, ' '), c.Role.String()...)
	}
	if word := sightWords[c.Sight]; word != "" {
		b = append(append(b, ' '), word...)
	}
	if c.Device != "" {
		b = appendASCII(append(b, ' '), []byte(c.Device))
	}
	switch c.Sight {
	case diagnose.Moved:
		b = append(append(append(append(b, ' '), c.Old.String()...), " -> "...), c.New.String()...)
	case diagnose.Existed:
		b = append(append(b, ' '), c.New.String()...)
	case diagnose.Resent:
		b = append(append(b, ' '), c.Again.String()...)
	case diagnose.Complained:
		b = append(append(b, ' '), c.ICMP.String()...)
	}
	if c.Errno != 0 {
		b = appendErrno(append(b, ' '), c.Errno)
	}
	if c.Reason != "" {
		b = appendASCII(append(b, ' '), []byte(c.Reason))
	}
	return appendClueSegment(b, c)
}

func appendClueSegment(b []byte, c *diagnose.Clue) []byte {
	if c.Flags == 0 {
		return b
	}
	b, _ = c.Flags.AppendText(append(b, " ["...))
	b = append(b, ']')
	if c.Sight == diagnose.Left || c.Sight == diagnose.Arrived {
		if c.Flags.Has(tcp.ACK) {
			b = strconv.AppendUint(append(b, " ack "...), uint64(c.Ack), 10)
		}
		b = strconv.AppendUint(append(b, " win "...), uint64(c.Window), 10)
	}
	b = strconv.AppendUint(append(b, " seq "...), uint64(c.Seq), 10)
	if c.Len > 0 {
		b = strconv.AppendUint(append(b, " length "...), uint64(c.Len), 10)
	}
	return b
}
