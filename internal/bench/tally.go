package bench

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
)

// tally is what a tool told, and what it lost by its own account.
type tally struct {
	events uint64 // told: lines, or packets in a file
	lost   uint64
	of     uint64 // what lost is a part of
}

// tallyUp counts the lines of a tool's output, unless it is no text, and reads
// what it said on standard error.
func (t *Tool) tallyUp(out io.Reader, said string) (tally, error) {
	var n tally
	if !t.binary {
		lines, err := countLines(out)
		if err != nil {
			return n, fmt.Errorf("count the lines of %s: %w", t.Title(), err)
		}
		n.events = lines - min(lines, t.header)
	}
	if err := t.account(&n, said); err != nil {
		return n, fmt.Errorf("read what %s said at its end: %w: %q", t.Title(), err, tail(said))
	}
	return n, nil
}

func countLines(r io.Reader) (n uint64, err error) {
	buf := make([]byte, 1<<20)
	for {
		k, err := r.Read(buf)
		for _, b := range buf[:k] {
			if b == '\n' {
				n++
			}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// tail is the end of what a tool said.
func tail(said string) string { return said[max(0, len(said)-300):] }

var (
	dumpCaptured  = regexp.MustCompile(`(?m)^(\d+) packets? captured`)
	dumpReceived  = regexp.MustCompile(`(?m)^(\d+) packets? received by filter`)
	dumpDropped   = regexp.MustCompile(`(?m)^(\d+) packets? dropped by kernel`)
	libbpfLost    = regexp.MustCompile(`(?mi)^lost (\d+) events`)
	storyEvents   = regexp.MustCompile(`(?m)^(\d+) kernel events? captured`)
	storyLost     = regexp.MustCompile(`(?m)^(\d+) (?:events?|packets?) dropped by kernel`)
	errNoSuchLine = errors.New("the count is missing")
)

// accountDump: on lo tcpdump receives each packet twice, going out and coming
// in, and leaves one out only after it came through the ring.
func accountDump(n *tally, said string) (err error) {
	captured, err1 := number(dumpCaptured, said)
	received, err2 := number(dumpReceived, said)
	dropped, err3 := number(dumpDropped, said)
	if n.events == 0 {
		n.events = captured
	}
	n.lost, n.of = dropped, received
	return errors.Join(err1, err2, err3)
}

// accountLibbpf: nothing is said when nothing is lost.
func accountLibbpf(n *tally, said string) error {
	for _, m := range libbpfLost.FindAllStringSubmatch(said, -1) {
		k, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			return err
		}
		n.lost += k
	}
	n.of = n.events + n.lost
	return nil
}

func accountStory(n *tally, said string) (err error) {
	n.lost, err = number(storyLost, said)
	n.of = n.events + n.lost
	return err
}

// accountRecord: what was recorded is only told.
func accountRecord(n *tally, said string) error {
	packets, err1 := number(dumpCaptured, said)
	events, err2 := number(storyEvents, said)
	n.events = packets + events
	return errors.Join(err1, err2, accountStory(n, said))
}

func number(re *regexp.Regexp, said string) (uint64, error) {
	m := re.FindStringSubmatch(said)
	if m == nil {
		return 0, errNoSuchLine
	}
	return strconv.ParseUint(m[1], 10, 64)
}
