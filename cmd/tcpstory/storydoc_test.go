package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

var update = flag.Bool("update", false, "write the tables of doc/SCENARIOS.md")

const scenariosDoc = "../../doc/SCENARIOS.md"

// scenarioTables are what the laboratory writes into doc/SCENARIOS.md, between marks.
var scenarioTables = []struct {
	begin, end string
	table      func() string
}{
	{"<!-- scenarios -->\n", "<!-- end scenarios -->", scenarioTable},
	{"<!-- verdicts -->\n", "<!-- end verdicts -->", verdictTable},
}

// TestScenariosDoc holds the tables of doc/SCENARIOS.md to the laboratory's data,
// which TestStories and the laboratory's own tests hold against the kernel.
func TestScenariosDoc(t *testing.T) {
	doc, err := os.ReadFile(scenariosDoc)
	if err != nil {
		t.Fatal(err)
	}
	want := string(doc)
	for _, part := range scenarioTables {
		head, rest, ok := strings.Cut(want, part.begin)
		_, tail, ok2 := strings.Cut(rest, part.end)
		if !ok || !ok2 {
			t.Fatalf("doc/SCENARIOS.md lacks the marks %s", part.begin)
		}
		want = head + part.begin + part.table() + part.end + tail
	}
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

// verdictTable is what is to be said of every scenario, by who looks.
func verdictTable() string {
	var b strings.Builder
	b.WriteString("| scenario | what happens | the client's host sees | the server's host sees | both see |\n|---|---|---|---|---|\n")
	for _, s := range lab.Cases() {
		held := ""
		if s.Verdicts.Held {
			held = ", while it lasts"
		}
		fmt.Fprintf(&b, "| `%s` %d | %s%s |", s.Name, s.Port, s.About, held)
		for _, from := range lab.Vantages {
			fmt.Fprintf(&b, " %s |", verdictCell(s.Verdicts.At(from)))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// verdictCell names rules and places, the root cause first; what may be said, and
// need not, in brackets.
func verdictCell(list []lab.Verdict) string {
	var cells []string
	for _, v := range list {
		cell := "`" + v.Rule + "` " + string(v.Place)
		if v.Reason != "" {
			cell += ", " + v.Reason
			if v.Reason6 != "" {
				cell += " (over IPv6 " + v.Reason6 + ")"
			}
		}
		for _, what := range slices.Sorted(maps.Keys(v.Numbers)) {
			cell += fmt.Sprintf(", %d %s", v.Numbers[what], what)
		}
		cell += certaintyWords(&v)
		if v.May {
			cell = "(" + cell + ")"
		}
		cells = append(cells, cell)
	}
	return strings.Join(cells, "; ")
}

// certaintyWords are about what is not certain, or not everywhere.
func certaintyWords(v *lab.Verdict) string {
	c4, c6 := v.Claims(lab.IPv4), v.Claims(lab.IPv6)
	switch {
	case c4 != c6:
		return ", over IPv6 " + string(c6)
	case v.SureBy != "":
		return ", " + string(c4) + " (sure where the kernel tells " + v.SureBy + ")"
	case c4 != lab.Surely:
		return ", " + string(c4)
	}
	return ""
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
