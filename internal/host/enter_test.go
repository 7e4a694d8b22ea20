package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// here is the network namespace of the calling thread.
func here(t *testing.T) uint32 {
	t.Helper()
	return uint32(inode(t, "/proc/thread-self/ns/net"))
}

func TestNamespaces(t *testing.T) {
	n, _ := watch(t)
	name, named := newNetns(t)
	pid, lived := bornElsewhere(t)
	held, target := heldByMount(t)
	found, _, err := n.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	if own := uint32(inode(t, "/proc/self/ns/net")); found[0].Inode != own {
		t.Errorf("first is %+v, want our own, %d", found[0], own)
	}
	for _, want := range []Namespace{
		{named, "/run/netns/" + name}, {lived, procNetns(pid)}, {held, target},
	} {
		if !slices.Contains(found, want) {
			t.Errorf("%+v is not found", want)
		}
	}
	seen := map[uint32]bool{}
	for _, ns := range found {
		if seen[ns.Inode] {
			t.Errorf("%+v is found twice", ns)
		}
		seen[ns.Inode] = true
	}
}

// heldByMount makes a namespace that only a mount outside of /run/netns holds.
func heldByMount(t *testing.T) (number uint32, target string) {
	t.Helper()
	name, number := newNetns(t)
	target = filepath.Join(t.TempDir(), "held")
	bind(t, "/run/netns/"+name, target)
	run(t, "ip", "netns", "del", name)
	return number, target
}

// Processes that may not be looked at are counted. One of our children changes
// its user, so that nobody without rights may.
func TestNamespacesDenied(t *testing.T) {
	if !withoutRights(t) {
		return
	}
	n, _ := watch(t)
	found, denied, err := n.Namespaces()
	if err != nil || len(found) == 0 || denied == 0 {
		t.Errorf("%d found, %d denied, %v", len(found), denied, err)
	}
}

func TestDo(t *testing.T) {
	name, number := newNetns(t)
	ns := Namespace{number, "/run/netns/" + name}
	home := here(t)
	for range 50 {
		if err := ns.Do(func() error {
			if have := here(t); have != number {
				t.Errorf("in %d, want %d", have, number)
			}
			runtime.Gosched()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	allHome(t, home)
}

// allHome: no thread of this process is left in another namespace.
func allHome(t *testing.T, home uint32) {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if _, number, err := inodeOf(thread); err == nil && uint32(number) != home {
			t.Errorf("%s is in %d", thread, number)
		}
	}
}

// However f ends, the thread comes home and the caller learns how.
func TestDoEnds(t *testing.T) {
	name, number := newNetns(t)
	ns, home := Namespace{number, "/run/netns/" + name}, here(t)
	failure := errors.New("failure")
	if err := ns.Do(func() error { return failure }); err != failure {
		t.Errorf("error: %v", err)
	}
	if err := ns.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("Goexit is no error")
	}
	func() {
		defer func() {
			if have := recover(); have != "panic" {
				t.Errorf("panic: %v", have)
			}
		}()
		_ = ns.Do(func() error { panic("panic") })
	}()
	allHome(t, home)
}

// A thread that cannot return is no more.
func TestDoCannotReturn(t *testing.T) {
	name, number := newNetns(t)
	ns, home := Namespace{number, "/run/netns/" + name}, here(t)
	var thread int
	err := ns.Do(func() error {
		thread = unix.Gettid()
		return dropThreadRights()
	})
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "return from") {
		t.Fatalf("%v", err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread)); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("thread %d still lives", thread)
		}
	}
	allHome(t, home)
}

// dropThreadRights takes all capabilities from the calling thread.
func dropThreadRights() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}

func TestDoGone(t *testing.T) {
	name, number := newNetns(t)
	other, _ := newNetns(t)
	run(t, "ip", "netns", "del", name)
	for _, ns := range []Namespace{
		{number, "/run/netns/" + name},
		{number, "/run/netns/" + other}, // the path was used again
	} {
		if err := ns.Do(func() error { t.Error("f runs"); return nil }); !errors.Is(err, ErrGone) {
			t.Errorf("%s: %v", ns.Path, err)
		}
	}
}

func TestDoWithoutRights(t *testing.T) {
	if !withoutRights(t) {
		return
	}
	ns := Namespace{here(t), "/proc/self/ns/net"}
	err := ns.Do(func() error { return errors.New("f runs") })
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_SYS_ADMIN") {
		t.Error(err)
	}
}
