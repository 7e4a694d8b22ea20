package host

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ErrGone means that a namespace's file no longer leads to it.
var ErrGone = errors.New("the network namespace is gone")

// Do runs f inside the namespace, on an OS thread of its own that is locked for
// f's time: sockets that f opens stay there, goroutines that f starts run
// outside. It returns f's error; a panic of f continues in the caller. Where the
// thread cannot return, that is an error too, and the thread ends.
func (ns Namespace) Do(f func() error) error {
	done := make(chan outcome, 1)
	go ns.visit(f, done)
	o := <-done
	if o.panicked != nil {
		panic(o.panicked)
	}
	return o.err
}

// outcome is how a visit ended.
type outcome struct {
	err      error
	panicked any
}

// visit brings the thread to the namespace and home again, however f ends.
func (ns Namespace) visit(f func() error, done chan<- outcome) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// To others the process is where its main thread is, and that one cannot end:
		// held here, it leaves the visit to another.
		defer runtime.UnlockOSThread()
		elsewhere := make(chan outcome, 1)
		go ns.visit(f, elsewhere)
		done <- <-elsewhere
		return
	}
	var out outcome
	defer func() { done <- out }()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		out.err = fmt.Errorf("open the thread's own network namespace: %w", err)
		return
	}
	defer unix.Close(home)
	if out.err = ns.enter(); out.err != nil {
		runtime.UnlockOSThread()
		return
	}
	defer func() {
		out.panicked = recover()
		if err := unix.Setns(home, unix.CLONE_NEWNET); err != nil {
			// Still locked, so the stray thread ends with this goroutine.
			out.err = errors.Join(out.err, fmt.Errorf("return from network namespace %s: %w", ns.Path, err))
			return
		}
		runtime.UnlockOSThread()
	}()
	out.err = errors.New("the visit ended by runtime.Goexit")
	out.err = f()
}

// enter takes the calling thread to the namespace, if it is still the one behind
// the path.
func (ns Namespace) enter() error {
	fd, err := unix.Open(ns.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("enter network namespace %s: %w", ns.Path, ErrGone)
	}
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w%s", ns.Path, err, remedy(err, "CAP_SYS_PTRACE"))
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("look at network namespace %s: %w", ns.Path, err)
	}
	if uint32(st.Ino) != ns.Inode {
		return fmt.Errorf("enter network namespace %s: %w (the path leads to %d now, not %d)", ns.Path, ErrGone, st.Ino, ns.Inode)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w%s", ns.Path, err, remedy(err, "CAP_SYS_ADMIN"))
	}
	return nil
}

// remedy names the right that is missing.
func remedy(err error, capability string) string {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return " (needs root or " + capability + ")"
	}
	return ""
}
