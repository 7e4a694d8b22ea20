package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/host/hosttest"
)

// newNetns makes a network namespace with an ip-netns(8) name.
func newNetns(t *testing.T) (name string, number uint32) {
	t.Helper()
	name = hosttest.UniqueName()
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() }) // the test may have done so
	return name, uint32(inode(t, "/run/netns/"+name))
}

// bornElsewhere starts a process in a network namespace of its own.
func bornElsewhere(t *testing.T) (pid int, number uint32) {
	t.Helper()
	pid = sleeper(t, func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET} })
	return pid, uint32(inode(t, procNetns(pid)))
}

func procNetns(pid int) string {
	return filepath.Join("/proc", strconv.Itoa(pid), "ns/net")
}

// bind mounts a namespace's file on a file of its own.
func bind(t *testing.T, source, target string) {
	t.Helper()
	write(t, target, "")
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s on %s: %v", source, target, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

func TestNetnsName(t *testing.T) {
	n, clock := watch(t)
	name, number := newNetns(t)
	if have := n.Netns(number); have != name || n.IsHost(number) {
		t.Errorf("%q, want %q", have, name)
	}
	// A mount elsewhere does not displace the name, but outlives it.
	held := filepath.Join(t.TempDir(), `with space\and`, "x")
	bind(t, "/run/netns/"+name, held)
	clock.pass(lookEvery)
	if have := n.Netns(number); have != name {
		t.Errorf("%q, want %q", have, name)
	}
	run(t, "ip", "netns", "del", name)
	clock.pass(lookEvery)
	if have := n.Netns(number); have != held {
		t.Errorf("%q, want %q", have, held)
	}
	// An open file holds the namespace, lest another one gets its number.
	holder, err := os.Open(held)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := unix.Unmount(held, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	clock.pass(lookEvery)
	if have := n.Netns(number); have != "" {
		t.Errorf("%q after its last name was taken", have)
	}
}

// Of two ip-netns(8) names of one namespace it is always the same that is told.
func TestNetnsTwoNames(t *testing.T) {
	name, number := newNetns(t)
	second := "/run/netns/" + name + "-b"
	bind(t, "/run/netns/"+name, second)
	defer os.Remove(second)
	defer unix.Unmount(second, unix.MNT_DETACH)
	for range 20 {
		n, _ := watch(t)
		if have := n.Netns(number); have != name {
			t.Fatalf("%q, want %q", have, name)
		}
	}
}

// The names of links, as made for containers, end with what they lead to.
func TestNetnsLink(t *testing.T) {
	run := t.TempDir()
	n, clock := watchAt(t, Roots{Proc: "/proc", Run: run, Var: run})
	pid, number := bornElsewhere(t)
	if have := n.Netns(number); have != "" {
		t.Errorf("%q before it is named", have)
	}
	write(t, run+"/netns/plain", "")
	if err := os.Symlink(procNetns(pid), run+"/netns/web"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc/0/ns/net", run+"/netns/dangling"); err != nil {
		t.Fatal(err)
	}
	clock.pass(lookEvery)
	if have := n.Netns(number); have != "web" {
		t.Errorf("%q, want web", have)
	}
	// No change of the directory: found by age.
	other, otherNumber := bornElsewhere(t)
	link := t.TempDir() + "/link"
	if err := os.Symlink(procNetns(pid), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(run + "/netns/web"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(link, run+"/netns/web"); err != nil {
		t.Fatal(err)
	}
	clock.pass(lookEvery)
	n.Netns(number)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(procNetns(other), link); err != nil {
		t.Fatal(err)
	}
	clock.pass(rescanEvery)
	if was, is := n.Netns(number), n.Netns(otherNumber); was != "" || is != "web" {
		t.Errorf("%q and %q, want none and web", was, is)
	}
}

// Between two looks nothing is read, however often a nameless one is asked for.
func TestNetnsMissIsCheap(t *testing.T) {
	n, clock := watch(t)
	n.refresh()
	name, number := newNetns(t)
	before := n.scanned
	for range 1000 {
		if have := n.Netns(number); have != "" {
			t.Fatalf("%q: looked again at once", have)
		}
	}
	if n.scanned != before {
		t.Error("read again within the same moment")
	}
	clock.pass(lookEvery)
	if have := n.Netns(number); have != name {
		t.Errorf("%q, want %q", have, name)
	}
}

// Nothing changed, nothing is read; a mount, and the end of one, are changes. A
// mount namespace of our own is quiet.
func TestNetnsChanges(t *testing.T) {
	roots := Roots{Proc: t.TempDir(), Run: t.TempDir(), Var: t.TempDir()}
	target := filepath.Join(t.TempDir(), "held")
	write(t, target, "")
	pid, number := bornElsewhere(t)
	inMountNamespace(t, func(thread string) error {
		if err := os.Symlink(thread, roots.Proc+"/self"); err != nil {
			return err
		}
		n, clock := watchAt(t, roots)
		look := func(what, want string, scans bool) {
			clock.pass(lookEvery)
			before := n.scanned
			if have := n.Netns(number); have != want || n.scanned.After(before) != scans {
				t.Errorf("%s: %q, read again: %v", what, have, n.scanned.After(before))
			}
		}
		n.refresh()
		look("nothing", "", false)
		look("nothing", "", false)
		if err := unix.Mount(procNetns(pid), target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		look("mounted", target, true)
		look("nothing", target, false)
		if err := unix.Unmount(target, 0); err != nil {
			return err
		}
		look("unmounted", "", true)
		return nil
	})
}

// inMountNamespace runs f on a thread with mounts of its own, which ends with it.
// thread is its directory in /proc.
func inMountNamespace(t *testing.T, f func(thread string) error) {
	t.Helper()
	done := make(chan error)
	go func() {
		err := isolateMounts()
		if err == nil {
			err = f(fmt.Sprintf("/proc/self/task/%d", unix.Gettid()))
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// isolateMounts gives the calling thread mounts of its own, and ties it to its
// goroutine for good.
func isolateMounts() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

func TestNetnsOfHost(t *testing.T) {
	n, _ := watch(t)
	own := uint32(inode(t, "/proc/self/ns/net"))
	if first, err := os.Stat("/proc/1/ns/net"); err == nil {
		if !n.IsHost(uint32(first.Sys().(*syscall.Stat_t).Ino)) {
			t.Error("the namespace of process 1 is not the host's")
		}
	} else if own == initNetns && !n.IsHost(own) {
		t.Error("the kernel's first namespace is not the host's")
	}
	_, number := newNetns(t)
	if n.IsHost(number) {
		t.Error("a new namespace is the host's")
	}
}

// A name for the host's own namespace does not make it a guest's. Process 1 may be
// elsewhere, or not be looked at, where this runs: here it is this process.
func TestNetnsHostIsNamed(t *testing.T) {
	proc := t.TempDir()
	for _, name := range []string{"1", "self"} {
		if err := os.Symlink("/proc/self", proc+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	n, clock := watchAt(t, Roots{Proc: proc, Run: "/run", Var: "/var"})
	own := uint32(inode(t, "/proc/self/ns/net"))
	if !n.IsHost(own) {
		t.Fatal("the namespace of process 1 is not the host's")
	}
	bind(t, "/proc/self/ns/net", t.TempDir()+"/default")
	clock.pass(lookEvery)
	if have := n.Netns(own); have != "" {
		t.Errorf("%q", have)
	}
	if n.netns[own] == "" {
		t.Error("the name was not seen")
	}
}

func TestParseMount(t *testing.T) {
	for line, want := range map[string]mount{
		`41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`:                {"/", "/sys/fs/cgroup/unified", "cgroup2"},
		`29 23 0:26 /../.. /sys/fs/cgroup ro shared:9 master:3 - cgroup2 cgroup rw`:           {"/../..", "/sys/fs/cgroup", "cgroup2"},
		`99 42 0:4 net:[4026532245] /run/netns/a\040b\134c\011 rw shared:5 - nsfs nsfs rw`:    {"net:[4026532245]", "/run/netns/a b\\c\t", "nsfs"},
		`36 35 98:0 /mnt1 /a\b\999\7 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: {"/mnt1", `/a\b\999\7`, "ext3"},
		`36 35 98:0 /mnt1 /mnt2 rw,noatime`:                                                   {},
		` - cgroup2 cgroup2 rw`:                                                               {},
		``:                                                                                    {},
	} {
		if have, _ := parseMount(line); have != want {
			t.Errorf("%s\n  %+v, want %+v", line, have, want)
		}
	}
	for root, want := range map[string]uint32{"net:[4026532245]": 4026532245, "net:[5": 5, "net:[99999999999]": 0, "mnt:[1]": 0, "/": 0} {
		if have, _ := (mount{root: root}).netnsOf(); have != want {
			t.Errorf("%s: %d, want %d", root, have, want)
		}
	}
}

// FuzzMounts: no line of mountinfo breaks the reading of the next.
func FuzzMounts(f *testing.F) {
	f.Add("41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw")
	f.Add(`99 42 0:4 net:[4026532245] /run/netns/a\040b rw shared:5 - nsfs nsfs rw`)
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") || len(line) > 1000 {
			return
		}
		var m mounts
		m.parse(strings.NewReader(line + "\n1 1 0:1 net:[7] /p rw - nsfs nsfs rw\n"))
		if last := len(m.nsfs) - 1; last < 0 || m.nsfs[last].point != "/p" {
			t.Errorf("the line after %q was lost", line)
		}
	})
}
