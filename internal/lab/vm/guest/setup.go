package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mounts are the file systems that a tracer or a test may look at.
var mounts = []struct{ kind, at string }{
	{"devtmpfs", "/dev"},
	{"proc", "/proc"},
	{"sysfs", "/sys"},
	{"tracefs", "/sys/kernel/tracing"},
	{"bpf", "/sys/fs/bpf"},
	{"cgroup2", "/sys/fs/cgroup"},
	{"tmpfs", "/tmp"},
	{"tmpfs", "/run"}, // for named network namespaces
}

// mountAll mounts what it can and returns everything that failed.
func mountAll() error {
	var failed []error
	for _, m := range mounts {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			failed = append(failed, err)
			continue
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			failed = append(failed, fmt.Errorf("mount %s on %s: %w", m.kind, m.at, err))
		}
	}
	return errors.Join(failed...)
}

// insert loads a kernel module; one that is there already is no error.
func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("insert module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("insert module %s: %w", path, err)
	}
	return nil
}

// linkUp sets a network device up. The kernel gives lo its addresses itself.
func linkUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}
