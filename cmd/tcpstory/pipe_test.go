package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// dropped is the summary's last line, or the first of the lost.
var dropped = regexp.MustCompile(`(?m)^\d+ events? dropped by kernel`)

// said is what stands on standard error behind the line that says tracing has
// begun.
func (p *proc) said() string {
	lines := p.err.text()
	i := slices.IndexFunc(lines, listens.MatchString)
	return strings.Join(lines[i+1:], "\n")
}

// TestInterrupt: Ctrl-C, and SIGTERM, end in order with a summary.
func TestInterrupt(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7310)[2]
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		p := watch(t, r.client, append([]string{"-i", "lo"}, r.port()...)...)
		r.converse(t, 10, 10)
		if err := p.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		p.ends(0)
		packets, events := 0, 0
		for _, l := range p.lines() {
			switch {
			case strings.Contains(l, "(inferred: "):
			case strings.Contains(l, "State "), strings.Contains(l, "Owner "):
				events++
			default:
				packets++
			}
		}
		if packets < 9 || events != 13 {
			t.Errorf("%v: %d packets, %d events\n%s", sig, packets, events, p.both())
		}
		want := fmt.Sprintf("%d packets captured\n13 kernel events captured\n2 connections seen\n", packets)
		if said := p.said(); !strings.HasPrefix(said, want) || !dropped.MatchString(said) {
			t.Errorf("%v: the summary is\n%s\nand not\n%s", sig, said, want)
		}
	}
}

// TestReaderGone: `| head -3` ends quietly.
func TestReaderGone(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7311)[0]
	for _, args := range [][]string{nil, {"--json"}, {"--view", "columns"}, {"-l"}, {"-w", "-"}} {
		p := start(t, headOf(r, args))
		p.awaitsIn(p.err, listens)
		stop := traffic(r)
		p.ends(0)
		stop()
		if said := p.said(); said != "status 0" {
			t.Errorf("%v: standard error has\n%s", args, said)
		}
		if n := len(p.lines()); n < 3 && args == nil {
			t.Errorf("%d lines arrived", n)
		}
	}
}

// headOf is a shell's `tcpstory … | head -3`, which tells tcpstory's status too.
func headOf(r route, args []string) *exec.Cmd {
	cmd := r.client.Command(context.Background(), "sh", append([]string{"-c", `(tcpstory -i veth0 "$@"; echo status $? >&2) | head -3`, "sh"}, args...)...)
	cmd.Env = plainEnv()
	return cmd
}

// traffic makes one conversation after the other until it is told to stop.
func traffic(r route) (stop func()) {
	var gone sync.WaitGroup
	quit := make(chan struct{})
	gone.Go(func() {
		for {
			if c, err := r.dial(); err == nil {
				c.Close()
			}
			select {
			case <-quit:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	return func() { close(quit); gone.Wait() }
}

// TestPrompt: into a pipe, each line comes at once, not when a buffer is full.
func TestPrompt(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7312)[0]
	p := watch(t, r.client, append([]string{"-i", r.device, "-tt"}, r.port()...)...)
	for range 5 {
		seen := len(p.lines())
		r.dial() // nobody listens: S, R., and what the socket makes of it
		if err := p.out.until(func(lines []line) bool { return len(lines) >= seen+5 }); err != nil {
			t.Fatal(err, p.both())
		}
	}
	p.interrupt()
	var late []time.Duration
	lines, _, _ := p.out.snapshot()
	for _, l := range lines {
		late = append(late, time.Duration(l.at.UnixNano())-stamp(t, l.text))
	}
	slices.Sort(late)
	t.Logf("a line can be read after: median %v, latest %v", late[len(late)/2], late[len(late)-1])
	if late[0] < 0 || late[len(late)/2] > 100*time.Millisecond || late[len(late)-1] > time.Second {
		t.Errorf("lines came %v after their event", late)
	}
}

// TestFirstEvent: the first line can be read 300 ms after the start.
func TestFirstEvent(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7313)[2]
	stop := traffic(r)
	defer stop()
	var first []time.Duration
	for range 3 {
		p := start(t, tcpstory(r.client, append([]string{"-i", "lo"}, r.port()...)...))
		l := p.awaits(`.`)
		first = append(first, l.at.Sub(p.started))
		p.interrupt()
	}
	t.Logf("first line after %v", first)
	// The promise is 300 ms; a machine busy with other tests may take longer.
	if slices.Min(first) > time.Second {
		t.Errorf("the first line came after %v", first)
	}
}

// TestDiskFull: a full disk ends it, and says where.
func TestDiskFull(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7314)[0]
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	names := ourPrograms(t)
	const text, file = "write to standard output: ", "write capture file "
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, text}, {[]string{"-l"}, text}, {[]string{"--json"}, text}, {[]string{"--view", "columns"}, text},
		{[]string{"-w", "/dev/full"}, file}, {[]string{"-w", "-"}, file},
	} {
		cmd := tcpstory(r.client, append([]string{"-i", r.device}, c.args...)...)
		cmd.Stdout = full
		p := start(t, cmd)
		p.awaitsIn(p.err, listens)
		stop := traffic(r)
		p.ends(1)
		stop()
		lines := p.err.text()
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "tcpstory: "+c.says) || !strings.HasSuffix(last, "no space left on device") {
			t.Errorf("%v: the last line is %q", c.args, last)
		}
	}
	nothingAttached(t, names)
}
