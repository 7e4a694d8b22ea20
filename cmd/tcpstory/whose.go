package main

import (
	"fmt"
	"slices"

	"tcpstory/internal/conn"
	"tcpstory/internal/host"
	"tcpstory/internal/kernel"
)

// commLen is how much of a process's name the kernel keeps (TASK_COMM_LEN).
const commLen = 15

// choose tells the kernel side which processes and cgroups are asked for.
func (o *options) choose(c *kernel.Config, names *host.Names) error {
	for _, pid := range o.pids {
		if pid == 0 || pid > 1<<22 { // PID_MAX_LIMIT
			return usageError{fmt.Errorf("-p %d: no such process can be", pid)}
		}
		c.PIDs = append(c.PIDs, uint32(pid))
	}
	for i, name := range o.comms {
		o.comms[i] = name[:min(len(name), commLen)]
	}
	c.Comms = o.comms
	for _, path := range o.cgroups {
		id, err := names.CgroupID(path)
		if err != nil {
			return fmt.Errorf("--cgroup %s: %w", path, err)
		}
		c.Cgroups = append(c.Cgroups, id)
	}
	return nil
}

// whose repeats the kernel's choice for what has no socket there (packets in),
// and for connections whose process was not known yet. Of other cgroups' sockets
// the kernel tells nothing, so whoever has a cgroup here is in one of them.
func (o *options) whose() func(*conn.Conn) bool {
	if len(o.pids)+len(o.comms)+len(o.cgroups) == 0 {
		return nil
	}
	byProcess := len(o.pids)+len(o.comms) > 0
	return func(c *conn.Conn) bool {
		if len(o.cgroups) > 0 && c.Cgroup == 0 {
			return false
		}
		return !byProcess || c.Task.Known() &&
			(slices.Contains(o.pids, uint(c.Task.PID)) || slices.Contains(o.comms, string(c.Task.Name())))
	}
}
