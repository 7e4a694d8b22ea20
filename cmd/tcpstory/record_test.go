package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/lab"
)

// recordOf starts `tcpstory record` and waits until it listens.
func recordOf(t *testing.T, on runner, path string, args ...string) *proc {
	t.Helper()
	return watch(t, on, append([]string{"record", "-w", path}, args...)...)
}

// readBack is what `tcpstory -r` prints, with a status of 0 and nothing on
// standard error.
func readBack(t *testing.T, path string, args ...string) []string {
	t.Helper()
	return readBackIn(t, nil, path, args...)
}

func readBackIn(t *testing.T, env []string, path string, args ...string) []string {
	t.Helper()
	cmd := tcpstory(here{}, append([]string{"-r", path}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	p := start(t, cmd)
	p.ends(0)
	if said := p.err.text(); len(said) > 0 {
		t.Errorf("%v says: %s", args, strings.Join(said, "\n"))
	}
	return p.out.text()
}

// TestRecordedIsLive: for every scenario of the laboratory, what a recording shows
// in any view is byte by byte what was shown when it was made.
func TestRecordedIsLive(t *testing.T) {
	for _, f := range lab.Families {
		t.Run(f.String(), func(t *testing.T) {
			inTroupe(t, lab.Scenarios(), func(t *testing.T, s lab.Scenario) { recordedIsLive(t, s, f) })
		})
	}
}

func recordedIsLive(t *testing.T, s lab.Scenario, f lab.Family) {
	l := newLab(t, lab.Options{Topology: s.Topology})
	dir := t.TempDir()
	var recorders []*proc
	for i, v := range storyViews {
		if f == lab.IPv4 && i > 0 {
			break // IPv6 has seen the other views
		}
		cmd := tcpstory(here{}, slices.Concat([]string{"record", "-w", filepath.Join(dir, string('a'+rune(i))), "--print"}, v.flags, watching(l, s))...)
		cmd.Env = append(cmd.Env, v.env)
		p := start(t, cmd)
		p.awaitsIn(p.err, listens)
		recorders = append(recorders, p)
	}
	if err := s.Run(t.Context(), l, f); err != nil {
		t.Fatal(err)
	}
	for i, p := range recorders {
		p.interrupt()
		live := p.out.text()
		if len(live) < 5 {
			t.Errorf("%v: %d lines only\n%s", storyViews[i].flags, len(live), p.both())
		}
		back := readBackIn(t, []string{storyViews[i].env}, filepath.Join(dir, string('a'+rune(i))), storyViews[i].flags...)
		if d := cmp.Diff(live, back); d != "" {
			t.Errorf("%v: live (-) and read back (+):\n%s", storyViews[i].flags, d)
		}
		if storyViews[i].flags[0] == "--json" {
			jsonIsRecording(t, filepath.Join(dir, string('a'+rune(i))), live)
		}
	}
}

// jsonIsRecording: lines of JSON read back to the same lines, and show in every
// view what the recording made beside them shows.
func jsonIsRecording(t *testing.T, recording string, lines []string) {
	t.Helper()
	path := recording + ".json"
	keep(t, path, lines)
	for _, v := range storyViews {
		want := lines
		if v.flags[0] != "--json" {
			want = readBackIn(t, []string{v.env}, recording, v.flags...)
		}
		if d := cmp.Diff(want, readBackIn(t, []string{v.env}, path, v.flags...)); d != "" {
			t.Errorf("%v of JSON: as it was (-) and read back (+):\n%s", v.flags, d)
		}
	}
}

// What two tracers cannot agree about: each reads the clock itself, and looks
// through all files for owners when it is due.
var (
	durations = regexp.MustCompile(` after \d+\.\d+ ms`)
	lookedUp  = regexp.MustCompile(`: Owner held,`)
)

func timeless(lines []string) []string {
	for i, l := range lines {
		lines[i] = durations.ReplaceAllString(l, "")
	}
	return slices.DeleteFunc(lines, func(l string) bool { return gap.MatchString(l) || lookedUp.MatchString(l) })
}

// TestNarrower: a choice on the command line that reads a recording shows what the
// same choice would have shown live, at the same time.
func TestNarrower(t *testing.T) {
	l := newLab(t, lab.Options{})
	client, server := l.Host(lab.Client).NetnsName(), l.Host(lab.Server).NetnsName()
	choices := [][]string{
		{"tcp"}, {"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0"}, {"src port 7705"}, {"port 9"},
		{"--no-packets"}, {"--no-states"}, {"--no-states", "port 7705"}, {"-Q", "in"}, {"-Q", "out", "port 7705"},
		{"--netns", client}, {"--netns", server, "port 7705"}, {"--comm", "tcplab-client"}, {"--comm", "tcplab-server", "--no-packets"}, {"--comm", "tcplab-client", "--no-states"}, {"-c", "3"},
	}
	path := filepath.Join(t.TempDir(), "story.pcapng")
	both := []string{"--netns", client, "--netns", server}
	recorder := recordOf(t, here{}, path, slices.Concat(both, []string{"tcp or icmp or icmp6"})...)
	var tracers []*proc
	for _, c := range choices {
		args := slices.Concat([]string{"-t"}, c)
		if !slices.Contains(c, "--netns") {
			args = append(slices.Clone(both), args...)
		}
		tracers = append(tracers, watch(t, here{}, args...))
	}
	for _, name := range []string{"close-client-first", "abort"} {
		s, err := lab.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context(), l, lab.IPv4); err != nil {
			t.Fatal(err)
		}
	}
	recorder.interrupt()
	for i, p := range tracers {
		if !slices.Contains(choices[i], "-c") {
			p.cmd.Process.Signal(os.Interrupt)
		}
		p.ends(0)
		again := readBack(t, path, append([]string{"-t"}, choices[i]...)...)
		narrowerInJSON(t, path, choices[i], again)
		live, back := timeless(p.out.text()), timeless(again)
		if d := cmp.Diff(live, back); d != "" {
			t.Errorf("%v: live (-) and read back (+):\n%s", choices[i], d)
		}
		if len(live) == 0 && choices[i][0] != "port 9" {
			t.Errorf("%v shows nothing", choices[i])
		}
	}
}

// narrowerInJSON: a choice shows the same of the recording's JSON, and JSON of the
// choice alone shows the same without being asked again.
func narrowerInJSON(t *testing.T, path string, choice, want []string) {
	t.Helper()
	whole := filepath.Join(t.TempDir(), "whole.json")
	keep(t, whole, readBack(t, path, "--json"))
	chosen := filepath.Join(t.TempDir(), "chosen.json")
	keep(t, chosen, readBack(t, path, append([]string{"--json"}, choice...)...))
	for what, back := range map[string][]string{
		"the choice of JSON": readBack(t, whole, append([]string{"-t"}, choice...)...),
		"JSON of the choice": readBack(t, chosen, "-t"),
	} {
		if d := cmp.Diff(want, back); d != "" {
			t.Errorf("%v: of the recording (-) and %s (+):\n%s", choice, what, d)
		}
	}
	again := readBack(t, chosen, "--json")
	keep(t, whole, again)
	if d := cmp.Diff(again, readBack(t, whole, "--json")); d != "" {
		t.Errorf("%v: JSON of JSON:\n%s", choice, d)
	}
}

// keep writes lines to a file.
func keep(t *testing.T, path string, lines []string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// judgeRuns runs another program on a recording, which must find nothing to
// complain about.
func judgeRuns(t *testing.T, name string, args ...string) []string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is a judge of this test: make setup-test installs it", name)
	}
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Env = append(plainEnv(), "LC_ALL=C.UTF-8")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	complaint := regexp.MustCompile(`(?m)^(Running as user.*|reading from file.*|)$\n?`).ReplaceAllString(said.String(), "")
	if err != nil || strings.TrimSpace(complaint) != "" {
		t.Errorf("%s %v: %v\n%s", name, args, err, complaint)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// recordScenario records one scenario.
func recordScenario(t *testing.T, name string, args ...string) (path string) {
	t.Helper()
	s, err := lab.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, lab.Options{Topology: s.Topology})
	path = filepath.Join(t.TempDir(), "story.pcapng")
	p := recordOf(t, here{}, path, append(args, watching(l, s)...)...)
	if err := s.Run(t.Context(), l, lab.IPv4); err != nil {
		t.Fatal(err)
	}
	p.interrupt()
	return path
}

// TestOthersRead: Wireshark's programs and tcpdump read a recording without a
// word, packets as packets, and what the kernel says beside them.
func TestOthersRead(t *testing.T) {
	path := recordScenario(t, "refused")
	t.Run("rows", func(t *testing.T) {
		rows := judgeRuns(t, "tshark", "-r", path, "-Y", "systemd_journal", "-T", "fields", "-e", "systemd_journal.message")
		lines := slices.DeleteFunc(readBack(t, path, "-t"), func(l string) bool { return !strings.HasPrefix(l, "TCP ") })
		if d := cmp.Diff(lines, rows); d != "" || len(rows) < 4 {
			t.Errorf("kernel events (-) and rows (+):\n%s", d)
		}
	})
	t.Run("places", func(t *testing.T) {
		var kinds []string
		for _, protocols := range judgeRuns(t, "tshark", "-r", path, "-T", "fields", "-e", "_ws.col.Protocol") {
			kinds = append(kinds, map[bool]string{true: "TCP", false: "IP"}[protocols == "systemd Journal"])
		}
		var want []string
		for _, l := range readBack(t, path, "-t") {
			want = append(want, strings.Fields(l)[0])
		}
		if d := cmp.Diff(want, kinds); d != "" {
			t.Errorf("lines (-) and rows (+):\n%s", d)
		}
	})
	t.Run("fields", func(t *testing.T) {
		for filter, pattern := range map[string]string{
			`systemd_journal.field.value == "7712"`:      `^TCP 10\.77\.0\.1\.\d+ > 10\.77\.0\.2\.7712: State CLOSE -> SYN_SENT`,
			`systemd_journal.field.value == "10.77.0.2"`: `> 10\.77\.0\.2\.7712: `,
			`systemd_journal.comm == "tcplab-client"`:    `\(tcplab-client\)`,
			`systemd_journal.field.value == "SYN_SENT"`:  `SYN_SENT`,
			`systemd_journal.pid > 1`:                    `pid|owner`,
		} {
			rows := judgeRuns(t, "tshark", "-r", path, "-Y", filter, "-T", "fields", "-e", "systemd_journal.message")
			if count(rows, pattern) == 0 {
				t.Errorf("%s: %q", filter, rows)
			}
		}
	})
	t.Run("comments", func(t *testing.T) {
		comments := judgeRuns(t, "tshark", "-r", path, "-Y", "frame.comment", "-T", "fields", "-e", "tcp.flags.str", "-e", "frame.packet_flags_direction", "-e", "frame.interface_name", "-e", "frame.comment")
		for _, pattern := range []string{
			`^·+S·\tOutbound|^·+S·\t0x00000002\tveth0\tState CLOSE -> SYN_SENT, pid \d+ \(tcplab-client\)`,
			`A·R··\t\S+\tveth0\tReset sent, reason NO_SOCKET`,
			`A·R··\t\S+\tveth0\tReset received.*,State SYN_SENT -> CLOSE after .* ms, error ECONNREFUSED`,
		} {
			if count(comments, pattern) != 1 {
				t.Errorf("no comment %s in\n%s", pattern, strings.Join(comments, "\n"))
			}
		}
	})
	t.Run("capinfos", func(t *testing.T) {
		said := judgeRuns(t, "capinfos", path)
		for _, pattern := range []string{
			`^File encapsulation: +Ethernet$`, `^File timestamp precision: +nanoseconds`, `^Number of packets: +4$`,
			`^Capture application: tcpstory `, `^Capture oper-sys: +Linux `, `Name = veth0`, `Number of stat entries = 1`,
		} {
			if count(said, pattern) == 0 {
				t.Errorf("no line %s in\n%s", pattern, strings.Join(said, "\n"))
			}
		}
	})
	t.Run("tcpdump", func(t *testing.T) {
		for _, filter := range []string{"tcp", "tcp[tcpflags] & tcp-rst != 0"} {
			if d := cmp.Diff(readBack(t, path, "-tS", "--no-states", filter), judgeRuns(t, "tcpdump", "-tSnr", path, filter)); d != "" {
				t.Errorf("%s: ours (-) and tcpdump's (+):\n%s", filter, d)
			}
		}
	})
}

// TestRewritten: what another program made of a recording is an ordinary capture
// file: the packets are all there.
func TestRewritten(t *testing.T) {
	path := recordScenario(t, "refused")
	again := filepath.Join(t.TempDir(), "again.pcapng")
	judgeRuns(t, "editcap", path, again)
	want := readBack(t, path, "-tS", "--no-states")
	if d := cmp.Diff(want, readBack(t, again, "-tS")); d != "" || len(want) != 4 {
		t.Errorf("the recording (-) and editcap's copy (+):\n%s", d)
	}
}

// TestWithoutRows: what is left out for other programs is not missing when it is
// read back.
func TestWithoutRows(t *testing.T) {
	path := recordScenario(t, "refused", "--rows", "none")
	if rows := judgeRuns(t, "tshark", "-r", path, "-T", "fields", "-e", "_ws.col.Protocol"); count(rows, "^TCP$") != 4 || len(rows) != 4 {
		t.Errorf("rows %q", rows)
	}
	if lines := readBack(t, path); count(lines, " TCP .*: (State|Reset|Error)") < 5 {
		t.Errorf("read back:\n%s", strings.Join(lines, "\n"))
	}
}

// TestReadWithoutRights: reading needs no rights at all.
func TestReadWithoutRights(t *testing.T) {
	path := recordScenario(t, "refused")
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
		"unshare", "--user", "--net", "--pid", "--fork", "tcpstory", "-r", "-", "--json")
	cmd.Stdin, cmd.Env = file, plainEnv()
	p := start(t, cmd)
	p.ends(0)
	if d := cmp.Diff(readBack(t, path, "--json"), p.out.text()); d != "" {
		t.Errorf("as root (-) and as nobody (+):\n%s", d)
	}
}

// TestRowsAsPDUs: with --rows pdu rows have addresses and ports as fields, and the
// recording reads back as well.
func TestRowsAsPDUs(t *testing.T) {
	path := recordScenario(t, "refused", "--rows", "pdu")
	rows := judgeRuns(t, "tshark", "-r", path, "-Y", "ip.addr == 10.77.0.1 && exported_pdu.dst_port == 7712", "-T", "fields", "-e", "_ws.col.Info", "-e", "frame.time_epoch")
	lines := slices.DeleteFunc(readBack(t, path, "-tt"), func(l string) bool { return !strings.Contains(l, " TCP 10.77.0.1.") })
	if len(rows) < 3 || len(rows) != len(lines) {
		t.Fatalf("%d rows for %d kernel events:\n%s", len(rows), len(lines), strings.Join(rows, "\n"))
	}
	for i, row := range rows {
		text, at, _ := strings.Cut(row, "\t")
		if line := at[:len(at)-3] + " " + text; line != lines[i] {
			t.Errorf("the row is  %s\nthe line is %s", line, lines[i])
		}
	}
	judgeRuns(t, "capinfos", path)
}
