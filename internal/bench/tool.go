package bench

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Tool is a tracer to measure.
type Tool struct {
	Name    string   // what Select takes
	Command []string // program and arguments

	origin  string                     // Debian package, for the remedy; "" is tcpstory
	script  string                     // for a shell, instead of Command
	tracefs bool                       // attaches by way of tracefs
	binary  bool                       // writes a capture, not lines
	header  uint64                     // lines before the first event
	quiet   time.Duration              // silence that says that nothing more will come
	ready   func(*process) bool        // whether it sees what happens from now on
	account func(*tally, string) error // completes the count by what it said at its end
}

// Title is the command line as tables show it.
func (t *Tool) Title() string { return strings.Join(t.Command, " ") }

// The tools' names.
const (
	StoryStates  = "tcpstory-states"
	Story        = "tcpstory"
	StoryPackets = "tcpstory-packets"
	StoryRecord  = "tcpstory-record"
	StoryLife    = "tcpstory-life"
	StoryFlight  = "tcpstory-flight"
	StoryWhy     = "tcpstory-why"
	TCPStates    = "tcpstates"
	TCPLife      = "tcplife"
	DumpLines    = "tcpdump-l"
	DumpFile     = "tcpdump-w"
	Nothing      = "none" // measures the benchmark itself; only by its name
)

// Time without output after which a tool has told all: the libbpf tools answer
// to each event, tcpstory's reader sleeps 50 ms at most, and a block of
// tcpdump's ring waits a second to be filled.
const (
	quietSoon  = 250 * time.Millisecond
	quietBlock = 1200 * time.Millisecond
)

// allTools are the tools in the order of the tables.
func allTools() []*Tool {
	return []*Tool{
		storyTool(StoryStates, "--no-packets"),
		storyTool(Story),
		storyTool(StoryPackets, "--no-states"),
		recordTool(),
		lifeTool(),
		flightTool(),
		whyTool(),
		libbpfTool(TCPStates),
		libbpfTool(TCPLife),
		dumpTool(DumpLines, "-l", "-nn", "-i", "lo"),
		dumpTool(DumpFile, "-w", "-", "-s", "128", "-i", "lo"),
	}
}

func storyTool(name string, args ...string) *Tool {
	return &Tool{
		Name: name, Command: append([]string{"tcpstory"}, args...),
		quiet: quietSoon, ready: saysListening, account: accountStory,
	}
}

// recordTool is tcpstory record, with packets as long as tcpdump's.
func recordTool() *Tool {
	t := storyTool(StoryRecord, "record", "-w", "-", "-s", "128")
	t.binary, t.account = true, accountRecord
	return t
}

// lifeTool is tcpstory life, whose lines have a head.
func lifeTool() *Tool {
	t := storyTool(StoryLife, "life")
	t.header = 1
	return t
}

// flightTool is the flight recorder, to which nothing happens: what it tells is what
// it has kept for a while.
func flightTool() *Tool {
	t := storyTool(StoryFlight, "record", "--ring", "64m", "-w", "/dev/shm/tcpstory-bench", "--keep-files", "1", "-s", "128")
	t.binary, t.account = true, accountRecord
	return t
}

// whyTool is tcpstory why, which has nothing to say of this load: what it tells is
// what it has looked at.
func whyTool() *Tool {
	t := storyTool(StoryWhy, "why")
	t.binary, t.account = true, accountRecord
	return t
}

func libbpfTool(name string) *Tool {
	return &Tool{
		Name: name, Command: []string{name}, origin: "libbpf-tools", tracefs: true,
		header: 1, quiet: quietSoon, ready: sleepsInPoll, account: accountLibbpf,
	}
}

func dumpTool(name string, args ...string) *Tool {
	return &Tool{
		Name: name, Command: append([]string{"tcpdump"}, args...), origin: "tcpdump",
		binary: args[0] == "-w", quiet: quietBlock, ready: saysListening, account: accountDump,
	}
}

// nothing is a process that does nothing: what it seems to add is the benchmark's error.
func nothing() *Tool {
	return &Tool{
		Name: Nothing, Command: []string{Nothing}, binary: true, quiet: quietSoon, ready: saysListening,
		script:  `trap 'kill $!; exit 0' INT; echo listening on nothing >&2; while :; do sleep 5 & wait; done`,
		account: func(*tally, string) error { return nil },
	}
}

// Select returns the tools of those names; without any, all but Nothing.
func Select(names ...string) ([]*Tool, error) {
	if len(names) == 0 {
		return allTools(), nil
	}
	var chosen []*Tool
	for _, name := range names {
		all := append(allTools(), nothing())
		i := slices.IndexFunc(all, func(t *Tool) bool { return t.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no tool %q: choose of %s", name, Names())
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// Names are the names that Select knows.
func Names() string {
	var names []string
	for _, t := range append(allTools(), nothing()) {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

// locate makes sure that the program is there before minutes are spent.
func (t *Tool) locate(tracer string) error {
	if t.script != "" {
		return nil
	}
	if t.origin == "" {
		if _, err := os.Stat(tracer); err != nil {
			return fmt.Errorf("find the tracer: %w: make build makes bin/tcpstory", err)
		}
		return nil
	}
	if _, err := exec.LookPath(t.Command[0]); err != nil {
		return fmt.Errorf("find %s: %w: apt-get install %s", t.Command[0], err, t.origin)
	}
	return nil
}

// commandLine is what is executed for the tool.
func (t *Tool) commandLine(tracer string) []string {
	words := t.Command
	if t.script != "" {
		return []string{"sh", "-c", t.script}
	}
	if t.origin == "" {
		words = append([]string{tracer}, t.Command[1:]...)
	}
	if t.tracefs {
		return withTracefs(words)
	}
	return words
}

// tracefsDir is where tools look for tracefs.
const tracefsDir = "/sys/kernel/tracing"

// withTracefs has a command find tracefs: where the host has not mounted it,
// the command mounts it in a mount namespace of its own. The shell is replaced
// by the tool, so the process stays the one that was started.
func withTracefs(words []string) []string {
	if _, err := os.Stat(tracefsDir + "/events"); err == nil {
		return words
	}
	mount := "mount -t tracefs tracefs " + tracefsDir + ` && exec "$0" "$@"`
	return append([]string{"unshare", "--mount", "sh", "-c", mount}, words...)
}
