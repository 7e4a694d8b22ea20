// Command tcplab acts TCP's stories out between hosts that are network
// namespaces of their own: for tutorials, for tracers, for measuring.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	err := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(exitStatus(err))
}

// stdio is where a command reads and writes.
type stdio struct {
	in       *os.File
	out, err io.Writer
}

// command is one word after tcplab.
type command struct {
	name, args, about string
	run               func(ctx context.Context, args []string, std stdio) error
}

// commands in the order of the help. A function, since help is one of them.
func commands() []command {
	return []command{
		{"list", "", "show the scenarios", list},
		{"run", "NAME|all", "act a scenario out, told step by step", runScenario},
		{"demo", "[NAME]", "a scenario as tcpstory tells it", demo},
		{"load", "", "make short connections, as many as possible", load},
		{"bench", "", "what tracing costs, beside other tools", bench},
		{"clean", "", "remove what a lab left whose clean-up was killed too", clean},
	}
}

func run(ctx context.Context, args []string, std stdio) error {
	if len(args) == 0 {
		return usage("no command given", std)
	}
	if args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		printHelp(std.out)
		return nil
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return report(c.run(ctx, args[1:], std), std)
		}
	}
	return usage(fmt.Sprintf("there is no command %q", args[0]), std)
}

// errUsage is a mistake on the command line: exit status 2.
var errUsage = errors.New("see tcplab --help")

// usage reports a mistake on the command line.
func usage(what string, std stdio) error {
	return report(fmt.Errorf("%s: %w", what, errUsage), std)
}

// report prints an error, in one line, and passes it on.
func report(err error, std stdio) error {
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(std.err, "tcplab: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return err
}

func exitStatus(err error) int {
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	default:
		return 1
	}
}

// screenWidth is what help text must fit, columns.
const screenWidth = 80

// newFlags makes the flags of a command, with its own help.
func newFlags(name, args, about string, std stdio) *pflag.FlagSet {
	f := pflag.NewFlagSet(name, pflag.ContinueOnError)
	f.SetOutput(io.Discard) // pflag would print errors a second time
	f.Usage = func() {
		fmt.Fprintf(std.out, "%s\n%s\n\n%s", strings.TrimSpace("tcplab "+name+" "+args), about, f.FlagUsagesWrapped(screenWidth))
	}
	return f
}

// parse parses flags; a wrong one is a usage error.
func parse(f *pflag.FlagSet, args []string) error {
	err := f.Parse(args)
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		return fmt.Errorf("%v: %w", err, errUsage)
	}
	return err
}

func printHelp(out io.Writer) {
	fmt.Fprint(out, `tcplab: TCP's stories, acted out by real sockets between network namespaces.
Nothing happens outside them, and nothing of them stays. Needs root.

`)
	for _, c := range commands() {
		fmt.Fprintf(out, "  tcplab %-5s %-9s %s\n", c.name, c.args, c.about)
	}
	fmt.Fprint(out, `
tcplab COMMAND --help tells the flags. For example:

  tcplab run close-client-first -6
  tcplab run fin-wait2 --hold --command 'ip netns exec {client} ss -tano'
  tcplab load --seconds 5 --bytes 200 --close fin
`)
}
