package main

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// TestReadmeCommands runs every command that the README shows, between two
// hosts with traffic on the ports that it names.
func TestReadmeCommands(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "../tcplab")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build tcplab: %v\n%s", err, out)
	}
	l := newLab(t, lab.Options{})
	for _, port := range []uint16{80, 443} {
		r := route{l.Host(lab.Client), l.Host(lab.Server), "veth0", netip.AddrPortFrom(l.Host(lab.Server).Addr4(), port)}
		ln := r.listen(t)
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
		defer traffic(r)()
	}
	dir := t.TempDir()
	for _, command := range readmeCommands(t) {
		t.Run(command, func(t *testing.T) { runShown(t, l, bin, dir, command) })
	}
}

// readmeCommands are the lines of the README's sh blocks, less their comments.
func readmeCommands(t *testing.T) (commands []string) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	comment := regexp.MustCompile(`\s+#.*`)
	for i, block := range strings.Split(string(readme), "```") {
		body, ok := strings.CutPrefix(block, "sh\n")
		if i%2 == 0 || !ok {
			continue
		}
		for line := range strings.Lines(body) {
			if line = strings.TrimSpace(comment.ReplaceAllString(line, "")); line != "" {
				commands = append(commands, line)
			}
		}
	}
	if len(commands) < 10 {
		t.Fatalf("only %d commands found in the README: %q", len(commands), commands)
	}
	return commands
}

// runShown runs one command as a reader would. What traces on until Ctrl-C must
// show something, and end well when it is pressed.
func runShown(t *testing.T, l *lab.Lab, bin, dir, command string) {
	if target, ok := strings.CutPrefix(command, "make "); ok {
		if out, err := exec.Command("make", "-C", "../..", "-n", target).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	self, err := exec.LookPath("tcpstory")
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.NewReplacer("sudo ", "", "bin/tcpstory", self, "bin/tcplab", filepath.Join(bin, "tcplab"), "eth0", "veth0").Replace(command)
	cmd := l.Host(lab.Client).Command(context.Background(), "sh", "-c", "exec "+shown)
	cmd.Env, cmd.Dir = plainEnv(), dir
	p := start(t, cmd)
	if strings.Contains(command, "why --once") {
		if status := p.wait(); status != exitOK && status != exitTrouble {
			t.Errorf("exit status %d\n%s", status, p.both())
		}
		return
	}
	if strings.Contains(command, " now --watch ") {
		p.awaits(`TCP sockets$`)
		p.interrupt()
		return
	}
	traces := strings.Contains(command, "tcpstory") && !strings.Contains(command, " now") && !strings.Contains(command, "tcplab") &&
		!strings.Contains(command, " -r ") && !strings.Contains(command, " -c ") && !strings.HasSuffix(command, " doctor") && !strings.HasSuffix(command, " --rules")
	if !traces {
		p.ends(0)
		return
	}
	p.awaitsIn(p.err, listens)
	if _, file, ok := strings.Cut(command, " > "); ok {
		eventually(t, "something in "+file, func() bool {
			info, err := os.Stat(filepath.Join(dir, file))
			return err == nil && info.Size() > 0
		})
	} else {
		p.awaits(`.`)
	}
	p.interrupt()
}

// TestReadmeIsWhole: nothing in it still waits to be filled in.
func TestReadmeIsWhole(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if gap := regexp.MustCompile(`@[A-Z]+@`).Find(readme); gap != nil {
		t.Errorf("README.md still says %s", gap)
	}
	if !regexp.MustCompile(`SYN_SENT→ESTAB`).Match(readme) {
		t.Error("README.md shows no output")
	}
}
