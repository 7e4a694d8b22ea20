package mix

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// TestManySockets: as many half-open connections and as many sockets that nobody ever
// closes. Each is told once by who sees it end, and once, as open, by who leaves
// before; while they are there each has a note, and when they have gone no note is
// left, and the process is as large as before. TCPSTORY_LONG makes 100,000 of either.
func TestManySockets(t *testing.T) {
	many := 20000
	if os.Getenv("TCPSTORY_LONG") != "" {
		many = 100000
	}
	h, bin := alone(t), built(t)
	args := []string{"life", "--json", "--netns", h.NetnsName(), "tcp"}
	leaves := startTool(t, bin, append(args, "--open")...)
	charged := newCharged(t)
	stays := startTool(t, "sh", append([]string{"-c", charged.enter() + `exec "$0" "$@"`, bin}, args...)...)
	m := &measured{t: t, tool: stays, notes: notesOf(t, stays.cmd.Process.Pid), charged: charged}
	m.wants(noted{})
	m.say("nothing")

	p := gather(t, h, many/2)
	c := m.notes.count(t)
	stored := m.notes.inStorage(t, p)
	if c.places+stored != many || c.halfOpen != 0 {
		t.Errorf("%d sockets are open, and noted are %+v and %d in storage", many, c, stored)
	}
	m.perSocket(fmt.Sprintf("never closed, %d in storage", stored), many)

	begun := time.Now()
	flood(t, h, many)
	t.Logf("%d SYNs took %v", many, time.Since(begun).Round(time.Millisecond))
	eventually(t, 30*time.Second, func() string {
		if c = m.notes.count(t); c.halfOpen == many || stays.out.count() > 0 {
			return ""
		}
		return fmt.Sprintf("%d half-open connections, noted are %d", many, c.halfOpen)
	})
	m.perSocket("half-open", c.halfOpen)
	m.wants(noted{c.places, 0})
	told := stays.quiet(t)
	saidOpen := leaves.stop(t)
	m.say("half-open ones told")

	for i := range p.processes { // all at once would be more than the ring holds, and be counted as lost
		p.dies(t, i)
		told += p.sockets(i)
		stays.told(t, told)
	}
	m.wants(noted{})
	m.returns()
	unsent := many - int(resentOf(t, h))
	eachOnce(t, leaves, many, unsent+unnoted(t, saidOpen), p, true)
	eachOnce(t, stays, many, unsent+unnoted(t, stays.stop(t)), p, false)
}

// resentOf is how many SYN-ACKs the kernel has sent again, by its own count. Of each
// SYN it should be one, but where the machine is busy some come to an end without: of
// these nothing tells.
func resentOf(t *testing.T, h *lab.Host) uint64 {
	t.Helper()
	n, err := h.Counter("TcpExt", "TCPSynRetrans")
	mustDo(t, err)
	return n
}

// unnoted is of how many SYN-ACKs a tool says, at its end, that it could not note
// them: where thousands come at once the kernel's allocator may not keep up. There
// is nothing else that it may have lost.
func unnoted(t *testing.T, said string) (n int) {
	t.Helper()
	if m := unnotedLine.FindStringSubmatch(said); m != nil {
		n, _ = strconv.Atoi(m[1])
	}
	if !strings.Contains(said, "\n0 events dropped by kernel") || strings.Contains(unnotedLine.ReplaceAllString(said, ""), "***") {
		t.Errorf("something was lost: %s", said)
	}
	return n
}

var unnotedLine = regexp.MustCompile(`\*\*\* (\d+) repeated SYN-ACKs? without room for a note`)

// fact is what a row has to be.
type fact struct {
	half bool
	pid  int // whose it is
}

// eachOnce wants the throng's sockets and the flood's SYNs, each once, but for as many
// SYNs as must be silent.
func eachOnce(t *testing.T, tool *tool, many, mayLack int, p *throng, open bool) {
	t.Helper()
	want := make(map[string]fact, 2*many)
	for i := range many {
		want[fmt.Sprint(floodAt, " ", floodSource(i))] = fact{half: true}
	}
	for n, one := range p.processes {
		from, to := ofProcess(n, p.connections)
		for i := from; i < to; i++ {
			c, who := coupleOf(i), fact{pid: one.cmd.Process.Pid}
			want[fmt.Sprint(c.client, " ", c.server)], want[fmt.Sprint(c.server, " ", c.client)] = who, who
		}
	}
	var c checker
	for _, r := range tool.rows(t) {
		w, known := want[r.flow()]
		if r.PID == 0 && !w.half { // whoever walked over open files just then has closed it: the tool itself
			c.unowned++
		}
		switch {
		case !known:
			c.fault("told twice, or nobody's: %s", r.text)
		case w.half != r.Half || r.PID != w.pid && r.PID != 0 || c.unowned > many/1000:
			c.fault("want %+v, %d are unknown: %s", w, c.unowned, r.text)
		case w.half && (r.End != "timed-out" || r.Direction != "in"):
			c.fault("half-open: %s", r.text)
		case !w.half && (open != (r.End == "open") || !open && !strings.HasPrefix(r.End, "fin-")):
			c.fault("its end: %s", r.text)
		}
		delete(want, r.flow())
	}
	silent := 0
	for flow, w := range want {
		if !w.half {
			c.fault("not told: %s", flow)
			continue
		}
		if silent++; silent > mayLack || mayLack > many/1000 {
			c.fault("%d half-open ones may not be told, and this is one more: %s", mayLack, flow)
		}
	}
	if silent < mayLack {
		c.fault("%d half-open ones were not told, %d is accounted for", silent, mayLack)
	}
	t.Logf("%d of %d half-open ones are not told: their SYN-ACK was not sent again, or is counted as not noted", silent, many)
	c.report(t)
}

// measured is a tool whose notes and memory are looked at.
type measured struct {
	t       *testing.T
	tool    *tool
	notes   *notes
	charged *charged
	began   sizes // when there was no socket
	before  sizes // at the last look
}

// sizes are in bytes; charged is the kernel's memory for what the process asked for, its maps' first of all.
type sizes struct{ resident, charged int }

func (m *measured) sizes() sizes {
	return sizes{residentOf(m.t, m.tool.cmd.Process.Pid, "VmRSS:"), m.charged.kernel(m.t)}
}

func (m *measured) say(when string) sizes {
	s := m.sizes()
	m.t.Logf("%s: %d KiB resident, %d KiB of the kernel", when, s.resident>>10, s.charged>>10)
	if m.began.resident == 0 {
		m.began = s
	}
	m.before = s
	return s
}

// perSocket states what each of so many costs, since the last look.
func (m *measured) perSocket(what string, many int) {
	before := m.before
	s := m.say(what)
	m.t.Logf("%s: %d bytes each in the process, %d in the kernel", what, (s.resident-before.resident)/max(many, 1), (s.charged-before.charged)/max(many, 1))
}

// wants that many notes, soon: the maps are looked through now and then.
func (m *measured) wants(want noted) {
	m.t.Helper()
	eventually(m.t, 10*time.Second, func() string {
		if have := m.notes.count(m.t); have != want {
			return fmt.Sprintf("noted are %+v, want %+v", have, want)
		}
		return ""
	})
}

// Of what it was as it began the process may be so much larger when all have gone:
// its ring is touched by then, and Go's heap keeps room for the largest look.
const (
	mayGrow = 24 << 20
	mayKeep = 4 << 20 // of the kernel's: caches, page tables
)

// returns wants the memory to be back where it was.
func (m *measured) returns() {
	m.t.Helper()
	s := m.say("all gone")
	if s.resident > m.began.resident+mayGrow {
		m.t.Errorf("%d KiB are resident, %d were", s.resident>>10, m.began.resident>>10)
	}
	if s.charged > m.began.charged+mayKeep {
		m.t.Errorf("the kernel keeps %d KiB, it was %d", s.charged>>10, m.began.charged>>10)
	}
	m.t.Logf("%d KiB resident at most", residentOf(m.t, m.tool.cmd.Process.Pid, "VmHWM:")>>10)
}

// residentOf is a line of /proc/PID/status, in bytes.
func residentOf(t *testing.T, pid int, line string) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	mustDo(t, err)
	_, rest, _ := strings.Cut(string(status), line)
	_, err = fmt.Sscan(rest, &kib)
	mustDo(t, err)
	return kib << 10
}

// charged is a cgroup of version 1's memory controller, which counts the kernel's
// memory apart; "" where there is none, and then nothing is said of it.
type charged struct{ dir string }

func newCharged(t *testing.T) *charged {
	dir := fmt.Sprintf("/sys/fs/cgroup/memory/tcpstory-mix-%d", os.Getpid())
	if unix.Mkdir(dir, 0o755) != nil {
		t.Log("no memory controller of version 1: the kernel's memory is not measured")
		return &charged{}
	}
	c := &charged{dir}
	t.Cleanup(func() { c.remove(t) }) // behind the process's own
	return c
}

func (c *charged) remove(t *testing.T) {
	eventually(t, 5*time.Second, func() string {
		if err := unix.Rmdir(c.dir); err != nil {
			return fmt.Sprintf("remove %s: %v", c.dir, err)
		}
		return ""
	})
}

// enter is what a shell does to be counted.
func (c *charged) enter() string {
	if c.dir == "" {
		return ""
	}
	return fmt.Sprintf("echo $$ > %s && ", filepath.Join(c.dir, "cgroup.procs"))
}

func (c *charged) kernel(t *testing.T) int {
	if c.dir == "" {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(c.dir, "memory.kmem.usage_in_bytes"))
	mustDo(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	mustDo(t, err)
	return n
}

// quiet waits until a tool has written nothing for longer than it looks for half-open
// connections that are over, and returns how many lines it has written.
func (l *tool) quiet(t *testing.T) (lines int) {
	t.Helper()
	since := time.Now()
	eventually(t, time.Minute, func() string {
		if n := l.out.count(); n != lines {
			lines, since = n, time.Now()
		}
		if time.Since(since) < 1500*time.Millisecond {
			return "it writes on and on"
		}
		return ""
	})
	return lines
}

// told waits until a tool has written so many lines.
func (l *tool) told(t *testing.T, lines int) {
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		if n := l.out.count(); n < lines {
			return fmt.Sprintf("%d lines, want %d", n, lines)
		}
		return ""
	})
}
