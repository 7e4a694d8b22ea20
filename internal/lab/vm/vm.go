package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab/vm/script"
)

// How a machine can end without its program's exit status.
var (
	ErrPanic   = errors.New("the guest's kernel panicked")
	ErrTimeout = errors.New("the guest was still running at its time limit")
	ErrSilent  = errors.New("the guest ended without a status")
)

// Job is one program for one boot.
type Job struct {
	Binary  string            // static linux/amd64 program on the host
	Args    []string          // without the program's name
	Env     []string          // KEY=value, beside PATH, HOME and TMPDIR
	Files   map[string]string // path in the guest: file on the host
	Modules []string          // kernel modules; what they depend on is inserted first
	Steps   []Step            // done in order while the program runs; none: it just runs to its end
	Memory  int               // MiB; 0: 512
	CPUs    int               // 0: 1
	Timeout time.Duration     // for the whole machine; 0: five minutes
	Output  io.Writer         // gets stdout and stderr as they come; nil: nobody
}

// Step is one thing that the guest does while the program runs.
type Step = script.Step

// AwaitStderr waits until the program has written text to stderr.
func AwaitStderr(text string) Step { return Step{Do: script.Await, With: text} }

// AwaitStdout waits until the program writes text to stdout anew.
func AwaitStdout(text string) Step { return Step{Do: script.Read, With: text} }

// Talk makes one TCP connection inside the guest: a handshake, four bytes each
// way, a close in four steps with the client first. Address is the listener's,
// such as "[::1]:80"; port 0 takes any.
func Talk(address string) Step { return Step{Do: script.Talk, With: address} }

// Route adds a route of a type that leads nowhere: "unreachable", "blackhole" or
// "prohibit", to a destination such as "10.1.0.0/16".
func Route(kind, destination string) Step {
	return Step{Do: script.Route, With: kind + " " + destination}
}

// Fail connects inside the guest to an address such as "10.1.0.1:80", with a
// plain TCP socket of the address's own family ("[::ffff:10.1.0.1]:80" takes an
// IPv6 one), and wants the error.
func Fail(address string, want unix.Errno) Step {
	return Step{Do: script.Fail, With: address + " " + unix.ErrnoName(want)}
}

// NoPort listens on an address, leaves its port as the only one that connect()
// may choose from, and wants a connect() there to find none free.
func NoPort(address string) Step { return Step{Do: script.NoPort, With: address} }

// Interrupt sends SIGINT to the program.
func Interrupt() Step { return Step{Do: script.Interrupt} }

// Result is what a machine left behind.
type Result struct {
	Stdout, Stderr []byte
	Status         int           // exit status, 128+n for signal n; -1 if there was none
	KernelLog      string        // warnings and worse
	Boot           time.Duration // from QEMU's start to the guest's process 1
	Total          time.Duration // from QEMU's start to its end
}

// Run boots k with job's program and waits until the machine has ended. An exit
// status other than 0 is no error; a step that failed, a panic (ErrPanic), a
// time-out (ErrTimeout) and a guest that ended otherwise (ErrSilent) are. The
// Result holds what there was in any case.
func Run(ctx context.Context, k Kernel, job Job) (Result, error) {
	none := Result{Status: -1}
	if err := checkStatic(job.Binary); err != nil {
		return none, err
	}
	dir, err := os.MkdirTemp("", "tcpstory-vm-")
	if err != nil {
		return none, fmt.Errorf("make a directory for the machine: %w", err)
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := writeInitrd(initrd, k, job); err != nil {
		return none, fmt.Errorf("pack the guest: %w", err)
	}
	timeout := job.Timeout
	if timeout == 0 {
		timeout = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrTimeout)
	defer cancel()
	return boot(ctx, machine{
		image: k.Image, initrd: initrd, log: filepath.Join(dir, "kernel.log"),
		memory: job.Memory, cpus: job.CPUs,
	}, job.Output)
}

// verdict turns a machine that gave no status into the error that says why.
func verdict(ctx context.Context, res *Result, problems []string) error {
	switch {
	case res.Status >= 0 && len(problems) == 0:
		return nil
	case res.Status >= 0:
		return fmt.Errorf("in the guest: %s", strings.Join(problems, "; "))
	case ctx.Err() != nil:
		return withLog(context.Cause(ctx), res.KernelLog)
	case strings.Contains(res.KernelLog, "Kernel panic"):
		return withLog(ErrPanic, res.KernelLog)
	}
	return withLog(fmt.Errorf("%w %s", ErrSilent, strings.Join(problems, "; ")), res.KernelLog)
}

// withLog adds the end of the kernel log to err.
func withLog(err error, log string) error {
	const tail = 2000
	if len(log) > tail {
		log = "…" + log[len(log)-tail:]
	}
	return fmt.Errorf("%w; kernel log: %s", err, strings.TrimSpace(log))
}
