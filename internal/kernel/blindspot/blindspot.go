// Package blindspot watches, by the kernel's own event tracer, the hooks while
// they run on top of a thread of process 1. Tests of live sources use it.
//
// On some virtual machines (seen on 6.18.44-fc) the kernel runs no BPF tracing
// program at all while process 1, which serves the machine's host, is the
// current task, and counts no miss either. A softirq that lands there is
// invisible to every tracer by BPF. What a test saw meanwhile proves nothing, so
// it tries again.
package blindspot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Spot is a watch.
type Spot struct {
	t          *testing.T
	mount, dir int
	name       string
	events     []string
	also       string // what else the events must be
	threads    []string
}

// hookEvents are the events behind the hooks of states and packets.
var hookEvents = []string{"net/net_dev_start_xmit", "net/netif_receive_skb", "sock/inet_sock_set_state"}

var instances atomic.Uint64

// Watch watches every hook of states and packets, of whatever socket.
func Watch(t *testing.T) *Spot {
	t.Helper()
	return watch(t, &Spot{t: t, events: hookEvents})
}

// WatchPorts watches the transitions of sockets that have one of some ports in a
// row, whatever else goes on on the host.
func WatchPorts(t *testing.T, from, to uint16) *Spot {
	t.Helper()
	also := fmt.Sprintf("(sport >= %[1]d && sport <= %[2]d || dport >= %[1]d && dport <= %[2]d)", from, to)
	return watch(t, &Spot{t: t, events: []string{"sock/inet_sock_set_state"}, also: also})
}

// watch makes an instance of the event tracer, on a tracefs that is mounted
// nowhere.
func watch(t *testing.T, b *Spot) *Spot {
	t.Helper()
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Fatal(err)
	}
	b.name = fmt.Sprintf(instance+"%d-%d", os.Getpid(), instances.Add(1))
	if b.mount, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	if err := unix.Mkdirat(b.mount, b.name, 0o700); err != nil {
		t.Fatal(err)
	}
	if b.dir, err = unix.Openat(b.mount, b.name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

// instance and a test process's id are how its instances' names begin.
const instance = "instances/tcpstory-test-"

// sweep removes what tests that were killed have left: until then the kernel runs
// their events for every socket of the host.
func (b *Spot) sweep() {
	b.t.Helper()
	dir, err := unix.Openat(b.mount, filepath.Dir(instance), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	file := os.NewFile(uintptr(dir), filepath.Dir(instance))
	defer file.Close()
	names, err := file.Readdirnames(-1)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, name := range names {
		var pid, n int
		if _, err := fmt.Sscanf(name, filepath.Base(instance)+"%d-%d", &pid, &n); err != nil || unix.Kill(pid, 0) != unix.ESRCH {
			continue
		}
		if err := unix.Unlinkat(b.mount, filepath.Dir(instance)+"/"+name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
			b.t.Logf("%s is left: %v", name, err)
		}
	}
}

func (b *Spot) close() {
	unix.Close(b.dir)
	if err := unix.Unlinkat(b.mount, b.name, unix.AT_REMOVEDIR); err != nil {
		b.t.Error(err)
	}
	unix.Close(b.mount)
}

// Begin forgets what was seen so far.
func (b *Spot) Begin() {
	b.t.Helper()
	if now := initThreads(b.t); !slices.Equal(now, b.threads) {
		b.threads = now
		only := "(common_pid == " + strings.Join(now, " || common_pid == ") + ")"
		if b.also != "" {
			only += " && " + b.also
		}
		for _, e := range b.events {
			b.write("events/"+e+"/filter", only)
			b.write("events/"+e+"/enable", "1")
		}
	}
	b.write("trace", "")
}

// Hit reports whether a hook ran on top of process 1 since Begin.
func (b *Spot) Hit() bool {
	b.t.Helper()
	return len(b.lines()) > 0 || !slices.Equal(initThreads(b.t), b.threads)
}

// Ports are a transition's own port and the other end's.
type Ports struct{ Local, Remote uint16 }

var portsOf = regexp.MustCompile(`sport=(\d+) dport=(\d+) `)

// Hidden are the ports of the transitions on top of process 1 since Begin. A
// thread that process 1 has started since then may have hidden others.
func (b *Spot) Hidden() (list []Ports) {
	b.t.Helper()
	for _, line := range b.lines() {
		m := portsOf.FindStringSubmatch(line)
		if m == nil {
			b.t.Fatalf("the event tracer prints a line unknown here: %s", line)
		}
		local, err1 := strconv.ParseUint(m[1], 10, 16)
		remote, err2 := strconv.ParseUint(m[2], 10, 16)
		if err := errors.Join(err1, err2); err != nil {
			b.t.Fatal(err)
		}
		list = append(list, Ports{uint16(local), uint16(remote)})
	}
	return list
}

// lines are the events since Begin.
func (b *Spot) lines() (list []string) {
	b.t.Helper()
	fd, err := unix.Openat(b.dir, "trace", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "trace")
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}

func (b *Spot) write(path, value string) {
	b.t.Helper()
	fd, err := unix.Openat(b.dir, path, unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0)
	if err != nil {
		b.t.Fatalf("open %s: %v", path, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(value)); err != nil && value != "" {
		b.t.Fatalf("write %q to %s: %v", value, path, err)
	}
}

func initThreads(t *testing.T) []string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/1/task/*")
	if err != nil {
		t.Fatal(err)
	}
	for i := range tasks {
		tasks[i] = filepath.Base(tasks[i])
	}
	return tasks
}
