package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace and a file by which it can be entered.
type Namespace struct {
	Inode uint32 // as in net:[4026531833]
	Path  string // a name, a mount, or /proc/PID/ns/net
}

// Namespaces lists the network namespaces that processes live in or that have a
// name or a mount, each once, our own first. denied counts processes that may not
// be looked at (CAP_SYS_PTRACE): theirs may be missing. A namespace that only a
// thread, a socket or an open file holds is not found.
func (n *Names) Namespaces() (found []Namespace, denied int, err error) {
	self := n.roots.Proc + "/self/ns/net"
	nsfs, own, err := inodeOf(self)
	if err != nil {
		return nil, 0, fmt.Errorf("find our own network namespace: %w", &os.PathError{Op: "stat", Path: self, Err: err})
	}
	s := survey{nsfs: nsfs, seen: map[uint32]bool{}}
	s.add(uint32(own), self)
	n.surveyNames(&s)
	denied, err = n.surveyProcesses(&s)
	return s.found, denied, err
}

// survey gathers namespaces, each once: those with lasting paths come first.
type survey struct {
	nsfs  uint64 // the device number of all namespace files
	seen  map[uint32]bool
	found []Namespace
}

func (s *survey) add(inode uint32, path string) {
	if !s.seen[inode] {
		s.seen[inode] = true
		s.found = append(s.found, Namespace{inode, path})
	}
}

// look adds what is behind path, if that is a namespace.
func (s *survey) look(path string) error {
	dev, inode, err := inodeOf(path)
	if err == nil && dev == s.nsfs {
		s.add(uint32(inode), path)
	}
	return err
}

func (n *Names) surveyNames(s *survey) {
	for _, dir := range n.netnsDirs() {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			_ = s.look(filepath.Join(dir, e.Name())) // a name without a namespace
		}
	}
	m := mounts{file: n.mounts.file}
	m.read()
	for _, mount := range m.nsfs {
		if _, ok := mount.netnsOf(); ok {
			_ = s.look(mount.point) // unreachable below another mount
		}
	}
}

func (n *Names) surveyProcesses(s *survey) (denied int, err error) {
	dir, err := os.Open(n.roots.Proc)
	if err != nil {
		return 0, fmt.Errorf("look for network namespaces: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, fmt.Errorf("look for network namespaces: %w", err)
	}
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			continue
		}
		err := s.look(filepath.Join(n.roots.Proc, name, "ns/net"))
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			denied++
		}
	}
	return denied, nil
}
