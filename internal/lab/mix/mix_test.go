package mix

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tcpstory/internal/lab"
)

func TestMain(m *testing.M) {
	RunRole()
	if os.Getenv(throngVariable) != "" {
		if err := runThrong(); err != nil {
			fmt.Fprintln(os.Stderr, "throng:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	_ = os.RemoveAll(program.dir)
	os.Exit(code)
}

// row is what the tests read of a line of life --json.
type row struct {
	PID        int     `json:"pid"`
	Comm       string  `json:"comm"`
	LocalAddr  string  `json:"local_addr"`
	LocalPort  uint16  `json:"local_port"`
	RemoteAddr string  `json:"remote_addr"`
	RemotePort uint16  `json:"remote_port"`
	Direction  string  `json:"direction"`
	TX         *int64  `json:"tx_bytes"`
	RX         *int64  `json:"rx_bytes"`
	Duration   float64 `json:"duration_us"`
	Connect    float64 `json:"connect_us"`
	End        string  `json:"end"`
	Accepted   *bool   `json:"accepted"`
	Older      bool    `json:"older"`
	Half       bool    `json:"half_open"`
	State      string  `json:"end_state"`
	Errno      int     `json:"errno"`
	text       string
}

// tool is a running tcpstory life.
type tool struct {
	cmd    *exec.Cmd
	out    output
	stderr *bufio.Reader
}

// output may be read while it is written.
type output struct {
	mu    sync.Mutex
	b     bytes.Buffer
	lines int
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines += bytes.Count(b, []byte{'\n'})
	return o.b.Write(b)
}

// count is how many lines were written.
func (o *output) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// awaits waits until the tool has written text.
func (l *tool) awaits(t *testing.T, text string, limit time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(limit); !strings.Contains(l.out.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v: %s", text, limit, l.out.String())
		}
	}
}

// program is tcpstory, once for all tests.
var program struct {
	once sync.Once
	dir  string
	err  error
}

// built builds it.
func built(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "mix-"); program.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", program.dir, "../../../cmd/tcpstory").CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.dir, "tcpstory")
}

func startLife(t *testing.T, bin string, args ...string) *tool {
	t.Helper()
	return startTool(t, bin, append([]string{"life", "-l"}, args...)...)
}

func startTool(t *testing.T, bin string, args ...string) *tool {
	t.Helper()
	l := &tool{cmd: exec.Command(bin, args...)}
	l.cmd.Stdout = &l.out
	pipe, err := l.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.cmd.Process.Kill(); _, _ = l.cmd.Process.Wait() })
	l.stderr = bufio.NewReader(pipe)
	for {
		line, err := l.stderr.ReadString('\n')
		if err != nil {
			t.Fatalf("life does not start: %v %s", err, line)
		}
		if strings.Contains(line, "listening") {
			return l
		}
	}
}

// stop ends it; what it said at the end is returned.
func (l *tool) stop(t *testing.T) string {
	t.Helper()
	_ = l.cmd.Process.Signal(os.Interrupt)
	said, _ := io.ReadAll(l.stderr)
	if err := l.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return string(said)
}

func (l *tool) rows(t *testing.T) (rows []row) {
	t.Helper()
	for line := range strings.Lines(l.out.String()) {
		r := row{text: strings.TrimSpace(line)}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		rows = append(rows, r)
	}
	return rows
}

func (r *row) flow() string {
	end := func(addr string, port uint16) netip.AddrPort {
		a, _ := netip.ParseAddr(addr)
		return netip.AddrPortFrom(a, port)
	}
	return fmt.Sprint(end(r.LocalAddr, r.LocalPort), " ", end(r.RemoteAddr, r.RemotePort))
}

// TestEveryLife: each socket of the mix has exactly one line, with its bytes, its
// process, its end and its duration.
func TestEveryLife(t *testing.T) {
	count := 1500
	if os.Getenv("TCPSTORY_LONG") != "" {
		count = 12000
	}
	l, err := lab.New(t.Context(), lab.Options{Topology: lab.Alone})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := l.Host(lab.Server)
	bin := built(t)
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v", v6), func(t *testing.T) {
			life := startLife(t, bin, "--json", "--netns", h.NetnsName(), "tcp")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			truths, err := Run(ctx, h, count, v6)
			said := life.stop(t)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(said, "\n0 events dropped by kernel") {
				t.Errorf("something was lost: %s", said)
			}
			checkAll(t, truths, life.rows(t))
		})
	}
}

// checkAll holds the lines against the log, and says where they differ.
func checkAll(t *testing.T, truths []Truth, rows []row) {
	t.Helper()
	byFlow := map[string][]row{}
	for _, r := range rows {
		byFlow[r.flow()] = append(byFlow[r.flow()], r)
	}
	ends := map[string]*Truth{}
	for i := range truths {
		ends[fmt.Sprint(truths[i].Local, " ", truths[i].Remote)] = &truths[i]
	}
	var c checker
	for key, truth := range ends {
		peer := ends[fmt.Sprint(truth.Remote, " ", truth.Local)]
		list := byFlow[key]
		delete(byFlow, key)
		if len(list) != 1 {
			c.fault("%d lines for %s, %+v: %+v", len(list), key, truth, list)
			continue
		}
		c.check(truth, peer, &list[0])
		if truth.Fate != NeverAccepted {
			continue
		}
		back := fmt.Sprint(truth.Remote, " ", truth.Local)
		if nobodys := byFlow[back]; len(nobodys) != 1 || nobodys[0].Accepted == nil || nobodys[0].PID != 0 || nobodys[0].End != "rst-sent" {
			c.fault("never accepted: %+v", nobodys)
		}
		delete(byFlow, back)
	}
	for key, list := range byFlow {
		c.fault("nobody made %s: %s", key, list[0].text)
	}
	c.report(t)
	t.Logf("%d sockets, %d lines, worst duration off by %v, unknown owners %d", len(ends), len(rows), c.worst, c.unowned)
}

type checker struct {
	faults  []string
	worst   time.Duration
	unowned int
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// report says the first of the faults, and how many there are.
func (c *checker) report(t *testing.T) {
	t.Helper()
	for i, f := range c.faults {
		if i == 10 {
			t.Errorf("and %d more", len(c.faults)-i)
			break
		}
		t.Error(f)
	}
}

func (c *checker) check(truth, peer *Truth, r *row) {
	side, direction := 1, "in"
	if truth.Client {
		side, direction = 0, "out"
	}
	want := Ends[truth.Fate][side]
	if truth.Unreachable {
		want = "unreachable"
	}
	if r.End != want {
		c.fault("end %s, want %s: %+v: %s", r.End, want, *truth, r.text)
	}
	if r.Direction != direction || r.Older {
		c.fault("%s, want %s: %s", r.Direction, direction, r.text)
	}
	if r.PID != truth.PID || r.Comm != truth.Comm {
		c.unowned++
		c.fault("process %d %s, want %d %s: %s", r.PID, r.Comm, truth.PID, truth.Comm, r.text)
	}
	if r.TX == nil || r.RX == nil || *r.TX != truth.TX || *r.RX != truth.RX {
		c.fault("bytes, want %d and %d: %+v: %s", truth.TX, truth.RX, *truth, r.text)
	}
	c.duration(truth, peer, r)
}

// duration: the kernel's time lies between what both processes saw of it.
func (c *checker) duration(truth, peer *Truth, r *row) {
	begun, before, closing, closed := truth.Begun, truth.Before, truth.Closing, truth.Closed
	if peer != nil {
		if !truth.Client {
			before = peer.Before // of connect()
		}
		// The other end's act may be what ended it.
		closing, closed = min(closing, peer.Closing), max(closed, peer.Closed)
	}
	have := time.Duration(r.Duration * 1000)
	most, least := time.Duration(closed-before), max(time.Duration(closing-begun), 0)
	off := max(have-most, least-have, 0)
	c.worst = max(c.worst, off)
	if off > max(time.Millisecond, have/100) {
		c.fault("took %v, want %v to %v: %+v: %s", have, least, most, *truth, r.text)
	}
}
