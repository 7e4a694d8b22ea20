package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Exit statuses.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// env is what a command sees of the world, so that tests can give it another.
type env struct {
	args     []string
	stdin    io.Reader
	stdout   *os.File
	stderr   io.Writer
	getenv   func(string) string
	terminal bool // stdout is one
}

func process() *env {
	return &env{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, terminal: term.IsTerminal(int(os.Stdout.Fd())),
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
	case errors.As(err, &usage):
		e.say("%v (tcpstory -h shows how)", err)
		return exitUsage
	}
	e.say("%v", err)
	return exitError
}
