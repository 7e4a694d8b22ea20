package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namesDir is where iproute2 looks for named network namespaces.
const namesDir = "/run/netns"

// namespace is a network namespace with a name in namesDir.
type namespace struct {
	name  string
	fd    netns.NsHandle
	inode uint32
}

func (n *namespace) path() string { return filepath.Join(namesDir, n.name) }

// newNamespace makes and names a network namespace. The name is the reaper's
// to remove; the caller closes fd.
func newNamespace(name string) (*namespace, error) {
	n := &namespace{name: name, fd: netns.None()}
	if err := shareNames(); err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	err := visit(func() (err error) {
		n.fd, err = netns.NewNamed(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	if n.inode, err = inodeOf(n.path()); err != nil {
		n.fd.Close()
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	return n, nil
}

// shareNames prepares namesDir as "ip netns add" does and leaves it so: a mount
// of its own, shared. Were it left to a later "ip netns add", that would mount
// the directory over itself, with our names out of reach below. The lock is
// the one that iproute2 takes.
func shareNames() error {
	if err := os.MkdirAll(namesDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(namesDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", namesDir, err)
	}
	share := func() error { return unix.Mount("", namesDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	if err := share(); err != unix.EINVAL { // EINVAL: it is no mount yet
		return wrap(err, "share "+namesDir)
	}
	if err := unix.Mount(namesDir, namesDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s on itself: %w", namesDir, err)
	}
	return wrap(share(), "share "+namesDir)
}

// wrap names the step that failed, if it did.
func wrap(err error, step string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", step, err)
}

// within runs f on a thread that is in the namespace. Sockets that f makes
// stay there, and processes that it starts are born there.
func (n *namespace) within(f func() error) error {
	return visit(func() error {
		if err := netns.Set(n.fd); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.name, err)
		}
		return f()
	})
}

// visit runs f on an OS thread of its own, which f may take to another network
// namespace, and brings the thread home again.
func visit(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("open the thread's own network namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if back := netns.Set(home); back != nil {
			// Still locked, so the stray thread ends with this goroutine.
			done <- fmt.Errorf("return from a network namespace: %w", back)
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// inodeOf returns the inode that identifies the namespace behind path: what
// /proc/PID/ns/net shows and what the kernel calls ns.inum.
func inodeOf(path string) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint32(st.Ino), nil
}
