package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

var update = flag.Bool("update", false, "write the table of doc/SCENARIOS.md")

const scenariosDoc = "../../doc/SCENARIOS.md"

// TestScenariosDoc holds the table of doc/SCENARIOS.md to the laboratory's data,
// which TestStories holds against the kernel.
func TestScenariosDoc(t *testing.T) {
	doc, err := os.ReadFile(scenariosDoc)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- scenarios -->\n", "<!-- end scenarios -->"
	head, rest, ok := strings.Cut(string(doc), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("doc/SCENARIOS.md lacks the marks of its table")
	}
	want := head + begin + scenarioTable() + end + tail
	if *update {
		if err := os.WriteFile(scenariosDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(doc) {
		t.Error("doc/SCENARIOS.md is not what the laboratory says: go test ./cmd/tcpstory -run TestScenariosDoc -update")
	}
}

func scenarioTable() string {
	var b strings.Builder
	b.WriteString("| scenario | what happens | client | server | packets | also told |\n|---|---|---|---|---|---|\n")
	for _, s := range lab.Scenarios() {
		fmt.Fprintf(&b, "| `%s` %d | %s | %s | %s | %s | %s |\n", s.Name, s.Port, s.About,
			pathCell(s.Story.Client, errnoNames(s.Story)), pathCell(s.Story.Server, errnoName(s.Story.ServerErrno)),
			packetsCell(s), factsCell(s))
	}
	return b.String()
}

func pathCell(p lab.Path, errno string) string {
	var names []string
	for _, state := range p {
		names = append(names, state.String())
	}
	if len(names) == 0 {
		return "none"
	}
	if errno != "" {
		errno = ", " + errno
	}
	return strings.Join(names, " → ") + errno
}

func errnoName(e unix.Errno) string {
	if e == 0 {
		return ""
	}
	return unix.ErrnoName(e)
}

func errnoNames(s lab.Story) string {
	if s.ClientErrno6 != 0 && s.ClientErrno6 != s.ClientErrno {
		return errnoName(s.ClientErrno) + " (IPv6: " + errnoName(s.ClientErrno6) + ")"
	}
	return errnoName(s.ClientErrno)
}

// packetsCell is the notation, in which a table's own bar must be escaped.
func packetsCell(s lab.Scenario) string {
	p, at := string(s.Story.Packets), string(s.Story.AtServer)
	if p == "" {
		return "none"
	}
	if at != "" {
		p += "` at the server `" + at
	}
	return "`" + strings.ReplaceAll(p, "|", "\\|") + "`"
}

func factsCell(s lab.Scenario) string {
	var list []string
	for _, f := range append(append([]lab.Fact(nil), s.Story.Facts...), besides[s.Name]...) {
		words := []string{f.Host + ":", f.Kind.String()}
		if f.Kind == tcp.KindRetransmit && f.Again != tcp.RetransmitUnknown {
			words = append(words, f.Again.String())
		}
		if f.Errno != 0 && f.Kind == tcp.KindSocketError {
			f.Reason = errnoName(socketErrno(s.Story, f, lab.IPv4))
			if six := errnoName(socketErrno(s.Story, f, lab.IPv6)); six != f.Reason {
				f.Reason += " (IPv6: " + six + ")"
			}
		}
		if f.Reason != "" {
			words = append(words, f.Reason)
		}
		list = append(list, strings.Join(words, " "))
	}
	return strings.Join(list, "; ")
}
