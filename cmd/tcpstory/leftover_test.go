package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// heldPrograms are the ids of the BPF programs that a process holds, by a
// program's file descriptor or a link's.
func heldPrograms(pid string) (ids []ebpf.ProgramID) {
	files, _ := filepath.Glob(filepath.Join("/proc", pid, "fdinfo/*"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		for l := range strings.Lines(string(b)) {
			value, ok := strings.CutPrefix(l, "prog_id:")
			if !ok {
				continue
			}
			if id, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				ids = append(ids, ebpf.ProgramID(id))
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (p *proc) programs() []ebpf.ProgramID {
	p.t.Helper()
	ids := heldPrograms(strconv.Itoa(p.cmd.Process.Pid))
	if len(ids) < 5 {
		p.t.Fatalf("the process holds the BPF programs %v: too few to be true", ids)
	}
	return ids
}

// gone waits until the kernel has no program of these ids any more: it frees
// them a moment after their last holder is dead.
func gone(t *testing.T, ids []ebpf.ProgramID) {
	t.Helper()
	for _, id := range ids {
		eventually(t, fmt.Sprintf("BPF program %d to go", id), func() bool {
			p, err := ebpf.NewProgramFromID(id)
			if err == nil {
				p.Close()
			}
			return errors.Is(err, os.ErrNotExist)
		})
	}
}

// orphans are programs with one of our names that nobody holds: pinned, or
// attached to something that outlives its maker.
func orphans(names []string) (found []string) {
	held := map[ebpf.ProgramID]bool{}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	ours := map[ebpf.ProgramID]string{}
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		if name := programName(id); slices.Contains(names, name) {
			ours[id] = name
		}
	}
	for _, dir := range procs {
		for _, id := range heldPrograms(filepath.Base(dir)) {
			held[id] = true
		}
	}
	for id, name := range ours {
		if !held[id] {
			found = append(found, fmt.Sprintf("%s (%d)", name, id))
		}
	}
	return found
}

func programName(id ebpf.ProgramID) string {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return ""
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// ourPrograms are the names of the programs that a tracer of everything has.
func ourPrograms(t *testing.T) (names []string) {
	t.Helper()
	p := watch(t, newLab(t, lab.Options{}).Host(lab.Client), "-i", "lo")
	for _, id := range p.programs() {
		names = append(names, programName(id))
	}
	p.interrupt()
	if !slices.Contains(names, "set_state") || !slices.Contains(names, "packet_in") {
		t.Fatalf("the programs are called %v", names)
	}
	return append(names, "packet_tap")
}

// nothingAttached wants no orphans.
func nothingAttached(t *testing.T, names []string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if left = orphans(names); len(left) == 0 {
			return
		}
	}
	t.Errorf("BPF programs without an owner: %v", left)
}

// eventually waits for something that nobody announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// TestNothingLeft: however tcpstory ends, its programs end with it.
func TestNothingLeft(t *testing.T) {
	client := newLab(t, lab.Options{}).Host(lab.Client)
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGKILL} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			// Under nohup the child would ignore it, too: what is handled here is not there.
			signal.Notify(make(chan os.Signal, 1), sig)
			defer signal.Reset(sig)
			p := watch(t, client)
			ids := p.programs()
			if err := p.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			p.wait()
			gone(t, ids)
		})
	}
}
