package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// killWait bounds the wait for killed processes to be gone.
const killWait = 5 * time.Second

// namePrefix starts every name that a lab gives; the maker's pid follows.
const namePrefix = "tcplab-"

// Sweep removes the named namespaces of labs whose maker is dead, with all
// that lives in them, and returns their names. Only a lab whose reaper was
// killed together with its maker leaves any.
func Sweep() ([]string, error) {
	entries, err := os.ReadDir(namesDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for left-over namespaces: %w", err)
	}
	var stale []string
	for _, e := range entries {
		if makerIsDead(e.Name()) {
			stale = append(stale, e.Name())
		}
	}
	return stale, removeNamespaces(stale)
}

// makerIsDead reports whether name is a lab's and that lab's process is gone.
func makerIsDead(name string) bool {
	rest, ours := strings.CutPrefix(name, namePrefix)
	if !ours {
		return false
	}
	digits, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(digits)
	return err == nil && pid > 0 && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// removeNamespaces ends every process that lives in the named namespaces, then
// their sockets, links and names. Names that do not exist are no error.
func removeNamespaces(names []string) error {
	doomed := map[uint32]*namespace{}
	var errs []error
	for _, name := range names {
		n, err := openNamespace(name)
		if err != nil {
			errs = append(errs, err)
		}
		if n != nil {
			defer n.fd.Close()
			doomed[n.inode] = n
		}
	}
	if len(doomed) > 0 {
		errs = append(errs, killInhabitants(doomed))
	}
	for _, n := range doomed {
		errs = append(errs, n.empty())
	}
	for _, name := range names {
		errs = append(errs, removeName(name))
	}
	return errors.Join(errs...)
}

// openNamespace opens a named namespace; nil without error means that the
// name is not there, or that nothing was mounted on it yet.
func openNamespace(name string) (*namespace, error) {
	n := &namespace{name: name}
	var err error
	if n.fd, err = netns.GetFromPath(n.path()); errors.Is(err, unix.ENOENT) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", name, err)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(n.fd), &fs); err != nil || fs.Type != unix.NSFS_MAGIC {
		n.fd.Close()
		return nil, err
	}
	n.inode, err = inodeOf(n.path())
	return n, err
}

// empty destroys the sockets that outlive their processes (an orphan in
// FIN_WAIT1 would keep the namespace for minutes) and the links.
func (n *namespace) empty() error {
	destroySockets(n.fd)
	h, err := netlink.NewHandleAt(n.fd, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("empty %s: %w", n.name, err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list the links of %s: %w", n.name, err)
	}
	for _, link := range links {
		// A veth takes its peer along, and lo cannot go: failing is normal.
		if link.Type() == "veth" || link.Type() == "bridge" {
			_ = h.LinkDel(link)
		}
	}
	return nil
}

func removeName(name string) error {
	path := filepath.Join(namesDir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the name of a namespace: %w", err)
	}
	return nil
}
