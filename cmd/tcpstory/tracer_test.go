package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait of a test: far more than anything takes, even on
// a machine that is busy with other tests.
const patience = 20 * time.Second

// listens is the line that says tracing has begun.
var listens = regexp.MustCompile(`^tcpstory: listening on `)

// line is one line of output with the time at which it could be read.
type line struct {
	text string
	at   time.Time
}

// stream gathers the lines of a process's output as they come.
type stream struct {
	mu    sync.Mutex
	lines []line
	ended bool
	news  chan struct{} // closed when something has changed
}

func newStream() *stream { return &stream{news: make(chan struct{})} }

func (s *stream) gather(r io.Reader) {
	for in := bufio.NewReader(r); ; {
		text, err := in.ReadString('\n')
		s.mu.Lock()
		if text != "" {
			s.lines = append(s.lines, line{strings.TrimSuffix(text, "\n"), time.Now()})
		}
		s.ended = err != nil
		close(s.news)
		s.news = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *stream) snapshot() (lines []line, ended bool, news <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines, s.ended, s.news
}

// text is everything so far.
func (s *stream) text() []string {
	lines, _, _ := s.snapshot()
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.text
	}
	return texts
}

// until waits for ok to hold of the lines so far.
func (s *stream) until(ok func([]line) bool) error {
	deadline := time.After(patience)
	for {
		lines, ended, news := s.snapshot()
		switch {
		case ok(lines):
			return nil
		case ended:
			return fmt.Errorf("the output ended before")
		}
		select {
		case <-news:
		case <-deadline:
			return fmt.Errorf("nothing within %v", patience)
		}
	}
}

// proc is a program that a test watches: tcpstory, or a witness.
type proc struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err *stream
	started  time.Time
	gathered sync.WaitGroup
	waited   bool
}

// start starts a command and gathers what it writes; a Stdout that is set
// already is left alone. Whatever happens, the process ends with the test.
func start(t *testing.T, cmd *exec.Cmd) *proc {
	t.Helper()
	p := &proc{t: t, cmd: cmd, out: newStream(), err: newStream()}
	if cmd.Stdout == nil {
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		p.gathered.Go(func() { p.out.gather(out) })
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.started = time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.gathered.Go(func() { p.err.gather(stderr) })
	t.Cleanup(func() {
		if !p.waited {
			p.cmd.Process.Kill()
			p.wait()
		}
	})
	return p
}

// wait returns the exit status: -1 for death by a signal. A process that does not
// end in time is killed, and the test fails.
func (p *proc) wait() int {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() {
		p.cmd.Process.Kill()
		p.t.Errorf("%v: still running %v after its end was due: killed\n%s", p.cmd.Args, patience, p.both())
	})
	p.gathered.Wait()
	p.waited = true
	p.cmd.Wait()
	timer.Stop()
	return p.cmd.ProcessState.ExitCode()
}

// ends wants the process to end by itself, in time, with a status.
func (p *proc) ends(status int) {
	p.t.Helper()
	if got := p.wait(); got != status {
		p.t.Fatalf("%v: exit status %d, want %d\n%s", p.cmd.Args, got, status, p.both())
	}
}

// interrupt presses Ctrl-C and wants an orderly end.
func (p *proc) interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(unix.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	p.ends(0)
}

// awaits waits for a line of standard output that matches.
func (p *proc) awaits(pattern string) line {
	p.t.Helper()
	return p.awaitsIn(p.out, regexp.MustCompile(pattern))
}

func (p *proc) awaitsIn(s *stream, pattern *regexp.Regexp) (found line) {
	p.t.Helper()
	err := s.until(func(lines []line) bool {
		for _, l := range lines {
			if pattern.MatchString(l.text) {
				found = l
				return true
			}
		}
		return false
	})
	if err != nil {
		p.t.Fatalf("%v: no line %s: %v\n%s", p.cmd.Args, pattern, err, p.both())
	}
	return found
}

// gap is a line that tells of lost events. Which is fair: other namespaces'
// traffic may interrupt the programs, and what was lost then is not ours.
var gap = regexp.MustCompile(`\*\*\* (up to )?\d+ events? lost here: |"kind":"gap"`)

// lines is standard output so far but for gaps.
func (p *proc) lines() []string {
	return slices.DeleteFunc(p.out.text(), gap.MatchString)
}

func (p *proc) both() string {
	return strings.Join(p.out.text(), "\n") + "\nstandard error:\n" + strings.Join(p.err.text(), "\n")
}

// runner is where commands run: a host of a laboratory, or here.
type runner interface {
	Command(ctx context.Context, name string, args ...string) *exec.Cmd
}

// here runs commands in the test's own namespaces.
type here struct{}

func (here) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

// watch starts tcpstory and waits until it listens.
func watch(t *testing.T, on runner, args ...string) *proc {
	t.Helper()
	p := start(t, tcpstory(on, args...))
	p.awaitsIn(p.err, listens)
	return p
}

// tcpstory is the command, not yet started.
func tcpstory(on runner, args ...string) *exec.Cmd {
	cmd := on.Command(context.Background(), "tcpstory", args...)
	cmd.Env = plainEnv()
	return cmd
}

// plainEnv is the environment without what changes the output.
func plainEnv() (env []string) {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "SSH_CONNECTION", "NO_COLOR", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ":
			continue
		}
		env = append(env, v)
	}
	return append(env, "TZ=UTC")
}
