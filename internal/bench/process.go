package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// process is a tool that runs on a host of a lab. It prints into files in
// memory: no disk is measured, and nothing of them stays.
type process struct {
	tool      *Tool
	cmd       *exec.Cmd
	out, said *os.File
	started   time.Time
}

// Bounds of what is awaited.
const (
	readyWait = 20 * time.Second
	drainWait = 60 * time.Second
	endWait   = 30 * time.Second
)

// start starts a tool on the host and returns when it is ready. If stdout is
// nil, the tool prints into a file.
func start(ctx context.Context, h *lab.Host, t *Tool, tracer string, stdout *os.File) (*process, error) {
	words := t.commandLine(tracer)
	p := &process{tool: t, cmd: exec.CommandContext(ctx, words[0], words[1:]...)}
	// Nothing of the session's surroundings: over SSH tcpstory would filter.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TERM=dumb", "NO_COLOR=1"}
	if err := p.open(stdout); err != nil {
		return nil, err
	}
	p.started = time.Now()
	if err := h.Within(p.cmd.Start); err != nil {
		p.close()
		return nil, fmt.Errorf("start %s: %w", t.Title(), err)
	}
	return p, nil
}

func (p *process) open(stdout *os.File) (err error) {
	if p.said, err = memoryFile("said"); err != nil {
		return err
	}
	p.cmd.Stderr, p.cmd.Stdout = p.said, stdout
	if stdout != nil {
		return nil
	}
	if p.out, err = memoryFile("out"); err != nil {
		p.close()
		return err
	}
	p.cmd.Stdout = p.out
	return nil
}

func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("tcplab-bench-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (p *process) close() {
	for _, f := range []*os.File{p.out, p.said} {
		if f != nil {
			f.Close()
		}
	}
}

// content is all that is in the file. It leaves the offset, which the tool
// shares, alone.
func content(f *os.File) io.Reader { return io.NewSectionReader(f, 0, 1<<62) }

// text is what the tool said on standard error.
func (p *process) text() string {
	b, err := io.ReadAll(content(p.said))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// awaitReady returns when the tool sees what happens from now on.
func (p *process) awaitReady(ctx context.Context) error {
	err := await(ctx, readyWait, func() bool { return p.gone() || p.tool.ready(p) })
	switch {
	case err != nil:
		return fmt.Errorf("wait until %s is ready: %w: %q", p.tool.Title(), err, tail(p.text()))
	case p.gone():
		return fmt.Errorf("%s ended before it was ready: %q", p.tool.Title(), tail(p.text()))
	}
	return nil
}

// awaitDrained returns when the tool has printed all that it saw: when nothing
// came for its quiet time.
func (p *process) awaitDrained(ctx context.Context) error {
	size, since := int64(-1), time.Now()
	err := await(ctx, drainWait, func() bool {
		if now := p.size(); now != size {
			size, since = now, time.Now()
		}
		return time.Since(since) >= p.tool.quiet
	})
	if err != nil {
		return fmt.Errorf("wait until %s has printed all: %w", p.tool.Title(), err)
	}
	return nil
}

func (p *process) size() int64 {
	st, err := p.out.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}

// end ends the tool as Ctrl-C does and waits for it.
func (p *process) end() error {
	watchdog := time.AfterFunc(endWait, func() { _ = p.cmd.Process.Kill() })
	defer watchdog.Stop()
	err := p.cmd.Process.Signal(unix.SIGINT)
	if err := errors.Join(err, p.cmd.Wait()); err != nil {
		return fmt.Errorf("end %s: %w: %q", p.tool.Title(), err, tail(p.text()))
	}
	return nil
}

// abandon kills a tool after a failure; once it ended, nothing happens.
func (p *process) abandon() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
	p.close()
}

// errSlow is a wait that came to its bound.
var errSlow = errors.New("it takes too long")

// await looks every millisecond whether something came true.
func await(ctx context.Context, bound time.Duration, ok func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(bound); !ok(); {
		if time.Now().After(deadline) {
			return errSlow
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
