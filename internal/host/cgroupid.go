package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// CgroupID finds the id of the cgroup that a user means by path: a directory of
// a cgroup2 mount, or, with or without a leading "/", a path relative to it, as
// /proc/PID/cgroup shows it behind "0::".
func (n *Names) CgroupID(path string) (uint64, error) {
	point, fd, err := n.openCgroup2()
	if err != nil {
		return 0, fmt.Errorf("find cgroup %s: %w", path, err)
	}
	unix.Close(fd)
	candidates := []string{filepath.Join(point, filepath.Join("/", path))}
	if filepath.IsAbs(path) {
		candidates = append([]string{filepath.Clean(path)}, candidates...)
	}
	tried := make([]string, 0, len(candidates))
	for _, candidate := range candidates {
		id, err := cgroupIDOf(candidate)
		if err == nil {
			return id, nil
		}
		tried = append(tried, fmt.Sprintf("%s: %v", candidate, err))
	}
	return 0, fmt.Errorf(`no cgroup of version 2 is named %q (tried %s); the line of /proc/PID/cgroup that begins with "0::" tells where a process is`,
		path, strings.Join(tried, "; "))
}

var (
	errCgroup1   = errors.New("a cgroup of version 1: sockets belong to those of version 2")
	errNotCgroup = errors.New("not on a cgroup2 mount")
)

// cgroupIDOf reads the id out of the directory's file handle; where the kernel
// gives another kind of handle the inode number is the id (64-bit hosts).
func cgroupIDOf(path string) (uint64, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return 0, err
	}
	switch int64(fs.Type) {
	case unix.CGROUP2_SUPER_MAGIC:
	case unix.CGROUP_SUPER_MAGIC:
		return 0, errCgroup1
	default:
		return 0, errNotCgroup
	}
	handle, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
	if err == nil && handle.Type() == kernfsHandle && handle.Size() == 8 {
		return binary.NativeEndian.Uint64(handle.Bytes()), nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}
