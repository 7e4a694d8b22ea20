package ordertest

import (
	"fmt"
	"slices"
	"strings"
)

// line is one event of a story.
type line struct {
	seq  uint64
	text string
}

// story tells what one end of a connection was seen to do, for a fault.
func (c *Checker) story(s *socket) string {
	var lines []line
	for _, t := range s.seen {
		lines = append(lines, line{t.seq, fmt.Sprintf("%v → %v, errno %d", t.old, t.new, t.errno)})
	}
	if w := c.ends[s.at]; w != nil {
		lines = append(lines, tell("out", w.out)...)
		lines = append(lines, tell("in", w.in)...)
	}
	slices.SortFunc(lines, func(a, b line) int { return int(a.seq) - int(b.seq) })
	var b strings.Builder
	fmt.Fprintf(&b, " %v", s.at)
	for _, l := range lines {
		fmt.Fprintf(&b, "\n\t%8d %s", l.seq, l.text)
	}
	return b.String()
}

func tell(way string, list []segment) (lines []line) {
	for _, s := range list {
		lines = append(lines, line{s.number, fmt.Sprintf("%s %v", way, s.mark())})
	}
	return lines
}

func (p place) String() string {
	return fmt.Sprintf("%v > %v in namespace %d", p.flow.Local, p.flow.Remote, p.netns)
}

func (k mark) String() string {
	return fmt.Sprintf("[%v] seq %d ack %d payload %d id %d", k.flags, k.seq, k.ack, k.payload, k.id)
}
