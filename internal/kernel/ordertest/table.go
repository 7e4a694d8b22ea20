package ordertest

import (
	"fmt"
	"os"
	"strings"

	"tcpstory/internal/tcp"
)

// Rule is one row of the table.
type Rule struct {
	Text   string    // "CLOSE → SYN_SENT: out S after"
	Old    tcp.State // StateUnknown: any state
	New    tcp.State
	Cause  Cause // CauseAny, or the only one that the row is about
	Packet Packet
	Before bool // the packet stands before the transition
	Maybe  bool // the packet need not exist
}

// Packet names one packet of a connection as one of its sockets sees it.
type Packet struct {
	Out  bool
	Sign Sign
}

// Sign is how a packet is recognised.
type Sign uint8

// The signs, by their words in the table.
const (
	SignNone     Sign = iota
	SignSYN           // "S"
	SignSYNACK        // "S."
	SignThird         // "third ACK": acknowledges the SYN-ACK, and carries nothing
	SignFIN           // "F"
	SignFINAck        // "ack of own FIN" (in), "ack of peer's FIN" (out): the first that does
	SignReset         // "R": any reset
	SignOwnReset      // "R.": the socket's own; the kernel's answer to a stray segment lacks the dot
)

// packets are the words of the table's second column.
var packets = map[string]Packet{
	"in S": {false, SignSYN}, "out S": {true, SignSYN},
	"in S.": {false, SignSYNACK}, "out S.": {true, SignSYNACK},
	"in third ACK": {false, SignThird}, "out third ACK": {true, SignThird},
	"in F": {false, SignFIN}, "out F": {true, SignFIN},
	"in ack of own FIN": {false, SignFINAck}, "out ack of peer's FIN": {true, SignFINAck},
	"in R": {false, SignReset}, "out R.": {true, SignOwnReset},
}

// Cause tells apart transitions that look alike.
type Cause string

// The causes, by their words in the table; an errno is a cause too.
const (
	CauseAny    Cause = ""
	CauseHeld   Cause = "held"   // the application still has the socket open
	CauseOrphan Cause = "orphan" // nobody has it open
	CauseAbort  Cause = "abort"  // the application aborts: linger 0, unread data
)

// columns of the table.
const columns = 4

// ReadTable reads the rules from the one table of a Markdown file.
func ReadTable(path string) ([]Rule, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the table of order: %w", err)
	}
	var rules []Rule
	for n, line := range strings.Split(string(text), "\n") {
		cells, ok := row(line)
		if !ok {
			continue
		}
		r, err := parseRule(cells)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n+1, err)
		}
		rules = append(rules, r)
	}
	if len(rules) == 0 {
		return nil, fmt.Errorf("%s: there is no table", path)
	}
	return rules, nil
}

// row splits a line of the table's body into its cells.
func row(line string) ([]string, bool) {
	if !strings.HasPrefix(line, "|") {
		return nil, false
	}
	cells := strings.Split(strings.Trim(line, "| "), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells, cells[0] != "transition" && !strings.HasPrefix(cells[0], "---")
}

func parseRule(cells []string) (Rule, error) {
	var r Rule
	if len(cells) != columns {
		return r, fmt.Errorf("%d cells, want %d", len(cells), columns)
	}
	r.Text = fmt.Sprintf("%s: %s %s", cells[0], cells[1], cells[2])
	transition, cause, _ := strings.Cut(cells[0], ", ")
	r.Cause = Cause(cause)
	from, to, ok := strings.Cut(transition, " → ")
	if !ok {
		return r, fmt.Errorf("%q is no transition", transition)
	}
	var err error
	if from != "any" {
		if r.Old, err = stateNamed(from); err != nil {
			return r, err
		}
	}
	if r.New, err = stateNamed(to); err != nil {
		return r, err
	}
	if r.Packet, ok = packets[cells[1]]; !ok {
		return r, fmt.Errorf("%q is no packet", cells[1])
	}
	place, maybe := strings.CutSuffix(cells[2], ", if at all")
	r.Before, r.Maybe = place == "before", maybe
	if !r.Before && place != "after" {
		return r, fmt.Errorf("%q is neither before nor after", cells[2])
	}
	return r, nil
}

func stateNamed(name string) (tcp.State, error) {
	for s := tcp.Established; s <= tcp.BoundInactive; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("%q is no state", name)
}

// covers reports whether the rule is about a step.
func (r *Rule) covers(s *Step) bool {
	if r.Old != tcp.StateUnknown && r.Old != s.Old || r.New != s.New {
		return false
	}
	return r.Cause == CauseAny || r.Cause == s.Cause
}
