package host

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// box is a container that podman runs with runc: one static program, its store
// and state in a directory of its own.
type box struct {
	name, dir, parent string
	cmd               *exec.Cmd
	stdin             io.Closer
}

// podman with runc: of Debian 12's runtimes that give a name and need no daemon it
// is the one that runs here (crun wants CAP_SYS_RESOURCE and no hybrid cgroups,
// runc alone has no names, systemd-nspawn needs systemd to make its scope).
func TestPodman(t *testing.T) {
	b := startBox(t)
	out := strings.Fields(b.podman(t, "inspect", "--format", "{{.Id}} {{.State.Pid}}", b.name))
	if len(out) != 2 {
		t.Fatalf("podman inspect: %q", out)
	}
	var pid int
	if _, err := fmt.Sscan(out[1], &pid); err != nil {
		t.Fatal(err)
	}
	number, path := processCgroup(t, pid)
	n, _ := watchAt(t, Roots{Proc: "/proc", Run: b.dir + "/run", Var: b.dir + "/var"})
	want := Cgroup{Path: path, Container: out[0], Name: b.name, Runtime: podman}
	if have := n.Cgroup(number); have != want || !strings.HasPrefix(path, b.parent+"/") {
		t.Errorf("process %d in cgroup %d:\n  %+v, want\n  %+v", pid, number, have, want)
	}
	b.stop(t)
	if have := n.Cgroup(number); have != want {
		t.Errorf("after its end: %+v", have)
	}
	late, _ := watchAt(t, n.roots)
	if have := late.Cgroup(number); have != (Cgroup{}) {
		t.Errorf("first asked for after its end: %+v", have)
	}
}

// startBox returns once the container's process runs.
func startBox(t *testing.T) *box {
	t.Helper()
	name := uniqueName()
	b := &box{name: name, dir: t.TempDir(), parent: "/" + name}
	build := exec.Command("go", "build", "-o", b.dir+"/rootfs/sleeper", "./testdata/sleeper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // static
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the container's program: %v\n%s", err, out)
	}
	// Locks in files: the default is one segment of shared memory for the host.
	write(t, b.dir+"/containers.conf", "[engine]\nlock_type = \"file\"\n")
	t.Cleanup(func() { removeHierarchies(t, b.parent) })
	b.cmd = b.command("run", "--interactive", "--rm", "--name", name, "--network", "none", "--cgroup-parent", b.parent,
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--rootfs", b.dir+"/rootfs", "/sleeper")
	var stderr bytes.Buffer
	b.cmd.Stderr = &stderr
	stdin, err1 := b.cmd.StdinPipe()
	stdout, err2 := b.cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	b.stdin = stdin
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("%v (Debian packages podman and runc)", err)
	}
	t.Cleanup(func() { b.stop(t) })
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "up\n" {
		stdin.Close()
		_ = b.cmd.Wait()
		t.Fatalf("podman run: %q\n%s", line, stderr.String())
	}
	return b
}

// command is podman, kept away from the host's own containers.
func (b *box) command(args ...string) *exec.Cmd {
	cmd := exec.Command("podman", append([]string{
		"--root", b.dir + "/var/lib/containers/storage", "--runroot", b.dir + "/r", // 50 bytes at most
		"--tmpdir", b.dir + "/run/libpod", "--storage-driver", "vfs", "--runtime", "runc",
		"--cgroup-manager", "cgroupfs", "--events-backend", "none",
	}, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+b.dir+"/containers.conf")
	return cmd
}

func (b *box) podman(t *testing.T, args ...string) string {
	t.Helper()
	out, err := b.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("podman %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// stop ends the container by the end of its input, once.
func (b *box) stop(t *testing.T) {
	t.Helper()
	if b.cmd.ProcessState != nil {
		return
	}
	b.stdin.Close()
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("podman run: %v", err)
	}
}

// removeHierarchies removes a cgroup and what is below it, wherever the host
// mounts one: runtimes make it in each hierarchy of version 1, too.
func removeHierarchies(t *testing.T, path string) {
	t.Helper()
	mountinfo, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer mountinfo.Close()
	for lines := bufio.NewScanner(mountinfo); lines.Scan(); {
		if m, ok := parseMount(lines.Text()); ok && strings.HasPrefix(m.kind, "cgroup") {
			removeTree(t, m.point+path)
		}
	}
}

// removeTree waits for the container's monitor, which ends last and in version 1
// without an event to wait for.
func removeTree(t *testing.T, dir string) {
	t.Helper()
	below, _ := os.ReadDir(dir) // nothing below what is not there
	for _, e := range below {
		if e.IsDir() {
			removeTree(t, filepath.Join(dir, e.Name()))
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || err == unix.ENOENT {
			return
		}
		if err != unix.EBUSY || time.Now().After(deadline) {
			t.Errorf("remove %s: %v", dir, err)
			return
		}
	}
}
