package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tcpstory/internal/conn"
	"tcpstory/internal/host"
	"tcpstory/internal/kernel"
)

// commLen is how much of a process's name the kernel keeps (TASK_COMM_LEN).
const commLen = 15

// selective: only some processes' or cgroups' sockets are asked for.
func (o *options) selective() bool { return len(o.processes)+len(o.comms)+len(o.cgroups) > 0 }

// choose tells the kernel side which processes and cgroups are asked for.
func (o *options) choose(c *kernel.Config, names *host.Names) error {
	if len(o.processes) > 0 && !kernel.InFirstPIDs() {
		return errors.New("-p: the kernel counts processes as the host does, and this is a PID namespace of its own: run on the host, or with --pid=host (--comm NAME chooses by name)")
	}
	cgroups, err := o.chooseHere(names)
	c.PIDs, c.Comms, c.Cgroups, c.Kin = o.processes, o.comms, cgroups, ownName()
	return err
}

// ownName is how this program is called, and with it most likely every tcpstory; "" unknown.
func ownName() string {
	name, _ := os.ReadFile("/proc/self/comm")
	return strings.TrimSuffix(string(name), "\n")
}

// chooseHere finds the cgroups, and processes that are not there, numbered as /proc
// numbers them.
func (o *options) chooseHere(names *host.Names) (cgroups []uint64, err error) {
	for _, pid := range o.processes {
		if err := isProcess("/proc", pid); err != nil {
			return nil, fmt.Errorf("-p %d: %w", pid, err)
		}
	}
	for i, name := range o.comms {
		o.comms[i] = name[:min(len(name), commLen)]
	}
	for _, path := range o.cgroups {
		id, err := names.CgroupID(path)
		if err != nil {
			return nil, fmt.Errorf("--cgroup %s: %w", path, err)
		}
		cgroups = append(cgroups, id)
	}
	return cgroups, nil
}

// isProcess wants the number of a running process, and not a thread's.
func isProcess(proc string, pid uint32) error {
	number := strconv.FormatUint(uint64(pid), 10)
	status, err := os.ReadFile(filepath.Join(proc, number, "status"))
	if err != nil {
		return errors.New("no process has this number (pgrep -a NAME finds it; --comm NAME waits for processes to come)")
	}
	for line := range strings.Lines(string(status)) {
		group, ok := strings.CutPrefix(line, "Tgid:")
		if leader := strings.TrimSpace(group); ok && leader != number {
			return fmt.Errorf("that is a thread of process %s: -p %s", leader, leader)
		}
	}
	return nil
}

// waitsFor says which names no process has now: they may come, or be misspelt.
func (o *options) waitsFor(proc string) string {
	missing := slices.Clone(o.comms)
	names, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	for _, file := range names {
		if len(missing) == 0 {
			break
		}
		b, _ := os.ReadFile(file) // it may have ended
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == strings.TrimSuffix(string(b), "\n") })
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("no process is named %s now: waiting for one", strings.Join(missing, ", "))
}

// whose repeats the kernel's choice for what has no socket there (packets in),
// and for connections whose process was not known yet. Of other cgroups' sockets
// the kernel tells nothing, so whoever has a cgroup here is in one of them.
func (o *options) whose() func(*conn.Conn) bool {
	if !o.selective() {
		return nil
	}
	byProcess := len(o.processes)+len(o.comms) > 0
	return func(c *conn.Conn) bool {
		if len(o.cgroups) > 0 && c.Cgroup == 0 {
			return false
		}
		return !byProcess || c.Task.Known() &&
			(slices.Contains(o.processes, c.Task.PID) || slices.Contains(o.comms, string(c.Task.Name())))
	}
}
