package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// nowOptions is the command line of now.
type nowOptions struct {
	options // -p, --comm, --cgroup, --netns, -r, --json, -h, --version, the expression

	states []string // --state, as they were written
	wanted []tcp.State
	count  []string // --count
	groups []render.SocketGroup
	watch  string // --watch: seconds between two looks; "" one look
	every  time.Duration
	csv    bool
	wide   bool // -w

	listening bool // -l
}

const nowUsage = `usage: tcpstory now [flags] [filter expression]
Every TCP socket as it stands, of every network namespace that may be entered:
those of which some packet could match the filter, a pcap-filter(7) expression.

`

// watchEvery is --watch's time when none is given.
const watchEvery = "2"

func (o *nowOptions) flags() *pflag.FlagSet {
	f := newFlags()
	f.StringSliceVar(&o.states, "state", nil, "only those in `STATE` (repeatable): listen, estab …")
	o.choice.whoseFlags(f)
	f.StringSliceVarP(&o.count, "count", "c", nil, "how many, by `GROUP`: state, process … (-c ? lists all)")
	f.StringVar(&o.watch, "watch", "", "again and again, every `SECONDS` ("+watchEvery+")")
	f.Lookup("watch").NoOptDefVal = watchEvery
	f.StringVarP(&o.read, "read", "r", "", "those at the end of a recording `FILE` (- standard input)")
	f.BoolVarP(&o.wide, "wide", "w", false, "all columns, however wide the terminal")
	f.BoolVar(&o.csv, "csv", false, "comma-separated values")
	f.BoolVar(&o.json, "json", false, "one JSON object a line")
	f.CountP("numeric", "n", "names are never looked up, with it or without")
	o.habits(f)
	o.lastFlags(f)
	return f
}

// habits are letters that ss's and netstat's users type without thinking: what they ask
// for is there anyway, or with -w.
func (o *nowOptions) habits(f *pflag.FlagSet) {
	for letter, name := range map[string]string{"t": "tcp", "a": "all"} {
		f.CountP(name, letter, "always")
		_ = f.MarkHidden(name)
	}
	for letter, name := range map[string]string{"i": "info", "e": "extended", "m": "memory", "o": "timers"} {
		f.BoolVarP(&o.wide, name, letter, false, "as -w")
		_ = f.MarkHidden(name)
	}
	f.BoolVarP(&o.listening, "listening", "l", false, "as --state listen")
	_ = f.MarkHidden("listening")
}

// parseLetters parses; a p among other letters, as in ss -tanpi, asks for the processes,
// which are shown anyway, and has no number.
func parseLetters(f *pflag.FlagSet, args []string) error {
	args = slices.Clone(args)
	for i := range args {
		named := strings.HasSuffix(args[i], "p") && i+1 < len(args) && isNumber(args[i+1]) // -np 17
		if !named && lettersWithP.MatchString(args[i]) {
			args[i] = strings.ReplaceAll(args[i], "p", "")
		}
	}
	return f.Parse(args)
}

var lettersWithP = regexp.MustCompile(`^-([tanlieomw]+p|p[tanlieomw])[tanlieomw]*$`)

func parseNow(args []string) (*nowOptions, *pflag.FlagSet, error) {
	o := &nowOptions{}
	f := o.flags()
	if err := parseLetters(f, args); err != nil {
		return nil, nil, usageError{err}
	}
	if o.listening {
		o.states = append(o.states, "listen")
	}
	o.expr = strings.Join(f.Args(), " ")
	var c faults
	o.checkChoices(f, c.when)
	c.when(f.Changed("watch") && isNumber(o.expr), "--watch %s: write --watch=%s", o.expr, o.expr)
	c.when(o.csv && o.json, "--csv and --json: choose one")
	c.when(o.watch != "" && o.read != "", "-r reads a recording, which does not change: --watch has nothing to wait for")
	o.checkWatch(&c)
	o.checkStates(&c, f)
	o.checkGroups(&c, f)
	return o, f, c.first()
}

// isNumber: no expression, then, but what --watch shall take.
func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

// shortestWatch is how often one may look.
const shortestWatch = 100 * time.Millisecond

func (o *nowOptions) checkWatch(c *faults) {
	if o.watch == "" {
		return
	}
	every, err := time.ParseDuration(o.watch + "s")
	c.when(err != nil || every < shortestWatch || every > 24*time.Hour, "--watch=%s: want seconds, %v or more", o.watch, shortestWatch.Seconds())
	o.every = every
}

// stateAliases are ss's words for states, and others' that are not the kernel's.
var stateAliases = map[string]tcp.State{
	"estab": tcp.Established, "listening": tcp.Listen,
	"halfopen": tcp.NewSynRecv, "bound": tcp.BoundInactive, "unconn": tcp.BoundInactive,
}

// plainState is a state's name as it is compared: fin-wait-1 is FIN_WAIT1.
func plainState(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// statesNamed finds the states that a word means; syn-recv is half-open ones, too.
func statesNamed(word string) []tcp.State {
	plain := plainState(word)
	if s, ok := stateAliases[plain]; ok {
		return []tcp.State{s}
	}
	for s := tcp.Established; s <= tcp.BoundInactive; s++ {
		if plain == plainState(s.String()) {
			if s == tcp.SynRecv {
				return []tcp.State{s, tcp.NewSynRecv}
			}
			return []tcp.State{s}
		}
	}
	return nil
}

func (o *nowOptions) checkStates(c *faults, f *pflag.FlagSet) {
	c.when(f.Changed("state") && len(o.states) == 0, "--state: nothing is named")
	for _, word := range o.states {
		named := statesNamed(word)
		c.when(named == nil, "--state %s: want one of %s", word, stateWords())
		o.wanted = append(o.wanted, named...)
	}
}

func stateWords() string {
	var words []string
	for s := tcp.Established; s <= tcp.BoundInactive; s++ {
		words = append(words, strings.ReplaceAll(strings.ToLower(s.String()), "_", "-"))
	}
	return strings.Join(words, ", ")
}

func (o *nowOptions) checkGroups(c *faults, f *pflag.FlagSet) {
	c.when(f.Changed("count") && len(o.count) == 0, "--count: no group is named")
	for _, name := range o.count {
		g, ok := render.SocketGroupNamed(name)
		c.when(!ok, "--count %s: want one of %s", name, strings.Join(render.SocketGroupNames(), ", "))
		c.when(ok && slices.ContainsFunc(o.groups, func(have render.SocketGroup) bool { return have.Name == g.Name }), "--count %s: named twice", name)
		o.groups = append(o.groups, g)
	}
}

// isWanted is --state.
func (o *nowOptions) isWanted(s tcp.State) bool {
	return len(o.wanted) == 0 || slices.Contains(o.wanted, s)
}

// mask is --state as the kernel takes it: a bit for each state. It tells half-open
// connections as SYN_RECV.
func (o *nowOptions) mask(all uint32) uint32 {
	if len(o.wanted) == 0 {
		return all
	}
	var mask uint32
	for _, s := range o.wanted {
		mask |= 1 << s
		if s == tcp.NewSynRecv {
			mask |= 1 << tcp.SynRecv
		}
	}
	return mask
}

// describe is the line above a look of --watch.
func (o *nowOptions) describe(v *snapshot) string {
	what := fmt.Sprintf("%d TCP sockets", len(v.Sockets))
	if len(v.Sockets) != v.all {
		what = fmt.Sprintf("%d of %d TCP sockets", len(v.Sockets), v.all)
	}
	return v.Time.Format("2006-01-02 15:04:05.000") + "  " + what
}
