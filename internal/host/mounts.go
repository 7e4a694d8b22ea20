package host

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	root  string // what of the filesystem is mounted
	point string // where
	kind  string // filesystem type
}

// mounts are those mounts of our mount namespace that we ask about.
type mounts struct {
	file    string
	watch   int // a descriptor of file for poll(2), or -1
	cgroup2 []mount
	nsfs    []mount
}

// maxLine bounds a line of mountinfo: overlay mounts list a page of directories.
const maxLine = 1 << 20

func openMounts(file string) mounts {
	// Not os.Open: the runtime's poller would take the news of changes.
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1
	}
	return mounts{file: file, watch: fd}
}

func (m *mounts) close() error {
	if m.watch < 0 {
		return nil
	}
	fd := m.watch
	m.watch = -1
	return unix.Close(fd)
}

// changed reports whether the kernel announces a change since the last call
// (proc_pid_mounts(5): the file becomes exceptionally readable).
func (m *mounts) changed() bool {
	if m.watch < 0 {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(m.watch), Events: unix.POLLPRI}}
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents&(unix.POLLPRI|unix.POLLERR) != 0
}

// read reads the file anew. Where it cannot be read there are no mounts.
func (m *mounts) read() {
	m.cgroup2, m.nsfs = nil, nil
	f, err := os.Open(m.file)
	if err != nil {
		return
	}
	defer f.Close()
	m.parse(f)
}

func (m *mounts) parse(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Buffer(nil, maxLine); lines.Scan(); {
		found, ok := parseMount(lines.Text())
		if !ok {
			continue
		}
		switch found.kind {
		case "cgroup2":
			m.cgroup2 = append(m.cgroup2, found)
		case "nsfs":
			m.nsfs = append(m.nsfs, found)
		}
	}
}

// parseMount reads "36 35 98:0 ROOT POINT OPTIONS OPTIONAL… - TYPE SOURCE OPTIONS".
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	kind, _, _ := strings.Cut(after, " ")
	if !ok || len(fields) < 6 {
		return mount{}, false
	}
	return mount{root: unescapeMount(fields[3]), point: unescapeMount(fields[4]), kind: kind}, true
}

// unescapeMount undoes the kernel's \ooo for space, tab, newline and backslash.
func unescapeMount(s string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		if code, ok := octal(after); ok {
			out.WriteByte(code)
			after = after[3:]
		} else {
			out.WriteByte('\\')
		}
		s = after
	}
}

func octal(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	code, err := strconv.ParseUint(s[:3], 8, 8)
	return byte(code), err == nil
}

// netnsOf reads the root of an nsfs mount, "net:[4026531833]".
func (m mount) netnsOf() (uint32, bool) {
	digits, ok := strings.CutPrefix(m.root, "net:[")
	inode, err := strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	return uint32(inode), true
}
