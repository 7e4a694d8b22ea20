package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"tcpstory/internal/lab/vm/script"
)

// environment is what every program in the guest finds.
var environment = []string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp"}

// program is the guest's one program while it runs.
type program struct {
	cmd    *exec.Cmd
	stdout *watched
	stderr *watched
	ended  chan struct{} // closed when err holds how it ended
	err    error
}

// start runs the job's program; its output goes to the host as it comes.
func start(job script.Job, out *port) (*program, error) {
	p := &program{
		cmd:    exec.Command(job.Args[0], job.Args[1:]...),
		stdout: newWatched(func(b []byte) { out.send(script.Message{Stdout: b}) }),
		stderr: newWatched(func(b []byte) { out.send(script.Message{Stderr: b}) }),
		ended:  make(chan struct{}),
	}
	p.cmd.Stdout = p.stdout
	p.cmd.Stderr = p.stderr
	p.cmd.Dir = "/tmp"
	p.cmd.WaitDelay = time.Second // a grandchild may hold the output open
	p.cmd.Env = append(environment, job.Env...)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the program: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// follow does the steps in order. The first that fails ends the script; the
// program is interrupted then, so that it can still tell its side.
func (p *program) follow(steps []script.Step) error {
	for i, s := range steps {
		if err := p.step(s); err != nil {
			return errors.Join(fmt.Errorf("step %d, %s %q: %w", i+1, s.Do, s.With, err), p.interrupt())
		}
	}
	return nil
}

func (p *program) step(s script.Step) error {
	switch s.Do {
	case script.Await:
		return p.await(p.stderr.seen([]byte(s.With)))
	case script.Read:
		p.stdout.forget()
		return p.await(p.stdout.seen([]byte(s.With)))
	case script.Talk:
		return talk(s.With)
	case script.Route:
		return route(s.With)
	case script.Fail:
		return fail(s.With)
	case script.NoPort:
		return noPort(s.With)
	case script.Interrupt:
		return p.interrupt()
	}
	return errors.New("no such action")
}

// await waits for a text to be written or for the program's end: all that it wrote
// has been seen by then.
func (p *program) await(hit <-chan struct{}) error {
	select {
	case <-hit:
		return nil
	case <-p.ended:
	}
	select {
	case <-hit:
		return nil
	default:
		return fmt.Errorf("the program ended before it wrote that (status %d)", p.wait())
	}
}

func (p *program) interrupt() error {
	err := p.cmd.Process.Signal(os.Interrupt)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// wait returns the program's exit status once it has ended.
func (p *program) wait() int {
	<-p.ended
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return p.cmd.ProcessState.ExitCode()
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return exit.ExitCode()
}

// sender is a writer that hands every piece on.
type sender func([]byte)

func (s sender) Write(b []byte) (int, error) { s(b); return len(b), nil }

// watched hands every piece on, keeps all of it, and lets one waiter at a time
// wait for a text. It is safe for concurrent use.
type watched struct {
	pass sender
	mu   sync.Mutex
	all  []byte
	want []byte
	hit  chan struct{} // nil while nobody waits
}

func newWatched(pass sender) *watched { return &watched{pass: pass} }

// Write implements io.Writer.
func (w *watched) Write(b []byte) (int, error) {
	w.pass(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, b...)
	w.check()
	return len(b), nil
}

// forget lets only what is written from now on count.
func (w *watched) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = nil
}

// seen returns a channel that is closed once text has been written.
func (w *watched) seen(text []byte) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	hit := make(chan struct{})
	w.want, w.hit = text, hit
	w.check()
	return hit
}

// check closes hit when its text is there. The lock is held.
func (w *watched) check() {
	if w.hit != nil && bytes.Contains(w.all, w.want) {
		close(w.hit)
		w.hit = nil
	}
}
