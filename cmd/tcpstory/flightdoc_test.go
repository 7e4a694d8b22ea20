package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"tcpstory/internal/flight"
	"tcpstory/internal/lab"
)

func flightDoc(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("../../doc/RECORDING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(doc), "\n## The flight recorder\n")
	part, _, ok := strings.Cut(part, "\n## ")
	if !ok {
		t.Fatal("doc/RECORDING.md has no section about the flight recorder")
	}
	return part
}

// TestFlightDoc: the table of triggers is the program's.
func TestFlightDoc(t *testing.T) {
	var rows []string
	for _, tr := range flight.Triggers() {
		rows = append(rows, strings.ReplaceAll(fmt.Sprintf("| `%s` | %s | %s |", tr.Name, tr.Meaning, tr.Threshold), "|  |", "| |"))
	}
	if table := strings.Join(rows, "\n") + "\n"; !strings.Contains(flightDoc(t), table) {
		t.Errorf("doc/RECORDING.md does not have the table\n%s", table)
	}
}

// TestFlightDocCommands: what the section shows starts, and ends in order.
func TestFlightDocCommands(t *testing.T) {
	host := newLab(t, lab.Options{}).Host(lab.Client)
	_, block, _ := strings.Cut(flightDoc(t), "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	commands := strings.Split(strings.TrimSpace(regexp.MustCompile(`\s+#.*`).ReplaceAllString(block, "")), "\n")
	if len(commands) < 3 {
		t.Fatalf("commands: %q", commands)
	}
	self, err := exec.LookPath("tcpstory")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		dir := t.TempDir()
		c = strings.Replace(strings.ReplaceAll(c, "/var/tmp", dir), "tcpstory", self, 1)
		cmd := host.Command(t.Context(), "sh", "-c", "exec "+c)
		cmd.Env = plainEnv()
		p := start(t, cmd)
		p.awaitsIn(p.err, listens)
		p.interrupt()
	}
}
