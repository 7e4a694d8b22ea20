package sockets

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Holders finds the processes that have sockets open, in /proc, by the inodes of
// the sockets' files: all of them, since fork() and SCM_RIGHTS share a socket.
// What it does not find: a thread with a descriptor table of its own
// (unshare(CLONE_FILES)), a descriptor on its way through a unix socket, one that
// only io_uring holds, and the kernel's own sockets.
//
// denied counts the processes whose files may not be looked at (root or
// CAP_SYS_PTRACE); those that end meanwhile hold nothing.
func Holders(proc string, wanted func(inode uint32) bool) (held map[uint32][]tcp.Holder, denied int, err error) {
	dir, err := os.Open(proc)
	if err != nil {
		return nil, 0, fmt.Errorf("look for the sockets' processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, 0, fmt.Errorf("look for the sockets' processes: %w", err)
	}
	w := holderWalk{wanted: wanted, held: map[uint32][]tcp.Holder{}}
	for _, name := range names {
		pid, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			continue
		}
		switch err := w.process(filepath.Join(proc, name), uint32(pid)); {
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
			denied++
		}
	}
	return w.held, denied, nil
}

type holderWalk struct {
	wanted func(uint32) bool
	held   map[uint32][]tcp.Holder
	link   [32]byte // "socket:[4294967295]" fits
}

// filesAtOnce is how many names of descriptors are read at a time.
const filesAtOnce = 512

// process looks at the descriptors of one process.
func (w *holderWalk) process(dir string, pid uint32) error {
	files, err := os.Open(filepath.Join(dir, "fd"))
	if err != nil {
		return err
	}
	defer files.Close()
	task := tcp.Task{PID: pid, TID: pid}
	for named := false; ; {
		names, err := files.Readdirnames(filesAtOnce)
		for _, name := range names {
			inode, ok := w.socket(int(files.Fd()), name)
			if !ok || !w.wanted(inode) {
				continue
			}
			if !named {
				copy(task.Comm[:], comm(dir))
				named = true
			}
			fd, _ := strconv.Atoi(name)
			w.held[inode] = append(w.held[inode], tcp.Holder{Task: task, FD: fd, Via: tcp.ViaHeld})
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// socket reads the inode of a descriptor that is a socket.
func (w *holderWalk) socket(dir int, name string) (inode uint32, ok bool) {
	n, err := unix.Readlinkat(dir, name, w.link[:])
	if err != nil || n == len(w.link) {
		return 0, false
	}
	digits, ok := strings.CutPrefix(string(w.link[:n]), "socket:[")
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 32)
	return uint32(v), err == nil
}

// comm is the process's name, its main thread's.
func comm(dir string) []byte {
	b, _ := os.ReadFile(filepath.Join(dir, "comm")) // it may have ended
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return b
}
