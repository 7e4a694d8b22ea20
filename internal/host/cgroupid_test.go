package host

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/host/hosttest"
)

func TestCgroupID(t *testing.T) {
	n, _ := watch(t)
	point := hosttest.Cgroup2(t)
	path, want := makeCgroup(t, "a/b")
	for _, given := range []string{
		point + path, point + path + "/", path, path[1:], "/.." + path, filepath.Dir(path)[1:] + "/./b/",
	} {
		if have, err := n.CgroupID(given); err != nil || have != want {
			t.Errorf("%s: %d, %v, want %d", given, have, err, want)
		}
	}
	root := inode(t, point)
	for _, given := range []string{"/", "", point} {
		if have, err := n.CgroupID(given); err != nil || have != root {
			t.Errorf("the root as %q: %d, %v, want %d", given, have, err, root)
		}
	}
}

func TestCgroupIDErrors(t *testing.T) {
	n, _ := watch(t)
	point := hosttest.Cgroup2(t)
	v1 := t.TempDir()
	if err := unix.Mount("none", v1, "cgroup", 0, "none,name="+hosttest.UniqueName()); err != nil {
		t.Fatal("mount a named version 1 hierarchy:", err)
	}
	defer unix.Unmount(v1, unix.MNT_DETACH)
	for given, wants := range map[string][]string{
		"no/such":                {point + "/no/such: no such file", "/proc/PID/cgroup"},
		"/no/such":               {"/no/such: no such file", point + "/no/such: no such file"},
		"/tmp":                   {"/tmp: not on a cgroup2 mount"},
		point + "/cgroup.procs":  {"cgroup.procs: not a directory"},
		v1:                       {"version 1"},
		"../../" + someID + "/x": {point + "/" + someID + "/x"},
	} {
		id, err := n.CgroupID(given)
		if err == nil {
			t.Errorf("%s: found %d", given, id)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", given, err, want)
			}
		}
	}
}

func TestCgroupIDWithoutMount(t *testing.T) {
	proc := t.TempDir()
	write(t, proc+"/self/mountinfo", "")
	n, _ := watchAt(t, Roots{Proc: proc, Run: "/run", Var: "/var"})
	if id, err := n.CgroupID("x"); !errors.Is(err, ErrNoCgroup2) {
		t.Errorf("%d, %v", id, err)
	}
}
