package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
)

// command is one word after tcpstory.
type command struct {
	name, brief string
	run         func(context.Context, *env) error
}

// commands is the table that run, -h and the docs read. The first is what a
// bare tcpstory does.
func commands() []command {
	return []command{
		{"trace", "states and packets, live, in one order (what a bare tcpstory does)", trace},
		{"record", "the same into a file, for -r", recordLive},
		{"why", "which are in trouble, and why", why},
		{"life", "a line for each when it ends", lifeLive},
		{"now", "every TCP socket as it stands", now},
		{"doctor", "what works here, and remedies", doctor},
		{"version", "of this program", versionAlone},
	}
}

func run(ctx context.Context, e *env) int {
	list := commands()
	if len(e.args) > 0 {
		for _, c := range list {
			if e.args[0] == c.name {
				e.args, e.command = e.args[1:], c.name
				return e.status(c.run(ctx, e))
			}
		}
	}
	return e.status(list[0].run(ctx, e))
}

func versionAlone(ctx context.Context, e *env) error {
	if len(e.args) > 0 {
		return usageError{fmt.Errorf("version takes no arguments")}
	}
	return version(ctx, e)
}

func version(_ context.Context, e *env) error {
	v := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok {
		v = buildVersion(info)
	}
	if e.closed {
		return errStdoutClosed
	}
	_, err := fmt.Fprintln(e.stdout, "tcpstory", v)
	return err
}

// buildVersion is the module's version and the commit it was built from.
func buildVersion(info *debug.BuildInfo) string {
	words := []string{info.Main.Version}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(info.Main.Version, s.Value[:12]) {
			words = append(words, s.Value[:12])
		}
	}
	return strings.Join(words, " ")
}
