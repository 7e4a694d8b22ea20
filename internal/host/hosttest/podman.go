package hosttest

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

// Box is a container that podman runs with runc: one static program, its store
// and state in a directory of its own, a network namespace of its own with nothing
// but the loopback device.
//
// podman with runc: of Debian 12's runtimes that give a name and need no daemon it
// is the one that runs here (crun wants CAP_SYS_RESOURCE and no hybrid cgroups,
// runc alone has no names, systemd-nspawn needs systemd to make its scope).
type Box struct {
	Name   string
	Parent string // the cgroup that the container's is below
	ID     string
	PID    int    // of its process
	Run    string // what /run is to the runtime
	Var    string // and /var

	dir    string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

// StartBox returns once the container's process runs.
func StartBox(t testing.TB) *Box {
	t.Helper()
	name := UniqueName()
	b := &Box{Name: name, dir: t.TempDir(), Parent: "/" + name}
	b.Run, b.Var = b.dir+"/run", b.dir+"/var"
	build := exec.Command("go", "build", "-o", b.dir+"/rootfs/box", "tcpstory/internal/host/hosttest/box")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // static
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the container's program: %v\n%s", err, out)
	}
	// Locks in files: the default is one segment of shared memory for the host.
	if err := os.WriteFile(b.dir+"/containers.conf", []byte("[engine]\nlock_type = \"file\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeHierarchies(t, b.Parent) })
	b.start(t)
	if _, err := fmt.Sscan(b.podman(t, "inspect", "--format", "{{.Id}} {{.State.Pid}}", b.Name), &b.ID, &b.PID); err != nil {
		t.Fatal("podman inspect:", err)
	}
	return b
}

func (b *Box) start(t testing.TB) {
	t.Helper()
	b.cmd = b.command("run", "--interactive", "--rm", "--name", b.Name, "--network", "none", "--cgroup-parent", b.Parent,
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--rootfs", b.dir+"/rootfs", "/box")
	var stderr bytes.Buffer
	b.cmd.Stderr = &stderr
	stdin, err1 := b.cmd.StdinPipe()
	stdout, err2 := b.cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	b.stdin, b.stdout = stdin, bufio.NewReader(stdout)
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("%v (Debian packages podman and runc)", err)
	}
	t.Cleanup(func() { b.Stop(t) })
	if line, _ := b.stdout.ReadString('\n'); line != "up\n" {
		stdin.Close()
		_ = b.cmd.Wait()
		t.Fatalf("podman run: %q\n%s", line, stderr.String())
	}
}

// Do has the container's process do something: see box/main.go.
func (b *Box) Do(t testing.TB, order string) {
	t.Helper()
	if _, err := fmt.Fprintln(b.stdin, order); err != nil {
		t.Fatal(err)
	}
	if line, err := b.stdout.ReadString('\n'); line != "done\n" {
		t.Fatalf("%s: %q, %v", order, line, err)
	}
}

// command is podman, kept away from the host's own containers.
func (b *Box) command(args ...string) *exec.Cmd {
	cmd := exec.Command("podman", append([]string{
		"--root", b.Var + "/lib/containers/storage", "--runroot", b.dir + "/r", // 50 bytes at most
		"--tmpdir", b.Run + "/libpod", "--storage-driver", "vfs", "--runtime", "runc",
		"--cgroup-manager", "cgroupfs", "--events-backend", "none",
	}, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+b.dir+"/containers.conf")
	return cmd
}

func (b *Box) podman(t testing.TB, args ...string) string {
	t.Helper()
	out, err := b.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("podman %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// Stop ends the container by the end of its input, once.
func (b *Box) Stop(t testing.TB) {
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
func removeHierarchies(t testing.TB, path string) {
	t.Helper()
	for _, m := range Mounts(t) {
		if strings.HasPrefix(m.Kind, "cgroup") {
			removeTree(t, m.Point+path)
		}
	}
}

// removeTree waits for the container's monitor, which ends last and in version 1
// without an event to wait for.
func removeTree(t testing.TB, dir string) {
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
