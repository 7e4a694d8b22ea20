package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// saysListening: tcpstory and tcpdump say that they began.
func saysListening(p *process) bool { return strings.Contains(p.text(), "listening on") }

// sleepsInPoll: the libbpf tools say nothing that leaves their buffer, but the
// last thing that they set up is what they poll. /proc/PID/syscall shows the
// call that a process sleeps in, then its arguments.
func sleepsInPoll(p *process) bool {
	b, err := os.ReadFile(p.file("syscall"))
	if err != nil {
		return false
	}
	words := strings.Fields(string(b))
	if len(words) < 2 {
		return false // "running"
	}
	fd, err := strconv.ParseUint(words[1], 0, 31)
	if err != nil {
		return false
	}
	what, err := os.Readlink(p.file(fmt.Sprint("fd/", fd)))
	return err == nil && what == "anon_inode:[eventpoll]"
}

// file is a file of the process in /proc.
func (p *process) file(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name)
}

// gone reports whether the process ended. It was not waited for, so its
// number is still its own.
func (p *process) gone() bool {
	b, err := os.ReadFile(p.file("stat"))
	if err != nil {
		return true
	}
	_, after, _ := bytes.Cut(b, []byte(") "))
	return len(after) == 0 || after[0] == 'Z'
}

// cpu is the processor time, user and system, of all threads so far. The
// process's CPU clock has nanoseconds where /proc/PID/stat has hundredths.
func (p *process) cpu() (time.Duration, error) {
	const cpuClockSched = 2 // linux/posix-timers.h: the id is ^pid<<3 | clock
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid)<<3|cpuClockSched, &ts); err != nil {
		return 0, fmt.Errorf("read the CPU time of %s: %w", p.tool.Title(), err)
	}
	return time.Duration(ts.Nano()), nil
}

// peakMemory is the most resident memory so far, KiB; 0 unknown.
func (p *process) peakMemory() uint64 {
	b, err := os.ReadFile(p.file("status"))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(b, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(string(line)), " kB"), 10, 64)
	return n
}
