package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tcpstory/internal/kernel"
)

// Exit statuses.
const (
	exitOK      = 0
	exitError   = 1
	exitUsage   = 2
	exitTrouble = 3 // why --once has found some
)

// env is what a command sees of the world, so that tests can give it another.
type env struct {
	args     []string
	command  string // its name; "": trace's, unnamed
	stdin    io.Reader
	stdout   *os.File
	stderr   io.Writer
	getenv   func(string) string
	terminal bool // stdout is one
	closed   bool // stdout was closed from the start
}

func process() *env {
	return &env{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, terminal: term.IsTerminal(int(os.Stdout.Fd())), closed: stdoutClosed(),
	}
}

// say writes one line to stderr.
func (e *env) say(format string, args ...any) {
	fmt.Fprintf(e.stderr, "tcpstory: "+format+"\n", args...)
}

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

// quietly reports whether err only says that nobody reads our output any more
// (head, less): an end like any other.
func quietly(err error) bool { return errors.Is(err, unix.EPIPE) }

// status turns a command's error into its exit status and says what went wrong.
func (e *env) status(err error) int {
	var usage usageError
	switch {
	case err == nil, quietly(err):
		return exitOK
	case err == errTrouble:
		return exitTrouble
	case errors.As(err, &usage):
		e.say("%s (%s -h shows how)", oneLine(err), strings.TrimSpace("tcpstory "+e.command))
		return exitUsage
	}
	var refused kernel.Refused
	if errors.As(err, &refused) {
		e.say("%s (tcpstory doctor says what is missing)", oneLine(err))
		return exitError
	}
	e.say("%s", oneLine(err))
	return exitError
}

// oneLine tells joined errors in one line, each once: a full disk is found
// again when the file is closed.
func oneLine(err error) string {
	var told []string
	for text := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.Contains(told, text) {
			told = append(told, text)
		}
	}
	return strings.Join(told, "; ")
}
