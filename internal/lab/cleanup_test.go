package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// victimVar has the test binary play a program that a lab belongs to and that
// comes to a bad end.
const victimVar = "TCPLAB_TEST_VICTIM"

// victim acts a story with every kind of helper process up to its moment, and
// then panics, or says so and waits to be killed.
func victim(how string) {
	hold := func(context.Context, Standing) error {
		if how == "panic" {
			panic("as ordered")
		}
		fmt.Println("standing")
		select {}
	}
	l, err := New(context.Background(), Options{Hold: hold})
	if err != nil {
		panic(err)
	}
	// Something of the user's that would outlive everybody.
	if err := l.Host(Client).Command(context.Background(), "sleep", "1000").Start(); err != nil {
		panic(err)
	}
	s, err := Find("keepalive-timeout")
	if err != nil {
		panic(err)
	}
	panic(s.Run(context.Background(), l, IPv4))
}

// traces finds what is left of the labs of a process, dead or alive.
func traces(pid int) []string {
	mark := fmt.Sprintf("%s%d-", namePrefix, pid)
	var found []string
	names, _ := filepath.Glob(filepath.Join(namesDir, mark+"*"))
	found = append(found, names...)
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, mark) {
			found = append(found, line)
		}
	}
	return found
}

// inhabitantsOf finds the processes of the namespaces with such names.
func inhabitantsOf(t *testing.T, pid int) []int {
	t.Helper()
	doomed := map[uint32]*namespace{}
	paths, err := filepath.Glob(filepath.Join(namesDir, fmt.Sprintf("%s%d-*", namePrefix, pid)))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		inode, err := inodeOf(path)
		if err != nil {
			t.Fatal(err)
		}
		doomed[inode] = &namespace{}
	}
	pids, err := inhabitants(doomed)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// alive are those that still run: a zombie is init's to bury, in its own time.
func alive(pids []int) []int {
	var left []int
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, after, _ := strings.Cut(string(stat), ") ")
		if err == nil && !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X") {
			left = append(left, pid)
		}
	}
	return left
}

// TestKilled: SIGKILL in the middle of a story leaves nothing.
func TestKilled(t *testing.T) {
	dirs := tempDirs(t)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), victimVar+"=kill")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "standing\n" {
		t.Fatalf("the victim said %q: %v", line, err)
	}
	pid := cmd.Process.Pid
	pids := inhabitantsOf(t, pid)
	if len(pids) != 4 { // two peers, nginx, sleep
		t.Errorf("%d processes live in the lab, expected 4", len(pids))
	}
	if len(traces(pid)) != 4 { // two names and their mounts
		t.Errorf("a living lab shows as %q", traces(pid))
	}
	cmd.Process.Kill()
	cmd.Wait()
	start := time.Now()
	eventually(t, "everything to be removed", func() bool {
		return len(traces(pid)) == 0 && len(alive(pids)) == 0
	})
	t.Logf("clean %v after SIGKILL", time.Since(start))
	eventually(t, "the temporary directories to go", func() bool { return tempDirs(t) == dirs })
}

// TestPanic: a panic in the middle of a story leaves nothing either.
func TestPanic(t *testing.T) {
	dirs := tempDirs(t)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), victimVar+"=panic")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "as ordered") {
		t.Fatalf("the victim ended with %v: %s", err, out)
	}
	pid := cmd.Process.Pid
	eventually(t, "everything to be removed", func() bool {
		return len(traces(pid)) == 0 && tempDirs(t) == dirs
	})
}

// tempDirs lists the labs' temporary directories.
func tempDirs(t *testing.T) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), namePrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(dirs, " ")
}

// TestClose: when Close returns, everything is gone, whatever was going on.
func TestClose(t *testing.T) {
	before := traces(os.Getpid())
	failing := errors.New("failed while standing")
	l, err := New(t.Context(), Options{Hold: func(context.Context, Standing) error { return failing }})
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[uint32]*namespace{}
	for _, h := range l.Hosts() {
		// Held open, lest another lab's namespace be given the same inode.
		held, err := os.Open(h.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		inodes[h.Netns()] = &namespace{}
	}
	s, err := Find("fin-wait1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), l, IPv6); !errors.Is(err, failing) {
		t.Errorf("Run returned %v", err)
	}
	stray := l.Host(Server).Command(context.Background(), "sleep", "1000")
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}
	// Its process image changes from nsenter to sleep inside the namespace.
	eventually(t, "the stray process to be in the lab", func() bool {
		pids, _ := inhabitants(inodes)
		return len(pids) == 1
	})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := stray.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the stray process ended with %v", err)
	}
	if left := traces(os.Getpid()); len(left) != len(before) {
		t.Errorf("left: %q", left)
	}
	if pids, _ := inhabitants(inodes); len(pids) != 0 {
		t.Errorf("processes left: %v", pids)
	}
}

// TestNewFails: a lab that cannot be finished is not left half made.
func TestNewFails(t *testing.T) {
	before := traces(os.Getpid())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := New(ctx, Options{}); err == nil {
		l.Close()
		t.Fatal("a lab was made in spite of a cancelled context")
	}
	if left := traces(os.Getpid()); len(left) != len(before) {
		t.Errorf("left: %q", left)
	}
}

// TestSweep: what a lab leaves whose reaper was killed too can be removed.
func TestSweep(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s%d-1-client", namePrefix, dead.Process.Pid)
	ns, err := newNamespace(name)
	if err != nil {
		t.Fatal(err)
	}
	ns.fd.Close()
	removed, err := Sweep()
	if !slices.Contains(removed, name) || len(traces(dead.Process.Pid)) != 0 {
		t.Errorf("swept %q, left %q: %v", removed, traces(dead.Process.Pid), err)
	}
}
