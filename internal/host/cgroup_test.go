package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/host/hosttest"
)

const someID = "6b1f9a0c2d3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccdde"

func TestCgroupByHand(t *testing.T) {
	n, _ := watch(t)
	path, id := makeCgroup(t, "deep/er")
	if have, want := n.Cgroup(id), (Cgroup{Path: path}); have != want {
		t.Errorf("cgroup %d: %+v, want %+v", id, have, want)
	}
	if have := n.Cgroup(inode(t, hosttest.Cgroup2(t))); have.Path != "/" {
		t.Errorf("the root: %+v", have)
	}
	if have := n.Cgroup(0); have != (Cgroup{}) {
		t.Errorf("no cgroup: %+v", have)
	}
	if n.Lack() != "" {
		t.Error(n.Lack())
	}
}

// The kernel's own word for a process's cgroup id is the one that we look up.
func TestCgroupOfProcess(t *testing.T) {
	n, _ := watch(t)
	path, id := makeCgroup(t, "docker/"+someID)
	dir, err := os.Open(hosttest.Cgroup2(t) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	pid := sleeper(t, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	})
	kernelID, told := processCgroup(t, pid)
	if kernelID != id || told != path {
		t.Fatalf("process in %d %s, want %d %s", kernelID, told, id, path)
	}
	want := Cgroup{Path: path, Container: someID, Runtime: docker}
	if have := n.Cgroup(kernelID); have != want {
		t.Errorf("%+v, want %+v", have, want)
	}
}

// processCgroup asks the kernel for a process's cgroup: its id by the pidfd, and
// before 6.13 by the inode of what /proc tells, and its path.
func processCgroup(t *testing.T, pid int) (id uint64, path string) {
	t.Helper()
	lines, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSpace(rest)
		}
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal("pidfd_open:", err)
	}
	defer unix.Close(fd)
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_CGROUPID}
	if err := unix.IoctlPidfdInfo(fd, &info); err == nil && info.Mask&unix.PIDFD_INFO_CGROUPID != 0 {
		return info.Cgroupid, path
	}
	return inode(t, hosttest.Cgroup2(t)+path), path
}

func TestCgroupRemoved(t *testing.T) {
	n, _ := watch(t)
	path, id := makeCgroup(t, "libpod-"+someID+".scope")
	want := Cgroup{Path: path, Container: someID, Runtime: podman}
	if have := n.Cgroup(id); have != want {
		t.Fatalf("%+v, want %+v", have, want)
	}
	hosttest.RemoveCgroup(t, hosttest.Cgroup2(t)+path)
	if have := n.Cgroup(id); have != want {
		t.Errorf("after its removal: %+v, want %+v", have, want)
	}
	late, _ := watch(t)
	if have := late.Cgroup(id); have != (Cgroup{}) || late.Lack() != "" {
		t.Errorf("first asked for after its removal: %+v (%s)", have, late.Lack())
	}
	if e, _ := late.cgroups.get(id); !e.settled {
		t.Error("asked for again and again, though ids are not used again")
	}
}

// Where only a part of the hierarchy is mounted, the rest is unknown, and said so.
func TestCgroupOutsideTheMount(t *testing.T) {
	inside, id := makeCgroup(t, "in/side")
	_, outsideID := makeCgroup(t, "")
	point := t.TempDir()
	if err := unix.Mount(hosttest.Cgroup2(t)+filepath.Dir(inside), point, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(point, unix.MNT_DETACH)
	n, _ := watch(t)
	n.refresh()
	var only []mount
	for _, m := range n.mounts.cgroup2 {
		if m.point == point {
			only = append(only, m)
		}
	}
	n.mounts.cgroup2 = only
	if have := n.Cgroup(id).Path; have != "/side" {
		t.Errorf("inside: %q", have)
	}
	if have := n.Cgroup(outsideID); have != (Cgroup{}) || !strings.Contains(n.Lack(), "outside") {
		t.Errorf("outside: %+v (%s)", have, n.Lack())
	}
}

// Without a cgroup2 mount the reason is told; when one comes it is found.
func TestCgroupMountComes(t *testing.T) {
	path, id := makeCgroup(t, "")
	proc := t.TempDir()
	for _, link := range []string{"self/fd", "self/ns"} {
		if err := os.MkdirAll(proc+"/self", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/proc/"+link, filepath.Join(proc, link)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, proc+"/self/mountinfo", "22 27 0:21 / /proc rw,relatime - proc proc rw\n")
	n, clock := watchAt(t, Roots{Proc: proc, Run: "/run", Var: "/var"})
	if have := n.Cgroup(id); have.Path != "" || !strings.Contains(n.Lack(), "no cgroup2") {
		t.Fatalf("%+v (%s)", have, n.Lack())
	}
	write(t, proc+"/self/mountinfo", "41 31 0:38 / "+hosttest.Cgroup2(t)+" rw,relatime - cgroup2 cgroup2 rw\n")
	clock.pass(rescanEvery)
	if have := n.Cgroup(id); have.Path != path || n.Lack() != "" {
		t.Errorf("%+v (%s)", have, n.Lack())
	}
}

func TestCgroupWithoutRights(t *testing.T) {
	if !withoutRights(t) {
		return
	}
	n, _ := watch(t)
	if have := n.Cgroup(inode(t, hosttest.Cgroup2(t))); have != (Cgroup{}) || !strings.Contains(n.Lack(), "CAP_DAC_READ_SEARCH") {
		t.Errorf("%+v (%s)", have, n.Lack())
	}
}

// A name that comes after the first look is found, asked for ever more seldom.
func TestCgroupNameComes(t *testing.T) {
	_, id := makeCgroup(t, "docker/"+someID)
	n, clock := watchAt(t, Roots{Proc: "/proc", Run: t.TempDir(), Var: t.TempDir()})
	if have := n.Cgroup(id); have.Container != someID || have.Name != "" {
		t.Fatalf("%+v", have)
	}
	write(t, n.roots.Var+"/lib/docker/containers/"+someID+"/config.v2.json", `{"ID":"`+someID+`","Name":"/web"}`)
	if have := n.Cgroup(id); have.Name != "" {
		t.Errorf("looked again at once: %+v", have)
	}
	clock.pass(firstWait)
	if have := n.Cgroup(id); have.Name != "web" {
		t.Errorf("not looked again: %+v", have)
	}
}

// Waits double up to their bound, for what stays unknown.
func TestCgroupWaits(t *testing.T) {
	_, id := makeCgroup(t, someID)
	n, clock := watchAt(t, Roots{Proc: "/proc", Run: t.TempDir(), Var: t.TempDir()})
	n.Cgroup(id)
	e, _ := n.cgroups.get(id)
	for want := firstWait; want < lastWait; want *= 2 {
		if have := e.next.Sub(clock.Time); have != want {
			t.Fatalf("waits %v, want %v", have, want)
		}
		clock.pass(want)
		n.Cgroup(id)
	}
	for range 3 {
		if have := e.next.Sub(clock.Time); have > lastWait {
			t.Fatalf("waits %v, want %v at most", have, lastWait)
		}
		clock.pass(lastWait)
		n.Cgroup(id)
	}
}

func TestCgroupsForgotten(t *testing.T) {
	r := recent[int, int]{limit: 4}
	for i := range 100 {
		r.put(i, i)
		if _, ok := r.get(0); !ok {
			t.Fatal("what is asked for again and again was forgotten")
		}
	}
	if len(r.young)+len(r.old) > 2*r.limit {
		t.Errorf("%d kept", len(r.young)+len(r.old))
	}
	if _, ok := r.get(99); !ok {
		t.Error("the latest was forgotten")
	}
}

func BenchmarkCgroup(b *testing.B) {
	n := New()
	defer n.Close()
	n.refresh()
	id, err := n.CgroupID("/")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n.Cgroup(id)
		}
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if _, err := n.cgroupPath(id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkNetns(b *testing.B) {
	n := New()
	defer n.Close()
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n.Netns(initNetns)
		}
	})
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			n.mounts.read()
			n.scanNetns()
		}
	})
}
