package host

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/host/hosttest"
)

// The main thread is where /proc/self is: it runs no test, of which some take their
// thread to other namespaces.
func init() { runtime.LockOSThread() }

// clock is a hand-moved time.
type clock struct{ time.Time }

func (c *clock) pass(d time.Duration) { c.Time = c.Add(d) }

// watch looks at the real host, on a hand-moved clock.
func watch(t *testing.T) (*Names, *clock) {
	t.Helper()
	return watchAt(t, Roots{Proc: "/proc", Run: "/run", Var: "/var"})
}

func watchAt(t *testing.T, roots Roots) (*Names, *clock) {
	t.Helper()
	n, c := NewAt(roots), &clock{time.Unix(1e9, 0)}
	n.now = func() time.Time { return c.Time }
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, c
}

// makeCgroup makes a cgroup and returns its path below the mount and its id.
func makeCgroup(t *testing.T, below string) (path string, id uint64) {
	t.Helper()
	path = hosttest.MakeCgroup(t, below)
	return path, inode(t, hosttest.Cgroup2(t)+path)
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	_, number, err := inodeOf(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return number
}

// sleeper starts a process that ends with the test. prepare may change it.
func sleeper(t *testing.T, prepare func(*exec.Cmd)) (pid int) {
	t.Helper()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	prepare(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return cmd.Process.Pid
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// write makes a file and its directories.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
