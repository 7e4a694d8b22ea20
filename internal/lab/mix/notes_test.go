package mix

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// notes are the maps in which a running tool's programs keep what they note of
// sockets (bpf/life.h), opened by their ids.
type notes struct {
	places, storage, halfOpen *ebpf.Map
	value                     []byte // of a place
}

// notesOf finds them.
func notesOf(t *testing.T, pid int) *notes {
	t.Helper()
	n := &notes{}
	named := map[string]**ebpf.Map{"life_slots": &n.places, "lives": &n.storage, "half_open": &n.halfOpen}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	mustDo(t, err)
	for _, f := range files {
		text, _ := os.ReadFile(f) // some have been closed
		id := mapID.FindSubmatch(text)
		if id == nil {
			continue
		}
		num, _ := strconv.Atoi(string(id[1]))
		m, err := ebpf.NewMapFromID(ebpf.MapID(num))
		mustDo(t, err)
		info, err := m.Info()
		mustDo(t, err)
		if to := named[info.Name]; to != nil && *to == nil {
			*to = m
			t.Cleanup(func() { m.Close() })
			continue
		}
		m.Close()
	}
	for name, m := range named {
		if *m == nil {
			t.Fatalf("process %d has no map %s", pid, name)
		}
	}
	n.value = make([]byte, n.places.ValueSize())
	return n
}

var mapID = regexp.MustCompile(`(?m)^map_id:\s+(\d+)$`)

// noted are how many notes there are.
type noted struct{ places, halfOpen int }

func (n *notes) count(t *testing.T) (c noted) {
	t.Helper()
	for i := range n.places.MaxEntries() {
		mustDo(t, n.places.Lookup(i, &n.value))
		// struct life_slot begins with whose it is and how many claim it.
		socket, claims := binary.NativeEndian.Uint64(n.value), binary.NativeEndian.Uint64(n.value[8:])
		if (socket != 0) != (claims == 1) || claims > 1 {
			t.Errorf("place %d is %#x's, and %d claim it", i, socket, claims)
		}
		if claims > 0 {
			c.places++
		}
	}
	var key, value []byte
	for left := n.halfOpen.Iterate(); left.Next(&key, &value); {
		c.halfOpen++
	}
	return c
}

// inStorage counts the sockets of a throng whose note lies in their own storage. The
// kernel frees it with the socket: it is charged to the process then no more.
func (n *notes) inStorage(t *testing.T, p *throng) (found int) {
	t.Helper()
	value := make([]byte, n.storage.ValueSize())
	for _, one := range p.processes {
		pid := one.cmd.Process.Pid
		pidfd, err := unix.PidfdOpen(pid, 0)
		mustDo(t, err)
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		mustDo(t, err)
		for _, f := range files {
			num, _ := strconv.Atoi(f.Name())
			fd, err := unix.PidfdGetfd(pidfd, num, 0)
			mustDo(t, err)
			if n.storage.Lookup(int32(fd), &value) == nil { // neither a pipe nor a socket without any
				found++
			}
			unix.Close(fd)
		}
		unix.Close(pidfd)
	}
	return found
}
