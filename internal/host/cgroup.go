package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Cgroup is what is known of a cgroup (version 2). Its words come from others:
// they may hold any byte.
type Cgroup struct {
	// Path is relative to the cgroup2 mount and begins with "/"; "" is unknown.
	Path string
	// Container is the innermost container's full id, or its name where the
	// runtime knows it by that alone; "" is none that the path tells.
	Container string
	// Name is the container's name, "namespace/pod/container" where Kubernetes
	// runs it; "" where no file of the runtime tells it. A later renaming goes
	// unnoticed.
	Name string
	// Runtime is docker, podman, containerd, cri-o, lxc … where path or files say
	// so, else "".
	Runtime string
}

// maxCgroups is how many cgroups are remembered at least.
const maxCgroups = 8192

// What is not known yet is looked up again after firstWait, then after twice as
// long, and so on up to lastWait.
const (
	firstWait = lookEvery
	lastWait  = time.Minute
)

// cgroupEntry is a Cgroup and when to ask again.
type cgroupEntry struct {
	Cgroup
	settled bool // there is nothing more to learn
	next    time.Time
	wait    time.Duration
}

// Cgroup looks a cgroup up by its id: what bpf_get_current_cgroup_id gives, and
// cgroup->kn->id. Ids are not used again, so what was once known of a cgroup stays
// after its removal; one that was removed before the first look stays unknown.
// 0 is no cgroup. It needs CAP_DAC_READ_SEARCH: see Lack.
func (n *Names) Cgroup(id uint64) Cgroup {
	if id == 0 {
		return Cgroup{}
	}
	e, ok := n.cgroups.get(id)
	if !ok {
		e = &cgroupEntry{wait: firstWait}
		n.cgroups.put(id, e)
	}
	if !e.settled {
		n.learn(id, e)
	}
	return e.Cgroup
}

// Lack says why cgroups cannot be looked up here; "": nothing is in the way.
func (n *Names) Lack() string {
	if n.lack == nil {
		return ""
	}
	return n.lack.Error()
}

func (n *Names) learn(id uint64, e *cgroupEntry) {
	now := n.now()
	if now.Before(e.next) {
		return
	}
	e.next = now.Add(e.wait)
	e.wait = min(2*e.wait, lastWait)
	if e.Path == "" {
		if e.settled = n.findPath(id, e); e.Path == "" {
			return
		}
	}
	n.nameContainer(&e.Cgroup)
	e.settled = e.Container == "" || e.Name != ""
}

// findPath fills in what the path tells, and reports whether that is final.
func (n *Names) findPath(id uint64, e *cgroupEntry) (final bool) {
	path, err := n.cgroupPath(id)
	if errors.Is(err, unix.ESTALE) { // removed
		n.lack = nil
		return true
	}
	if n.lack = err; err == nil {
		e.Cgroup = containerOf(path)
	}
	return false
}

// kernfsHandle is the type of a file handle of a cgroup: its id, in the host's
// byte order (FILEID_KERNFS in linux/exportfs.h, 5.5).
const kernfsHandle = 0xfe

// cgroupPath asks the kernel for the cgroup's path by its id; ESTALE: there is
// none (any more).
func (n *Names) cgroupPath(id uint64) (string, error) {
	point, fd, err := n.openCgroup2()
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	handle := unix.NewFileHandle(kernfsHandle, binary.NativeEndian.AppendUint64(nil, id))
	dir, err := unix.OpenByHandleAt(fd, handle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("look up a cgroup by its id: %w%s", err, remedy(err, "CAP_DAC_READ_SEARCH"))
	}
	defer unix.Close(dir)
	path, err := os.Readlink(fmt.Sprintf("%s/self/fd/%d", n.roots.Proc, dir))
	if err != nil {
		return "", fmt.Errorf("look up a cgroup by its id: %w", err)
	}
	if _, inode, err := inodeOf(path); err != nil || inode != id {
		// Removed between the two steps, or outside: then the kernel says "/".
		removed := false
		if path, removed = strings.CutSuffix(path, " (deleted)"); !removed {
			return "", fmt.Errorf("some cgroups are outside of what is mounted at %s", point)
		}
	}
	return below(point, path), nil
}

// below makes path, which is below point, relative to it.
func below(point, path string) string {
	return "/" + strings.TrimPrefix(strings.TrimPrefix(path, point), "/")
}

// ErrNoCgroup2 means that no cgroup hierarchy of version 2 is mounted.
var ErrNoCgroup2 = errors.New("no cgroup2 is mounted here (mount -t cgroup2 none /sys/fs/cgroup/unified)")

// CgroupRoot is where the hierarchy of version 2 is mounted; ErrNoCgroup2: it is not.
func (n *Names) CgroupRoot() (string, error) {
	point, fd, err := n.openCgroup2()
	if err == nil {
		unix.Close(fd)
	}
	return point, err
}

// openCgroup2 opens the cgroup2 mount; the caller closes fd.
func (n *Names) openCgroup2() (point string, fd int, err error) {
	if point, fd, err = n.mounts.openCgroup2(); err == nil {
		return point, fd, nil
	}
	n.refresh()
	return n.mounts.openCgroup2()
}

// openCgroup2 prefers a mount of the whole hierarchy.
func (m *mounts) openCgroup2() (point string, fd int, err error) {
	err = ErrNoCgroup2
	for _, whole := range []bool{true, false} {
		for _, mount := range m.cgroup2 {
			if (mount.root == "/") != whole {
				continue
			}
			if fd, err = openOn(mount.point, unix.CGROUP2_SUPER_MAGIC); err == nil {
				return mount.point, fd, nil
			}
		}
	}
	return "", -1, err
}

// openOn opens a directory that must be on the kind of filesystem.
func openOn(path string, magic int64) (fd int, err error) {
	// Not O_PATH: open_by_handle_at takes no such descriptor.
	fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || int64(fs.Type) != magic {
		unix.Close(fd)
		return -1, fmt.Errorf("%s: hidden below another mount", path)
	}
	return fd, nil
}
