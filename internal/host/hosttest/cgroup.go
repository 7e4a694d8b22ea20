// Package hosttest makes, for tests, what internal/host looks at: cgroups and
// containers. All of it goes with the test.
package hosttest

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// made counts what tests name, so that no two names are equal.
var made atomic.Uint32

// UniqueName is no other test's.
func UniqueName() string {
	return fmt.Sprintf("tcpstory-host-%d-%d", os.Getpid(), made.Add(1))
}

// Mount is where a filesystem is mounted.
type Mount struct {
	Root, Point string
	Kind        string // cgroup2 …
}

// Mounts lists those of the test's mount namespace (proc_pid_mountinfo(5)), whose
// paths have nothing that is written as an escape.
func Mounts(t testing.TB) (list []Mount) {
	t.Helper()
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		place, kind, _ := strings.Cut(lines.Text(), " - ")
		f := strings.Fields(place)
		kind, _, _ = strings.Cut(kind, " ")
		list = append(list, Mount{Root: f[3], Point: f[4], Kind: kind})
	}
	return list
}

// Cgroup2 is where the host mounts its cgroup2, or where it is mounted for the test.
func Cgroup2(t testing.TB) string {
	t.Helper()
	for _, m := range Mounts(t) {
		var fs unix.Statfs_t
		if m.Kind == "cgroup2" && m.Root == "/" && unix.Statfs(m.Point, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return m.Point
		}
	}
	point := t.TempDir()
	if err := unix.Mount("none", point, "cgroup2", 0, ""); err != nil {
		t.Fatal("mount cgroup2 (as root):", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	return point
}

// MakeCgroup makes a cgroup, and one in it by the path below, and returns its path
// below the mount.
func MakeCgroup(t testing.TB, below string) (path string) {
	t.Helper()
	point := Cgroup2(t)
	path = filepath.Join("/", UniqueName(), below)
	for dir := path; dir != "/"; dir = filepath.Dir(dir) {
		defer t.Cleanup(func() { RemoveCgroup(t, point+dir) }) // the innermost last: it goes first
	}
	if err := os.MkdirAll(point+path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// RemoveCgroup removes a cgroup's directory, if it is there.
func RemoveCgroup(t testing.TB, dir string) {
	t.Helper()
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		t.Errorf("remove %s: %v", dir, err)
	}
}

// MoveTo takes a process to a cgroup: the sockets that it makes from now on are
// the cgroup's.
func MoveTo(t testing.TB, path string, pid int) {
	t.Helper()
	if err := os.WriteFile(Cgroup2(t)+path+"/cgroup.procs", fmt.Append(nil, pid), 0); err != nil {
		t.Fatal(err)
	}
}
