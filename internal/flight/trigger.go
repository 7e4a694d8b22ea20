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
)

// Triggers is the table that the flag, the help, the documentation and the tests
// read. What fires two is told as the first.
func Triggers() []Trigger { return slices.Clone(triggers) }

var triggers = []Trigger{
	{"connect-failed", "a connect() ends in an error, or a half-open connection is given up", "", (*Watch).connectFailed},
	{"timeout", "a connection dies because nothing came back", "", (*Watch).timeout},
	{"reset", "a socket that was connected sends or receives a RST", "", (*Watch).reset},
	{"retransmits", "more than N segments of one connection were sent again", "5", (*Watch).retransmits},
	{Stuck, "a connection is in a passing state (SYN_SENT, FIN_WAIT1, CLOSE_WAIT …) for longer than T", "2m0s", nil},
	{Match, "a packet matches the expression of --match", "", (*Watch).matches},
	{Signal, "SIGUSR1 (always on): everything is written, as with --all", "", nil},
}

// Chosen is which triggers are on, with their thresholds.
type Chosen struct {
	on          map[string]bool
	Retransmits uint32
	Stuck       time.Duration
	Match       func(*tcp.Packet) bool // nil: no expression
}

// On reports whether a trigger is on.
func (c *Chosen) On(name string) bool { return c.on[name] }

// Choose reads words as name or name=threshold. Without any, or with all, every
// trigger is on.
func Choose(words []string) (*Chosen, error) {
	c := &Chosen{on: map[string]bool{}}
	for _, t := range triggers {
		if t.Threshold != "" {
			_ = c.limit(t.Name, t.Threshold)
		}
	}
	if len(words) == 0 {
		words = []string{"all"}
	}
	for _, word := range words {
		name, limit, limited := strings.Cut(word, "=")
		i := slices.IndexFunc(triggers, func(t Trigger) bool { return t.Name == name })
		switch {
		case word == "all":
			for _, t := range triggers {
				c.on[t.Name] = true
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
