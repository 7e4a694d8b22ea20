package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// asCommand has the test binary be the command itself.
const asCommand = "TCPLAB_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// tcplab is the command, not yet started.
func tcplab(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// try runs the command to its end.
func try(cmd *exec.Cmd) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// TestMistakes: each is one line, and the status tells usage from failure.
func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"", 2, "no command given"},
		{"dance", 2, `there is no command "dance"`},
		{"run", 2, "run takes the name of one scenario"},
		{"run handshake abort", 2, "run takes the name of one scenario"},
		{"run dance", 2, `there is no scenario "dance"`},
		{"run --dance handshake", 2, "unknown flag: --dance"},
		{"list all", 2, "list takes no arguments"},
		{"load now", 2, "load takes no arguments"},
		{"load --close slowly", 2, `--close "slowly"`},
		{"load --bytes 70000", 2, "--bytes 70000"},
		{"load --shapes --bytes 0", 2, "--shapes and --bytes 0"},
		{"load --shapes --bytes 5000", 2, "--shapes and --bytes 5000"},
		{"load --workers 0", 2, "--workers 0"},
		{"load --rate -1", 2, "--rate -1"},
		{"load --seconds -1", 2, "--seconds -1"},
		{"load -4 -6", 2, "-4 and -6"},
		{"run handshake --command false", 1, `run "false"`},
	} {
		status, _, stderr := try(tcplab(t, strings.Fields(c.args)...))
		if status != c.status || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("tcplab %s: status %d, %q", c.args, status, stderr)
		}
	}
}

// TestHelp: every help fits a screen.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"help"}, {"run", "-h"}, {"list", "-h"}, {"load", "-h"}, {"clean", "-h"}} {
		status, stdout, stderr := try(tcplab(t, args...))
		if status != 0 || stdout == "" || stderr != "" {
			t.Errorf("tcplab %v: status %d, %q", args, status, stderr)
		}
		fits(t, stdout, 80, 24)
	}
}

func fits(t *testing.T, text string, columns, lines int) {
	t.Helper()
	if n := strings.Count(text, "\n"); n > lines {
		t.Errorf("%d lines, a screen has %d:\n%s", n, lines, text)
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(line)-1 > columns {
			t.Errorf("wider than %d columns: %s", columns, line)
		}
	}
}

// TestList: every scenario is shown, within 80 columns.
func TestList(t *testing.T) {
	_, stdout, _ := try(tcplab(t, "list"))
	fits(t, stdout, 80, 1000)
	for _, s := range lab.Cases() {
		if !strings.Contains(stdout, s.Name) || !strings.Contains(stdout, s.About) {
			t.Errorf("%s is not listed", s.Name)
		}
	}
}

// TestListVerdicts: what is to be said of each, how surely, and by whom, within 80 columns.
func TestListVerdicts(t *testing.T) {
	_, stdout, _ := try(tcplab(t, "list", "--verdicts"))
	fits(t, stdout, 80, 1000)
	row := regexp.MustCompile(`accept-queue-full +│ client +│ syn-unanswered +│ on-the-way, sure +│\n.* server +│ accept-queue-full +│ application, probably +│\n.* or sure +│`)
	if !row.MatchString(stdout) {
		t.Errorf("the full accept queue is missing:\n%s", stdout)
	}
}

// TestNotRoot: one clear line.
func TestNotRoot(t *testing.T) {
	cmd := tcplab(t, "run", "handshake")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	status, _, stderr := try(cmd)
	if status != 1 || !strings.Contains(stderr, "need root") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// TestRun tells the steps, and runs a command inside a host at the right time.
func TestRun(t *testing.T) {
	status, stdout, stderr := try(tcplab(t, "run", "fin-wait2", "-4", "-6",
		"--command", "ip netns exec {server} ss -Htan state fin-wait-2 sport = :{port}"))
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, want := range []string{
		"fin-wait2 over IPv4", "fin-wait2 over IPv6",
		"now: client in CLOSE_WAIT, server in FIN_WAIT2",
		"10.77.0.2:7707", "[fd77::2]:7707",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	if rows := regexp.MustCompile(`(?m)^0 +0 +\S+:7707 `).FindAllString(stdout, -1); len(rows) != 2 {
		t.Errorf("ss was to show FIN_WAIT2 twice:\n%s", stdout)
	}
}

// TestHold: the story stands still until Enter is pressed.
func TestHold(t *testing.T) {
	cmd := tcplab(t, "run", "handshake", "--hold")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := readUntil(t, out, "press Enter")
	if strings.Contains(told, "closes") {
		t.Errorf("the story went on:\n%s", told)
	}
	in.Write([]byte("\n"))
	readUntil(t, out, "has come to its end")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestInterrupted: a signal ends the wait, and the lab is removed all the same.
func TestInterrupted(t *testing.T) {
	cmd := tcplab(t, "run", "handshake", "--hold")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, out, "press Enter")
	cmd.Process.Signal(unix.SIGINT)
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit status %d", cmd.ProcessState.ExitCode())
	}
	left, err := filepath.Glob(fmt.Sprintf("/run/netns/tcplab-%d-*", cmd.Process.Pid))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// readUntil reads output up to some words.
func readUntil(t *testing.T, r io.Reader, words string) string {
	t.Helper()
	var told []byte
	buf := make([]byte, 1024)
	for !bytes.Contains(told, []byte(words)) {
		n, err := r.Read(buf)
		told = append(told, buf[:n]...)
		if err != nil {
			t.Fatalf("waiting for %q: %v after:\n%s", words, err, told)
		}
	}
	return string(told)
}

// TestLoad prints one line in the form that comparisons read.
func TestLoad(t *testing.T) {
	line := regexp.MustCompile(`^conns 300 conns/s \d+ us/conn \d+\.\d{3}\n$`)
	for _, args := range []string{"", "-6", "--veth --close rst", "--veth --shapes", "--workers 2 --rps --close server-fin"} {
		status, stdout, stderr := try(tcplab(t, append([]string{"load", "--conns", "300"}, strings.Fields(args)...)...))
		if status != 0 || !line.MatchString(stdout) {
			t.Errorf("load %s: status %d, %q, %q", args, status, stdout, stderr)
		}
	}
}
