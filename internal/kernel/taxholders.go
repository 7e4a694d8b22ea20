package kernel

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// held is what processes hold that taxes others; a process is "name/PID".
type held struct {
	stats []string           // who asked for statistics of BPF programs
	links map[link.ID]string // attachments (5.8)
	perf  []perfProgram      // programs on perf events
	taps  map[uint64]string  // the packet sockets that were asked for, by inode
}

// perfProgram is a program that a process has put on a perf event.
type perfProgram struct {
	holder  string
	program ebpf.ProgramID
	place   string
}

// holders walks over the descriptors of all processes that it may look at.
func holders(taps map[uint64]foreignTap) *held {
	h := &held{links: map[link.ID]string{}, taps: map[uint64]string{}}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		descriptors, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue // it has ended
		}
		for _, fd := range descriptors {
			h.descriptor(dir, fd.Name(), taps)
		}
	}
	return h
}

func (h *held) descriptor(dir, fd string, taps map[uint64]foreignTap) {
	what, _ := os.Readlink(dir + "/fd/" + fd)
	switch what {
	case "anon_inode:bpf-stats":
		h.stats = append(h.stats, processName(dir))
	case "anon_inode:bpf_link", "anon_inode:bpf-link":
		if id, ok := linkID(dir + "/fdinfo/" + fd); ok {
			h.links[id] = processName(dir)
		}
	case "anon_inode:[perf_event]":
		if program, place, ok := queryPerf(filepath.Base(dir), fd); ok {
			h.perf = append(h.perf, perfProgram{processName(dir), program, place})
		}
	default:
		inode, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(what, "socket:["), "]"), 10, 64)
		if _, ok := taps[inode]; ok && err == nil {
			h.taps[inode] = processName(dir)
		}
	}
}

// processName is "name/PID" of a directory of /proc.
func processName(dir string) string {
	comm, _ := os.ReadFile(dir + "/comm")
	return string(bytes.TrimSpace(comm)) + "/" + filepath.Base(dir)
}

// linkID reads a link's number from its fdinfo.
func linkID(path string) (link.ID, bool) {
	text, _ := os.ReadFile(path)
	_, after, found := bytes.Cut(text, []byte("link_id:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	id, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 10, 32)
	return link.ID(id), found && err == nil
}

// taskFDQuery is BPF_TASK_FD_QUERY's part of union bpf_attr (4.18), on 64 bits.
type taskFDQuery struct {
	pid, fd, flags, bufLen uint32
	buf                    unsafe.Pointer
	program, kind          uint32
	offset, address        uint64
}

// queryPerf asks what program is on a perf event of a process, and where the
// event is: a tracepoint's or a function's name. Not ok: it has none.
func queryPerf(pid, fd string) (program ebpf.ProgramID, place string, ok bool) {
	p, err1 := strconv.ParseUint(pid, 10, 32)
	n, err2 := strconv.ParseUint(fd, 10, 32)
	if err1 != nil || err2 != nil {
		return 0, "", false
	}
	const cmd = 20 // BPF_TASK_FD_QUERY
	name := make([]byte, 128)
	q := taskFDQuery{pid: uint32(p), fd: uint32(n), bufLen: uint32(len(name)), buf: unsafe.Pointer(&name[0])}
	_, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(unsafe.Pointer(&q)), unsafe.Sizeof(q))
	if errno != 0 && errno != unix.ENOSPC { // ENOSPC: the name is cut
		return 0, "", false
	}
	if place = unix.ByteSliceToString(name); place == "" {
		place = fmt.Sprintf("%#x", q.address)
	}
	return ebpf.ProgramID(q.program), place, true
}
