package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tcpstory/internal/flight"
	"tcpstory/internal/lab"
)

// TestTriggers: each trigger fires for what it is there for, alone, and its file tells
// the connection's story as it was shown live.
func TestTriggers(t *testing.T) {
	played := map[string]bool{}
	for _, c := range []struct {
		trigger, scenario string
		args              []string
	}{
		{"connect-failed", "refused", nil},
		{"timeout", "keepalive-death", nil},
		{"reset", "abort", nil},
		{"reset", "reset-unread", nil},
		{"retransmits=1", "retransmit", nil},
		{"match", "close-client-first", []string{"--match", "tcp[tcpflags] & tcp-push != 0"}},
		{"match", "icmp-unreachable", []string{"--match", "icmp[0] = 3"}},
	} {
		why, _, _ := strings.Cut(c.trigger, "=")
		played[why] = true
		t.Run(c.trigger+"/"+c.scenario, func(t *testing.T) {
			t.Parallel()
			s, err := lab.Find(c.scenario)
			if err != nil {
				t.Fatal(err)
			}
			l := newLab(t, lab.Options{Topology: s.Topology})
			dir := t.TempDir()
			p := watch(t, here{}, slices.Concat([]string{"record", "--ring", "4m", "-w", dir, "--after", "1m", "--print", "--view", "lines", "--on", c.trigger},
				c.args, watching(l, s))...)
			if err := s.Run(t.Context(), l, lab.IPv4); err != nil {
				t.Fatal(err)
			}
			p.interrupt()
			live := slices.DeleteFunc(p.out.text(), regexp.MustCompile(` > \*: `).MatchString) // the listener's
			if d := cmp.Diff(live, readBack(t, onlyFile(t, dir, why), "--view", "lines")); d != "" || len(live) < 5 {
				t.Errorf("live (-) and the incident (+):\n%s", d)
			}
			if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 1 {
				t.Errorf("files: %v", all)
			}
			judgeRuns(t, "capinfos", onlyFile(t, dir, why))
		})
	}
	for _, trigger := range flight.Triggers() {
		if !played[trigger.Name] && trigger.Name != flight.Signal && trigger.Name != flight.Stuck && trigger.Name != flight.Rule { // theirs are tests of their own
			t.Errorf("%s is not played", trigger.Name)
		}
	}
}

// TestFlightStuck: a peer that does not close is told once, as long as nothing changes.
func TestFlightStuck(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7338)[0]
	ln := r.listen(t)
	defer ln.Close()
	p, dir := flies(t, r, "--ring", "4m", "--after", "0s", "--on", "stuck=300ms", "port", "7338")
	k := r.connect(t, ln)
	if err := k.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	p.awaitsIn(p.err, regexp.MustCompile(fmt.Sprintf(`incident: stuck, .*:%d`, k.local().Port())))
	time.Sleep(700 * time.Millisecond) // long enough for a second
	p.interrupt()
	lines := readBack(t, onlyFile(t, dir, "stuck"))
	if count(lines, `State ESTABLISHED -> CLOSE_WAIT`) != 1 || count(lines, `Flags \[S\]`) != 2 {
		t.Errorf("read back:\n%s", strings.Join(lines, "\n"))
	}
	k.client.Close()
	k.server.Close()
}

// TestFlightHalfOpen: a handshake that stays half open is stuck, and the file tells of it
// as what it is, inferred.
func TestFlightHalfOpen(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7353)[0]
	ln := r.listen(t)
	defer ln.Close()
	p, dir := flies(t, r, "--ring", "4m", "--after", "0s", "--on", "stuck=300ms", "--netns", r.server.NetnsName(), "port", "7353")
	if _, err := r.client.Break(lab.Rule{Hook: lab.Input, FromPort: 7353}); err != nil {
		t.Fatal(err)
	}
	r.knock()
	p.awaitsIn(p.err, regexp.MustCompile(`incident: stuck, 10\.77\.0\.2:7353 > 10\.77\.0\.1:\d+: `))
	p.interrupt()
	lines := readBack(t, onlyFile(t, dir, "stuck"))
	if count(lines, `State LISTEN -> SYN_RECV.*\(inferred: SYN-ACK\)`) != 1 || count(lines, `Flags \[S\.\]`) == 0 {
		t.Errorf("read back:\n%s", strings.Join(lines, "\n"))
	}
}

// TestFlightForgotten: a connection whose beginning has left memory is not older than the
// trace: its file says when, by whom and as which end it was opened, and since when it was in
// its state.
func TestFlightForgotten(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7352)[0]
	ln := r.listen(t)
	defer ln.Close()
	p, dir := flies(t, r, "--ring", "1m", "--after", "0s", "--on", "stuck=300ms", "port", "7352")
	k := r.connect(t, ln)
	for range 6000 { // of some 250 bytes a packet and end
		k.sends(k.client, k.server, text(1))
	}
	mustDo(t, k.client.CloseWrite())
	p.awaitsIn(p.err, regexp.MustCompile(fmt.Sprintf(`incident: stuck, .*:%d`, k.local().Port())))
	p.interrupt()
	file := onlyFile(t, dir, "stuck")
	lines := readBack(t, file)
	for _, pattern := range []string{
		` > 10\.77\.0\.2\.7352: Existed in ESTABLISHED from here on, client, opened \d+\.\d{3} ms before by \d+ \(tcpstory\.test\), owner \d+ \(tcpstory\.test\), in `,
		` 10\.77\.0\.2\.7352 > \S+: Existed in ESTABLISHED from here on, server, opened \d+\.\d{3} ms before`,
		`State ESTABLISHED -> FIN_WAIT1 after \d+\.\d{3} ms, pid`, `State ESTABLISHED -> CLOSE_WAIT after \d+\.\d{3} ms, `,
	} {
		if count(lines, pattern) != 1 {
			t.Errorf("not one %s in\n%s\n…\n%s", pattern, strings.Join(lines[:min(4, len(lines))], "\n"), strings.Join(lines[max(0, len(lines)-8):], "\n"))
		}
	}
	if count(lines, `older`) > 0 || count(lines, `Flags \[S`) > 0 {
		t.Errorf("older, or not forgotten:\n%s", strings.Join(lines[:min(4, len(lines))], "\n"))
	}
	stood := slices.DeleteFunc(readBack(t, file, "--json"), func(l string) bool { return !strings.Contains(l, `"kind":"socket"`) })
	for _, member := range []string{`"role":"client".*"owner_comm":"tcpstory\.test"`, `"since_ns":\d+,"opened_ns":\d+`} {
		if count(stood, member) == 0 || len(stood) != 2 {
			t.Errorf("no %s in\n%s", member, strings.Join(stood, "\n"))
		}
	}
	judgeRuns(t, "capinfos", file)
	k.client.Close()
	k.server.Close()
}

// TestNoIncident: ordinary connections are none, whatever is on.
func TestNoIncident(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7332)[0]
	p, dir := flies(t, r, "--ring", "4m", "port", "7332")
	for range 20 {
		r.converse(t, 100, 200)
	}
	p.interrupt()
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) > 0 {
		t.Errorf("files: %v\n%s", all, p.both())
	}
}

// TestFlightSignal: SIGUSR1 writes everything of the time before, and until the time
// after is over; what was there before memory begins stands as existing.
func TestFlightSignal(t *testing.T) {
	const before, after, mostSignals = 500 * time.Millisecond, 300 * time.Millisecond, 20
	r := routes(newLab(t, lab.Options{}), 7333)[0]
	ln := r.listen(t)
	defer ln.Close()
	old := r.connect(t, ln)
	p, dir := flies(t, r, "--ring", "4m", "--before", before.String(), "--after", after.String(), "--incidents", "100", "port", "7333")
	first, since := r.connect(t, ln), time.Now()
	var second link
	var file string
	var tried []link
	for n, around := 1, false; !around; n++ {
		if n > mostSignals {
			t.Fatalf("in %d attempts nothing came about within %v\n%s", mostSignals, before, p.both())
		}
		time.Sleep(time.Until(since.Add(before + 50*time.Millisecond))) // first is out of the window then
		began := time.Now()
		old.sends(old.client, old.server, text(10))
		second = r.connect(t, ln)
		tried = append(tried, second)
		ended := time.Now()
		mustDo(t, p.cmd.Process.Signal(unix.SIGUSR1))
		var at time.Time
		file, at = p.signalled(n)
		// The machine may have been too slow for it; a file's name has milliseconds.
		begin := at.Add(-before)
		around = since.Add(time.Millisecond).Before(begin) && began.After(begin.Add(time.Millisecond)) && ended.Before(at.Add(after))
	}
	late := r.connect(t, ln)
	p.interrupt()
	lines := readBack(t, filepath.Join(dir, file), "--json")
	for name, c := range map[string]struct {
		of    link
		lines bool
		older bool
	}{"older than the trace": {old, true, true}, "older than the window": {first, false, false}, "in the window": {second, true, false}, "late": {late, false, false}} {
		port := fmt.Sprintf(`":?%d`, c.of.local().Port())
		mine := slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
			return isAside(l) || !strings.Contains(l, port[3:]) || strings.Contains(l, `"kind":"socket"`) ||
				strings.Contains(l, `"kind":"owner"`) && strings.Contains(l, `"owner_via":"held"`) // found by a look, 0.4 s after the beginning or later
		})
		if (len(mine) > 0) != c.lines || count(mine, `"older":true`) > 0 != c.older {
			t.Errorf("%s: %d lines in %s\n%s", name, len(mine), file, strings.Join(mine, "\n"))
		}
	}
	for _, k := range append(tried, old, first, late) {
		k.abort()
	}
}

// signalled waits until the file of the n-th signal is complete, and returns its name
// and the signal's time by it.
func (p *proc) signalled(n int) (file string, at time.Time) {
	p.t.Helper()
	complete := regexp.MustCompile(`^tcpstory: incident: signal: .*(incident-(.*)-signal(?:-\d+)?\.pcapng)$`)
	var m [][]string
	err := p.err.until(func(lines []line) bool {
		m = nil
		for _, l := range lines {
			if found := complete.FindStringSubmatch(l.text); found != nil {
				m = append(m, found)
			}
		}
		return len(m) == n
	})
	if err == nil {
		at, err = time.ParseInLocation(shelfTime, m[n-1][2], time.Local)
	}
	if err != nil {
		p.t.Fatalf("signal %d: %v\n%s", n, err, p.both())
	}
	return m[n-1][1], at
}

// TestFlightRate: more incidents than are asked for in a minute are counted, and told.
func TestFlightRate(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7334)[0]
	p, dir := flies(t, r, "--ring", "4m", "--after", "0s", "--incidents", "3", "port", "7334")
	for range 8 {
		r.dial() // nobody listens
	}
	p.interrupt()
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 3 {
		t.Errorf("files: %v", all)
	}
	leftOut, each := 0, regexp.MustCompile(`^tcpstory: (\d+) incidents? left out, more than --incidents 3 a minute, or 16 at a time: (\d+) connect-failed$`)
	for _, l := range p.err.text() { // told in the first lull, then once a minute
		if m := each.FindStringSubmatch(l); m != nil && m[1] == m[2] {
			n, _ := strconv.Atoi(m[1])
			leftOut += n
		}
	}
	if leftOut != 5 {
		t.Errorf("%d left out:\n%s", leftOut, strings.Join(p.err.text(), "\n"))
	}
}

// TestFlightKeeps: the oldest files go, by number and by size, an earlier run's first,
// and nothing else does.
func TestFlightKeeps(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7335)[0]
	for _, c := range []struct {
		args  []string
		files int
		bytes int64
	}{
		{[]string{"--keep-files", "2"}, 2, 1 << 20},
		{[]string{"--keep", "220k"}, 100, 220 << 10},
	} {
		dir := t.TempDir()
		other, earlier := filepath.Join(dir, "incident-notes.pcapng"), filepath.Join(dir, "incident-20200101-000000.000-reset.pcapng")
		for _, path := range []string{other, earlier} {
			if err := os.WriteFile(path, make([]byte, 200<<10), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p := recordOf(t, r.client, dir, slices.Concat(c.args, []string{"--ring", "4m", "--after", "0s", "--incidents", "100", "port", "7335"})...)
		for range 5 {
			r.dial()
			p.awaitsIn(p.err, regexp.MustCompile(`incident: connect-failed`))
		}
		p.interrupt()
		var bytes int64
		files, _ := filepath.Glob(filepath.Join(dir, "incident-2*"))
		for _, f := range files {
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			bytes += info.Size()
		}
		if len(files) == 0 || len(files) > c.files || bytes > c.bytes || slices.Contains(files, earlier) {
			t.Errorf("%v: %d files of %d bytes: %v", c.args, len(files), bytes, files)
		}
		if _, err := os.Stat(other); err != nil {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

// TestFlightDiskFull: a full disk costs incidents, is told, and does not end the
// recorder; what is left reads. The next that finds room is whole.
func TestFlightDiskFull(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7336)[0]
	dir := t.TempDir()
	if err := unix.Mount("tcpstory-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	p := recordOf(t, r.client, dir, "--ring", "4m", "--after", "0s", "--on", "connect-failed", "port", "7336")
	r.dial()
	r.dial()
	p.awaitsIn(p.err, regexp.MustCompile(`^tcpstory: write recording .*: no space left on device$`))
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	local := r.knocks(t)
	p.awaitsIn(p.err, regexp.MustCompile(fmt.Sprintf(`incident: connect-failed, \S+:%d > `, local)))
	if err := p.cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.ends(1)
	files, _ := filepath.Glob(filepath.Join(dir, "incident-*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Size() > 0 {
			judgeRuns(t, "capinfos", f)
		}
	}
}

// knocks is refused, at a port that it returns.
func (r route) knocks(t *testing.T) uint16 {
	t.Helper()
	var port int
	err := r.client.Within(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: r.client.Addr4().As4()}); err != nil {
			return err
		}
		at, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		port = at.(*unix.SockaddrInet4).Port
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: r.at.Addr().As4(), Port: int(r.at.Port())}); err != unix.ECONNREFUSED {
			return fmt.Errorf("connect: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return uint16(port)
}

// TestFlightMemory: under load memory stays within the ring and what tcpstory takes
// anyway.
func TestFlightMemory(t *testing.T) {
	l := newLab(t, lab.Options{})
	r := routes(l, 7337)[0]
	p, _ := flies(t, r, "--ring", "8m")
	result, err := lab.Load(t.Context(), r.client, lab.LoadOptions{Duration: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	most := resident(t, p)
	t.Logf("%v: %d KiB resident", result, most)
	if most > (8+120)<<10 {
		t.Errorf("%d KiB resident", most)
	}
	p.interrupt()
}

// TestFlightKeepsOne: what is being written counts as a file, too; what finds no room
// beside it is counted.
func TestFlightKeepsOne(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7339)[0]
	p, dir := flies(t, r, "--ring", "4m", "--after", "1m", "--keep-files", "1", "--on", "connect-failed", "port", "7339")
	for range 3 {
		r.dial()
	}
	p.interrupt()
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 1 {
		t.Errorf("files: %v", all)
	}
	leftOut, each := 0, regexp.MustCompile(`^tcpstory: (\d+) incidents? left out, .*or 1 at a time: `)
	for _, l := range p.err.text() {
		if m := each.FindStringSubmatch(l); m != nil {
			n, _ := strconv.Atoi(m[1])
			leftOut += n
		}
	}
	if leftOut != 2 {
		t.Errorf("%d left out:\n%s", leftOut, strings.Join(p.err.text(), "\n"))
	}
}
