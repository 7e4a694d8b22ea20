package flight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// Incident is why the past is written: something happened to a connection, or to
// nobody in particular.
type Incident struct {
	Why    string     // a trigger's name
	Time   int64      // when, nanoseconds since 1970
	Conn   *conn.Conn // to whom, valid during the call; nil: to nobody
	Number uint64     // the conversation's; 0: none
	Cookie uint64     // the socket's, where Conn is nil and it is known; else 0
	Flow   tcp.Flow
}

// Trigger is one kind of incident.
type Trigger struct {
	Name      string
	Meaning   string
	Threshold string // what it is when nothing is said; "": it has none

	fires func(*Watch, *conn.Step) bool // nil: no single step does
}

// Names of the triggers that no step fires.
const (
	Stuck  = "stuck"
	Signal = "signal"
	Match  = "match"
	Rule   = RulePrefix + "NAME"
)

// RulePrefix stands before the name of one of why's rules, or all. Verdicts are made
// elsewhere: this package knows their names only.
const RulePrefix = "rule:"

const anyRule = "all"

// Triggers is the table that the flag, the help, the documentation and the tests
// read. What fires two is told as the first.
func Triggers() []Trigger { return slices.Clone(triggers) }

var triggers = []Trigger{
	{"connect-failed", "a connect() ends in an error, or a half-open connection is given up", "", (*Watch).connectFailed},
	{"timeout", "a connection dies because nothing came back", "", (*Watch).timeout},
	{"reset", "a socket that was connected sends or receives a RST", "", (*Watch).reset},
	{"retransmits", "more than N segments of one connection were sent again", "5", (*Watch).retransmits},
	{Stuck, "a connection is in a passing state (SYN_SENT, half-open SYN_RECV, FIN_WAIT1, CLOSE_WAIT …) for longer than T", "2m0s", nil},
	{Match, "a packet matches the expression of --match", "", (*Watch).matches},
	{Rule, "why gives the verdict NAME (`tcpstory why --rules` lists them; rule:all is any); only when asked for", "", nil},
	{Signal, "SIGUSR1 (always on): everything is written, as with --all", "", nil},
}

// Chosen is which triggers are on, with their thresholds.
type Chosen struct {
	on          map[string]bool
	rules       map[string]bool
	Retransmits uint32
	Stuck       time.Duration
	Match       func(*tcp.Packet) bool // nil: no expression
}

// On reports whether a trigger is on.
func (c *Chosen) On(name string) bool { return c.on[name] }

// Rules reports whether some rule's verdict is a trigger.
func (c *Chosen) Rules() bool { return len(c.rules) > 0 }

// OnRule reports whether that rule's is.
func (c *Chosen) OnRule(name string) bool { return c.rules[name] || c.rules[anyRule] }

// Choose reads words as name, name=threshold or rule:name. Without any, or with all,
// every trigger is on but the rules, of which isRule knows the names.
func Choose(words []string, isRule func(string) bool) (*Chosen, error) {
	c := &Chosen{on: map[string]bool{}, rules: map[string]bool{}}
	for _, t := range triggers {
		if t.Threshold != "" {
			_ = c.limit(t.Name, t.Threshold)
		}
	}
	if len(words) == 0 {
		words = []string{"all"}
	}
	for _, word := range words {
		if rule, ok := strings.CutPrefix(word, RulePrefix); ok {
			if rule != anyRule && (isRule == nil || !isRule(rule)) {
				return nil, fmt.Errorf("--on %s: there is no such rule; tcpstory why --rules lists them", word)
			}
			c.rules[rule] = true
			continue
		}
		name, limit, limited := strings.Cut(word, "=")
		i := slices.IndexFunc(triggers, func(t Trigger) bool { return t.Name == name })
		switch {
		case word == "all":
			for _, t := range triggers {
				c.on[t.Name] = t.Name != Rule
			}
			continue
		case i < 0:
			return nil, fmt.Errorf("--on %s: want all, or some of %s", word, Names())
		case limited && triggers[i].Threshold == "":
			return nil, fmt.Errorf("--on %s: %s has no threshold", word, name)
		case limited:
			if err := c.limit(name, limit); err != nil {
				return nil, fmt.Errorf("--on %s: %w", word, err)
			}
		}
		c.on[name] = true
	}
	c.on[Signal] = true
	return c, nil
}

func (c *Chosen) limit(name, value string) error {
	if name == Stuck {
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("want a time, as 90s or 5m")
		}
		c.Stuck = d
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("want a number")
	}
	c.Retransmits = uint32(n)
	return nil
}

// Names are the triggers' names, for people.
func Names() string {
	var names []string
	for _, t := range triggers {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}
