package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// right is a capability (capabilities(7)), and what hangs on it.
type right struct {
	bit         int
	name        string
	implied     int // the capability that stands for this one too; 0: none
	what, lack  string
	unnecessary func() bool // the kernel asks for it no more; nil: it always does
}

var rights = []right{
	{bit: unix.CAP_BPF, name: "CAP_BPF", implied: unix.CAP_SYS_ADMIN,
		what: "load BPF programs", lack: "nothing can be traced"},
	{bit: unix.CAP_PERFMON, name: "CAP_PERFMON", implied: unix.CAP_SYS_ADMIN,
		what: "programs that look into the kernel", lack: "nothing can be traced"},
	{bit: unix.CAP_SYS_ADMIN, name: "CAP_SYS_ADMIN",
		what: "enter network namespaces", lack: "connections older than the trace are known in our own namespace only"},
	{bit: unix.CAP_SYS_PTRACE, name: "CAP_SYS_PTRACE",
		what: "look at others' /proc/PID/ns", lack: "network namespaces without a name are not found"},
	{bit: unix.CAP_NET_RAW, name: "CAP_NET_RAW",
		what: "packet sockets", lack: "-i on a VLAN, bond, bridge and the like captures nothing"},
	{bit: unix.CAP_SYS_RESOURCE, name: "CAP_SYS_RESOURCE", unnecessary: fitsMemory,
		what: "memory for BPF maps, before 5.11", lack: "maps may not fit the limit on locked memory"},
}

// rightsFindings asks which of them this process has.
func rightsFindings() (all []Finding) {
	has := capabilities()
	for _, r := range rights {
		f := Finding{Group: groupRights, Name: r.name, What: r.what}
		switch {
		case has(r.bit), r.implied != 0 && has(r.implied):
		case r.unnecessary != nil && r.unnecessary():
			f.Found = "not needed here"
		default:
			f = f.missing(r.lack, "", "run it with sudo, or give it "+r.name)
		}
		all = append(all, f)
	}
	return all
}

// fitsMemory: the maps fit, as from 5.11 on they always do.
func fitsMemory() bool { return rlimit.RemoveMemlock() == nil }

func newRing(size uint32) (*ebpf.Map, error) {
	return ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: size})
}

// readLockdown is the level that lockdown(7) stands at: none, integrity or
// confidentiality; absent: this kernel has none; "": it could not be read.
func readLockdown() string {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		text, err = readUnmounted("securityfs", "lockdown")
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return "absent"
	}
	_, rest, _ := strings.Cut(string(text), "[") // none [integrity] confidentiality
	level, _, _ := strings.Cut(rest, "]")
	return level
}

// readUnmounted reads a file of a file system that may not be mounted.
func readUnmounted(kind, file string) ([]byte, error) {
	root, err := mountNowhere(kind)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	fd, err := unix.Openat(root, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	text := make([]byte, 256)
	n, err := f.Read(text)
	return text[:n], err
}

// mountNowhere mounts a file system, to be read, where no path leads to it (5.2; it
// needs CAP_SYS_ADMIN), and returns its root's descriptor. Closing that ends it.
func mountNowhere(kind string) (root int, err error) {
	context, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, err
	}
	return unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
}

// ringFinding makes a ring buffer of the default size, or finds the largest that
// may be.
func ringFinding() Finding {
	f := Finding{Group: GroupHost, Name: "ring buffer", What: "what happens while the reader is busy"}
	for size := uint32(DefaultRingSize); size >= uint32(os.Getpagesize()); size /= 2 {
		m, err := newRing(size)
		if err != nil {
			f.Reason = reason(err)
			continue
		}
		m.Close()
		f.Found = fmt.Sprintf("%g MiB", float64(size)/(1<<20))
		if size < DefaultRingSize {
			f = f.missing("less room for bursts: more may be lost", f.Reason, fmt.Sprintf("run it with sudo, or ask for less: --ring %d", size))
		}
		return f
	}
	return f.missing("nothing can be traced", f.Reason, "run it with sudo")
}

// clockFinding shows how well kernel time becomes wall time.
func clockFinding() Finding {
	var c clock
	width := c.measure()
	return Finding{
		Group: GroupHost, Name: "clock", What: "event times",
		Found: fmt.Sprintf("monotonic + %.3f s ±%v", float64(c.offset)/1e9, time.Duration(width/2+1)),
	}
}

// statsFinding looks whether the kernel times the runs of BPF programs, as
// kernel.bpf_stats_enabled or some process (BPF_ENABLE_STATS) may ask for: it
// runs a program of two instructions.
func statsFinding() Finding {
	f := Finding{Group: GroupHost, Name: "BPF statistics", What: "timing of every BPF program", Found: "off"}
	counted, err := countsRuns()
	switch {
	case err != nil:
		f.Mark, f.Found, f.Reason = Unknown, "", reason(err)
	case counted:
		f.Found = "on"
		return f.missing("every event costs the host more", "", "sysctl kernel.bpf_stats_enabled=0, or end what asked for them")
	}
	return f
}

func countsRuns() (bool, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SocketFilter, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return false, err
	}
	defer p.Close()
	if _, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64)}); err != nil {
		return false, err
	}
	stats, err := p.Stats()
	if err != nil {
		return false, err
	}
	return stats.RunCount > 0, nil
}
