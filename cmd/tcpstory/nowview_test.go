package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// besieged is a listener with a queue for one connection, and those who want in.
func besieged(t *testing.T, h *lab.Host, at netip.AddrPort, callers int) {
	t.Helper()
	mustDo(t, h.Within(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
			return err
		}
		return unix.Listen(fd, 1)
	}))
	p := peer(t, h, "callers")
	for i := range callers {
		_, err := p.Connect(t.Context(), strconv.Itoa(i), at, lab.Option{})
		mustDo(t, err)
	}
}

// TestNowListeners: how full a queue is, whom it has refused, who has not been
// accepted yet; and the kernel's own counts for the namespace.
func TestNowListeners(t *testing.T) {
	l := newLab(t, lab.Options{Topology: lab.Alone})
	h := l.Host(lab.Client)
	besieged(t, h, netip.MustParseAddrPort("127.0.0.1:7393"), 5)
	var listener map[string]any
	var waiting int
	eventually(t, "a full queue that has refused somebody", func() bool {
		waiting = 0
		for _, m := range nowOf(t, "--netns", h.NetnsName(), "port", "7393") {
			if m["state"] == "LISTEN" {
				listener = m
			}
			if m["held"] == "not accepted" {
				waiting++
			}
		}
		return listener["drops"].(float64) > 0
	})
	if listener["backlog"] != 2.0 || listener["max_backlog"] != 1.0 || waiting != 2 || listener["recv_q"] != nil {
		t.Errorf("%d wait in %v", waiting, listener)
	}
	args := []string{"now", "--json", "--netns", h.NetnsName()}
	before := printed(t, h.Command(t.Context(), "cat", "/proc/net/netstat"))
	all := printed(t, tcpstory(here{}, args...))
	after := printed(t, h.Command(t.Context(), "cat", "/proc/net/netstat"))
	n := nowObject(t, all[len(all)-2])
	for member, name := range map[string]string{"listen_overflows": "ListenOverflows", "listen_drops": "ListenDrops"} {
		have, least, most := n[member], netstat(t, before, name), netstat(t, after, name)
		if v, _ := have.(float64); n["kind"] != "namespace" || v < least || v > most || most == 0 {
			t.Errorf("%s: %v, the kernel says %v to %v", member, have, least, most)
		}
	}
	table := strings.Join(printed(t, tcpstory(here{}, "now", "--netns", h.NetnsName())), "")
	for _, want := range []string{"(not accepted)", "listeners of " + h.NetnsName() + " have refused ", "DROPS"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

// netstat is a number of /proc/net/netstat's.
func netstat(t *testing.T, lines []string, name string) float64 {
	t.Helper()
	var names []string
	for _, l := range lines {
		f := strings.Fields(l)
		if len(f) == 0 || f[0] != "TcpExt:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		v, err := strconv.ParseFloat(f[slices.Index(names, name)], 64)
		mustDo(t, err)
		return v
	}
	t.Fatalf("no %s", name)
	return 0
}

// TestNowProcesses: every process that has a socket open is named, and chooses it.
func TestNowProcesses(t *testing.T) {
	l := newLab(t, lab.Options{})
	r := routes(l, 7394)[0]
	ln := r.listen(t)
	k := r.connect(t, ln)
	defer ln.Close()
	defer k.client.Close()
	file, err := k.server.File()
	mustDo(t, err)
	heir := exec.CommandContext(t.Context(), "sleep", "60")
	heir.ExtraFiles = append(heir.ExtraFiles, file)
	mustDo(t, heir.Start())
	t.Cleanup(func() { heir.Process.Kill(); heir.Wait() })
	file.Close()
	k.server.Close()
	netns := "--netns=" + l.Host(lab.Client).NetnsName() + "," + l.Host(lab.Server).NetnsName()
	for _, c := range []struct {
		args []string
		want int // sockets
	}{
		{[]string{netns}, 3},
		{[]string{netns, "-p", strconv.Itoa(heir.Process.Pid)}, 1},
		{[]string{netns, "--comm", "sleep"}, 1},
		{[]string{netns, "--comm", "nobody"}, 0},
		{[]string{netns, "--state", "listening"}, 1},
		{[]string{netns, "--state", "listen,estab"}, 3},
		{[]string{netns, "--state", "time-wait"}, 0},
		{[]string{netns, "port 7394"}, 3},
		{[]string{netns, "port 7395"}, 0},
		{[]string{netns, "src host 10.77.0.2 and tcp[tcpflags] & tcp-syn != 0"}, 3},
		{[]string{netns, "host 10.77.0.9"}, 1}, // the listener's next caller, maybe
		{[]string{netns, "--cgroup", "/"}, 3},
		{[]string{"--netns=" + l.Host(lab.Server).NetnsName()}, 2},
	} {
		if have := nowOf(t, c.args...); len(have) != c.want {
			t.Errorf("%v: %d sockets, want %d: %v", c.args, len(have), c.want, have)
		}
	}
	m := nowOf(t, netns, "--comm", "sleep")[0]
	if who, want := ours(m, "processes"), fmt.Sprintf("sleep/%d", heir.Process.Pid); who != want || m["state"] != "ESTABLISHED" || m["netns"] != float64(l.Host(lab.Server).Netns()) {
		t.Errorf("%s holds %v, want %s", who, m, want)
	}
	lines := printed(t, tcpstory(here{}, "now", netns, "-c", "state,local-port", "--csv", "src port 7394"))
	if !strings.HasPrefix(lines[0], "time,sockets,state,local_port\n") || len(lines) != 5 || !strings.HasSuffix(lines[3], ",1,LISTEN,7394\n") {
		t.Errorf("counted: %q", lines)
	}
}

// TestNowCSV: as many cells as names, and the same values as in JSON.
func TestNowCSV(t *testing.T) {
	l := newLab(t, lab.Options{})
	r := routes(l, 7396)[1]
	ln := r.listen(t)
	defer ln.Close()
	k := r.connect(t, ln)
	defer k.close()
	netns := "--netns=" + l.Host(lab.Client).NetnsName()
	rows, err := csv.NewReader(strings.NewReader(strings.Join(printed(t, tcpstory(here{}, "now", "--csv", netns)), ""))).ReadAll()
	mustDo(t, err)
	if len(rows) != 2 || len(rows[0]) != 1+len(render.SocketFields) {
		t.Fatalf("%q", rows)
	}
	m := nowOf(t, netns)[0]
	for i, f := range render.SocketFields {
		cell, moves := rows[1][1+i], strings.HasPrefix(f.Name, "last_") || strings.HasSuffix(f.Name, "_ms")
		if rows[0][1+i] != f.Name || !moves && f.Name != "processes" && cell != strings.TrimSuffix(ours(m, f.Name), "<nil>") {
			if absent[f.Name] == "" {
				t.Errorf("%s: %s is %q, in JSON %v", f.Name, rows[0][1+i], cell, m[f.Name])
			}
		}
	}
}

// TestNowWithoutRights: as anybody, one's own namespace's sockets and one's own
// processes, and what is missing is said.
func TestNowWithoutRights(t *testing.T) {
	l := newLab(t, lab.Options{Topology: lab.Alone})
	r := routes(l, 7397)[2]
	defer r.listen(t).Close()
	cmd := r.client.Command(context.Background(), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "tcpstory", "now", "--json")
	cmd.Env = plainEnv()
	p := start(t, cmd)
	p.ends(0)
	p.awaits(`"kind":"socket","netns":` + strconv.Itoa(int(r.client.Netns())) + `,.*"state":"LISTEN".*"local_port":7397.*"held":"unknown"`)
	p.awaitsIn(p.err, regexp.MustCompile(`processes may not be looked at: sockets that only they hold have \?`))
}

// TestNowWatch: on a terminal one screen is drawn over again and again, in its
// width, and what comes shows; Ctrl-C ends it in order.
func TestNowWatch(t *testing.T) {
	l := newLab(t, lab.Options{})
	r := routes(l, 7398)[1]
	ln := r.listen(t)
	defer ln.Close()
	const columns = 80
	term := newTerminal(t, columns)
	cmd := tcpstory(here{}, "now", "--watch=0.1", "--netns", l.Host(lab.Client).NetnsName(), "port", "7398")
	cmd.Env = append(cmd.Env, "TERM=xterm-256color", "LANG=C.UTF-8")
	cmd.Stdout = term.program
	p := start(t, cmd)
	go p.out.gather(term)
	p.shows(` 0 TCP sockets`)
	k := r.connect(t, ln)
	p.shows(` 1 TCP sockets`)
	p.shows(`ESTABLISHED`)
	k.close()
	p.shows(`TIME_WAIT`)
	p.interrupt()
	if _, err := term.program.WriteString("\n"); err != nil { // so that a line ends
		t.Fatal(err)
	}
	p.shows(`\x1b\[\?25h\x1b\[\?1049l`)
	all := strings.Join(p.out.text(), "\n")
	if strings.Contains(all, "\x1b[2J") || !strings.HasPrefix(all, otherScreen+home) {
		t.Errorf("the screen is erased: %q", all[:200])
	}
	frames := strings.Split(all, home)
	if len(frames) < 4 {
		t.Errorf("%d frames", len(frames))
	}
	for line := range strings.Lines(strings.NewReplacer(home, "\n", toLineEnd, "", toScreenEnd, "", "\r", "", otherScreen, "", ownScreen, "").Replace(all)) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(visible(line), "\n")); n > columns {
			t.Errorf("%d columns of %d: %q", n, columns, line)
		}
	}
}

// TestNowWatchPiped: into a pipe the looks follow each other, CSV with one heading.
func TestNowWatchPiped(t *testing.T) {
	l := newLab(t, lab.Options{Topology: lab.Alone})
	r := routes(l, 7399)[2]
	defer r.listen(t).Close()
	p := start(t, tcpstory(here{}, "now", "--csv", "--watch=0.1", "--netns", r.client.NetnsName()))
	mustDo(t, p.out.until(func(lines []line) bool { return len(lines) >= 4 }))
	p.interrupt()
	for i, l := range p.out.text() {
		if strings.HasPrefix(l, "time,netns,") != (i == 0) {
			t.Errorf("line %d: %s", i, l)
		}
	}
}

// TestNowRecorded: what stood at a recording's end is what now shows at that time.
func TestNowRecorded(t *testing.T) {
	path := t.TempDir() + "/end.pcapng"
	recorder := recordOf(t, here{}, path, "portrange", "7701-7712")
	th := standStill(t, "handshake", "fin-wait2", "time-wait", "last-ack")
	inodes := map[float64]bool{}
	for _, h := range th.hosts() {
		inodes[float64(h.Netns())] = true
	}
	stands := func(list []map[string]any) (all []string) {
		for _, m := range list {
			if local, remote := ends(m); inodes[m["netns"].(float64)] {
				all = append(all, fmt.Sprint(local, " ", remote, " ", m["state"]))
			}
		}
		slices.Sort(all)
		return all
	}
	live := stands(nowOf(t, th.netns()))
	recorder.interrupt()
	story := t.TempDir() + "/end.json"
	mustDo(t, os.WriteFile(story, []byte(strings.Join(readBack(t, path, "--json"), "\n")+"\n"), 0o644))
	for _, file := range []string{path, story} {
		if back := stands(nowOf(t, "-r", file)); !slices.Equal(live, back) {
			t.Errorf("stood:\n%s\n%s:\n%s", strings.Join(live, "\n"), file, strings.Join(back, "\n"))
		}
	}
	for _, m := range nowOf(t, "-r", path, "--state", "established") {
		if m["age_from"] != "recorded" || m["recv_q"] != nil || m["uid"] != nil {
			t.Errorf("recorded: %v", m)
		}
	}
}

// TestNowWatchSaysWhatIsMissing: the screen itself says what may be missing, in its
// width, and of many notes how many there are.
func TestNowWatchSaysWhatIsMissing(t *testing.T) {
	const columns = 40
	term := newTerminal(t, columns)
	v := &snapshot{notes: []string{"first \x1b[31m", strings.Repeat("long ", 20), "third", "fourth", "fifth"}}
	mustDo(t, (&screen{term.program}).show(&env{stdout: term.program}, &nowOptions{}, v, false))
	b := make([]byte, 4096)
	n, err := term.Read(b)
	mustDo(t, err)
	lines := strings.Split(strings.NewReplacer(home, "", toLineEnd, "", toScreenEnd, "", "\r", "").Replace(string(b[:n])), "\n")
	if len(lines) < 6 || !strings.HasSuffix(lines[0], "0 TCP sockets") || lines[1] != `first \x1b[31m` ||
		len(lines[2]) != columns || lines[4] != "and 2 more of what may be missing" {
		t.Errorf("%q", lines)
	}
}

// TestNowHabits: what ss's and netstat's users type is understood.
func TestNowHabits(t *testing.T) {
	for _, args := range [][]string{{"-tanp"}, {"-tanpi"}, {"-antp"}, {"-tlnp"}, {"-tanie"}, {"-pantl"}, {"-tano", "port", "80"}} {
		o, _, err := parseNow(args)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		letters := args[0]
		if o.wide != strings.ContainsAny(letters, "ieo") || slices.Contains(o.wanted, tcp.Listen) != strings.Contains(letters, "l") || len(o.pids) > 0 || o.expr != strings.Join(args[1:], " ") {
			t.Errorf("%v: %+v", args, o)
		}
	}
	if o, _, err := parseNow([]string{"-np", "1"}); err != nil || !slices.Equal(o.processes, []uint32{1}) {
		t.Errorf("-np 1: %+v, %v", o, err)
	}
	if _, _, err := parseNow([]string{"--watch", "1"}); err == nil || !strings.Contains(err.Error(), "write --watch=1") {
		t.Errorf("--watch 1: %v", err)
	}
}

// TestLinesWithin: lines that are wider than the screen take several of its rows.
func TestLinesWithin(t *testing.T) {
	lines := []string{"\x1b[1m" + strings.Repeat("a", 10) + "\x1b[0m", "", strings.Repeat("→", 11), "b", "c"}
	for rows, want := range []int{0, 1, 2, 2, 3, 4, 5, 5} {
		if have := linesWithin(lines, 10, rows); have != want {
			t.Errorf("in %d rows: %d lines, want %d", rows, have, want)
		}
	}
}

// TestNowWatchNamesAnew: what a namespace is called is asked for with each look, since
// inodes are used again.
func TestNowWatchNamesAnew(t *testing.T) {
	l := newLab(t, lab.Options{Topology: lab.Alone})
	r := routes(l, 7396)[2]
	defer r.listen(t).Close()
	o, _, err := parseNow([]string{"--netns", r.client.NetnsName(), "port", "7396"})
	mustDo(t, err)
	look, err := newLooker(o)
	mustDo(t, err)
	defer look.names.Close()
	for range 2 {
		v, err := look.look()
		mustDo(t, err)
		if len(v.Sockets) != 1 || v.Sockets[0].Namespace.Name != r.client.NetnsName() {
			t.Fatalf("%+v", v.Sockets)
		}
		look.places[r.client.Netns()] = &tcp.Place{Name: "who was there before"}
	}
}
