package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tcpstory/internal/capture"
)

// lock is an advisory lock (flock(2)) on a file that is there for nothing else. The
// kernel gives it back when the process ends, however it ends: a file that a killed
// one has left is free.
type lock struct{ file *os.File }

// lockName is a lock's file for one user's names of incidents. Others have budgets of
// their own, and may be refused the file.
func lockName(dir, base string) string {
	return filepath.Join(dir, "."+base+strconv.Itoa(os.Geteuid())+".lock")
}

// heldError: somebody else has the lock; by is what that one has written into its file.
type heldError struct{ by string }

func (e *heldError) Error() string { return "process " + e.by + " holds it" }

// mostTries bounds how often a lock's file may be removed, by who gives it back, while
// it is taken.
const mostTries = 100

// takeLock does not wait: a *heldError says that somebody has it.
func takeLock(name string) (*lock, error) {
	for range mostTries {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, capture.FileMode)
		if err != nil {
			return nil, err
		}
		if err = ourOwn(f); err == nil {
			err = lockFile(f)
		}
		if err == nil && stillThere(f, name) {
			sign(f)
			return &lock{f}, nil
		}
		if closeErr := f.Close(); err != nil || closeErr != nil {
			return nil, errors.Join(err, closeErr)
		}
	}
	return nil, fmt.Errorf("lock %s: it is removed again and again", name)
}

// ourOwn refuses what somebody else may have put there, in a directory that others may
// write to.
func ourOwn(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || int(st.Uid) != os.Geteuid() || st.Nlink > 1 {
		return fmt.Errorf("%s is not a file of ours alone: remove it, or choose other names by -w", f.Name())
	}
	return nil
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	by, err := io.ReadAll(io.LimitReader(f, 20))
	if err != nil || len(by) == 0 { // it has only just taken it
		by = []byte("?")
	}
	return &heldError{strings.TrimSpace(string(by))}
}

// stillThere: the file that was locked is the one that others would open.
func stillThere(f *os.File, name string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Lstat(name)
	return err == nil && os.SameFile(ours, theirs)
}

// sign writes whose the lock is, for people: where there is no room for that, not.
func sign(f *os.File) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
}

// release removes the file while the lock is held, and gives that back.
func (l *lock) release() error {
	err := os.Remove(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) { // somebody has tidied up
		err = nil
	}
	return errors.Join(err, l.file.Close())
}

// busyShelf says what to do about a lock that was not to be had.
func busyShelf(err error, begin string) error {
	var held *heldError
	if errors.As(err, &held) {
		return fmt.Errorf("process %s writes incidents %s* already, and each would remove the other's files: give this recorder names of its own, as -w %s2", held.by, begin, strings.TrimSuffix(begin, "-"))
	}
	return fmt.Errorf("lock the files of incidents: %w", err)
}
