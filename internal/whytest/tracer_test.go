package whytest

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait: far more than anything takes, even on a busy machine.
const patience = 30 * time.Second

// tracer is a tcpstory at work.
type tracer struct {
	t        *testing.T
	cmd      *exec.Cmd
	out      bytes.Buffer // to be read when it has ended
	err      watched
	listens  chan struct{}
	finished bool
}

// watched is standard error; it tells when tracing has begun.
type watched struct {
	mu   sync.Mutex
	text strings.Builder
	tell func()
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	if w.tell != nil && strings.Contains(w.text.String(), "tcpstory: listening on") {
		w.tell()
		w.tell = nil
	}
	return len(b), nil
}

// trace starts tcpstory and waits until it listens.
func trace(t *testing.T, args ...string) *tracer {
	t.Helper()
	p := &tracer{t: t, cmd: exec.Command(tcpstory, args...), listens: make(chan struct{})}
	p.err.tell = func() { close(p.listens) }
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !p.finished {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	select {
	case <-p.listens:
	case <-time.After(patience):
		t.Fatalf("%v does not listen: %s", args, &p.err.text)
	}
	return p
}

// end has it end in good order, and returns its standard output.
func (p *tracer) end(status int) string {
	p.t.Helper()
	if err := p.cmd.Process.Signal(unix.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Wait()
	p.finished = true
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Fatalf("%v: exit status %d, want %d: %s\n%s", p.cmd.Args, got, status, &p.err.text, &p.out)
	}
	return p.out.String()
}
