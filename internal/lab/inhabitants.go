package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killInhabitants kills every process whose threads are all in one of the
// namespaces, and waits until they are gone. A process with only some thread
// there is a visitor (a tracer, the lab's own maker) and is left alone.
func killInhabitants(doomed map[uint32]*namespace) error {
	deadline := time.Now().Add(killWait)
	for {
		pids, err := inhabitants(doomed)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := killAndWait(pid, doomed, deadline); err != nil {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of the lab will not die", pids)
		}
	}
}

func inhabitants(doomed map[uint32]*namespace) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for the lab's processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && pid != os.Getpid() && livesIn(pid, doomed) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// livesIn reports whether every thread of the process is in the namespaces. A
// process that is gone, or a zombie, lives nowhere.
func livesIn(pid int, doomed map[uint32]*namespace) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns/net", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		inode, err := inodeOf(thread)
		if err != nil || doomed[inode] == nil {
			return false
		}
	}
	return true
}

// killAndWait kills by pidfd, having looked again once the pid cannot come to
// mean another process.
func killAndWait(pid int, doomed map[uint32]*namespace, deadline time.Time) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // gone meanwhile
	}
	defer unix.Close(fd)
	if !livesIn(pid, doomed) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill process %d of the lab: %w", pid, err)
	}
	return pollUntil(fd, unix.POLLIN, deadline)
}

// pollUntil waits until one of the events is there on fd.
func pollUntil(fd int, events int16, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(fds, int(left/time.Millisecond)+1)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}
