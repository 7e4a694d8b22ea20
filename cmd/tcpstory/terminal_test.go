package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// terminal is a pseudo-terminal (pty(7)): this end, and the program's.
type terminal struct {
	*os.File
	program *os.File
}

func newTerminal(t *testing.T, columns uint16) terminal {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	fd := int(ours.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	term := terminal{ours, program}
	term.resize(t, columns)
	return term
}

func (term terminal) resize(t *testing.T, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(term.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// onTerminal starts tcpstory with its output on a terminal; its lines come
// without the terminal's carriage returns.
func onTerminal(t *testing.T, term terminal, cmd *exec.Cmd, env ...string) *proc {
	t.Helper()
	cmd.Env = append(cmd.Env, append([]string{"TERM=xterm-256color", "LANG=C.UTF-8"}, env...)...)
	cmd.Stdout = term.program
	p := start(t, cmd)
	go p.out.gather(term)
	p.awaitsIn(p.err, listens)
	return p
}

// shows waits until the terminal shows a line that matches, since the tracer's
// end does not end the terminal.
func (p *proc) shows(pattern string) {
	p.t.Helper()
	p.awaitsIn(p.out, regexp.MustCompile(pattern))
}

var (
	colour = regexp.MustCompile("\x1b\\[[0-9;]*m")
	escape = regexp.MustCompile("\x1b")
)

// visible is what one sees of a line.
func visible(l string) string {
	return strings.TrimSuffix(colour.ReplaceAllString(l, ""), "\r")
}

// TestTerminal: two columns that fit, at any width; colours, and nothing else
// that a terminal obeys.
func TestTerminal(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7380)[0]
	for _, columns := range []int{80, 100, 120, 160, 200} {
		term := newTerminal(t, uint16(columns))
		p := onTerminal(t, term, tcpstory(r.client, append([]string{"-i", r.device}, r.port()...)...))
		local := r.converse(t, 100, 3000)
		p.shows(`FIN_WAIT2.*CLOSE`)
		allSorts(t, r)
		p.shows(`R\.`)
		p.interrupt()
		all := p.lines()
		for _, l := range all {
			if escape.MatchString(colour.ReplaceAllString(l, "")) {
				t.Errorf("an escape that is no colour: %q", l)
			}
			if n := utf8.RuneCountInString(visible(l)); n > columns {
				t.Errorf("%d columns of %d: %s", n, columns, visible(l))
			}
		}
		if !slices.ContainsFunc(all, colour.MatchString) {
			t.Errorf("%d columns: no colour", columns)
		}
		checkColumns(t, all, local.String(), columns)
	}
}

// checkColumns wants the kernel's side on the left, the wire on the right, in
// one column each, and the addresses to be found.
func checkColumns(t *testing.T, lines []string, local string, columns int) {
	t.Helper()
	header := visible(lines[0])
	for _, title := range []string{"TIME", "CONN", "PROCESS", "KERNEL", "AFTER", "WIRE"} {
		if !strings.Contains(header, title) {
			t.Errorf("%d columns: no %s in the header %q", columns, title, header)
		}
	}
	wire, kernel := strings.Index(header, "WIRE"), strings.Index(header, "KERNEL")
	packets, states, named := 0, 0, false
	dotted := strings.Replace(local, ":", ".", 1)
	for _, l := range lines[1:] {
		text := []rune(visible(l))
		named = named || strings.Contains(string(text), dotted)
		if len(text) > wire && (text[wire] == '→' || text[wire] == '←') {
			packets++
			if strings.TrimSpace(string(text[kernel:wire])) != "" && !strings.Contains(string(text), "TIME_WAIT") {
				t.Errorf("%d columns: a packet with a kernel side: %s", columns, string(text))
			}
		} else if len(text) > kernel && strings.Contains(string(text[kernel:]), "→") {
			states++
		}
	}
	if packets < 20 || states < 10 || !named {
		t.Errorf("%d columns: %d packets, %d transitions, %s named: %v\n%s", columns, packets, states, dotted, named, strings.Join(lines, "\n"))
	}
}

// TestNoColor: NO_COLOR, a dumb terminal and a pipe get none; without UTF-8
// all is ASCII.
func TestNoColor(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7381)[0]
	args := append([]string{"-i", r.device}, r.port()...)
	for _, env := range []string{"NO_COLOR=1", "TERM=dumb", "LANG=C"} {
		p := onTerminal(t, newTerminal(t, 80), tcpstory(r.client, args...), env)
		r.converse(t, 100, 100)
		p.shows(`FIN_WAIT2.*CLOSE`)
		p.interrupt()
		for _, l := range p.lines() {
			if env != "LANG=C" && escape.MatchString(l) {
				t.Errorf("%s: %q", env, l)
			}
			if env == "LANG=C" && strings.ContainsFunc(l, func(r rune) bool { return r >= utf8.RuneSelf }) {
				t.Errorf("%s: %q", env, l)
			}
		}
	}
	p := watch(t, r.client, append(args, "--view", "columns")...)
	r.converse(t, 100, 100)
	p.interrupt()
	if all := strings.Join(p.lines(), "\n"); escape.MatchString(all) || !strings.Contains(all, "KERNEL") {
		t.Errorf("into a pipe:\n%q", all)
	}
}

// TestTerminalWidth: the columns follow the terminal; --view lines, --json and
// --no-states do not care that it is one.
func TestTerminalWidth(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7382)[0]
	args := append([]string{"-i", r.device}, r.port()...)
	term := newTerminal(t, 80)
	p := onTerminal(t, term, tcpstory(r.client, args...))
	r.converse(t, 10, 10)
	p.shows(`FIN_WAIT2.*CLOSE`)
	term.resize(t, 200)
	if err := p.cmd.Process.Signal(unix.SIGWINCH); err != nil { // it is not this terminal's foreground group
		t.Fatal(err)
	}
	eventually(t, "the columns to grow", func() bool {
		r.converse(t, 10, 10)
		return strings.Contains(strings.Join(p.lines(), "\n"), "LOCAL - REMOTE")
	})
	p.interrupt()
	for flag, want := range map[string]string{"--view=lines": `^\d\d:\d\d:\d\d\.\d{6} IP .*Flags \[S\]`, "--json": `^\{"seq":`, "--no-states": `^\d\d:\d\d:\d\d\.\d{6} IP .*Flags \[S\]`} {
		p := onTerminal(t, newTerminal(t, 80), tcpstory(r.client, append(args, flag)...))
		r.converse(t, 10, 10)
		p.shows(want)
		p.interrupt()
	}
}
