package render

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const outputDoc = "../../doc/OUTPUT.md"

// TestOutputDoc holds doc/OUTPUT.md to the tables that the code writes from.
func TestOutputDoc(t *testing.T) {
	doc, err := os.ReadFile(outputDoc)
	if err != nil {
		t.Fatal(err)
	}
	want := string(doc)
	for name, table := range map[string]string{"lines": lineTable(), "json": jsonTable(), "now": socketTable(SocketFields), "namespace": socketTable(NamespaceFields), "groups": groupTable()} {
		want = replaceTable(t, want, name, table)
	}
	if *update {
		if err := os.WriteFile(outputDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(doc) {
		t.Error("doc/OUTPUT.md is not what the code's tables say: go test ./internal/render -run TestOutputDoc -update")
	}
}

// replaceTable puts a table between its two marks.
func replaceTable(t *testing.T, doc, name, table string) string {
	begin, end := "<!-- "+name+" -->\n", "<!-- end "+name+" -->"
	head, rest, ok := strings.Cut(doc, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("doc/OUTPUT.md lacks the marks of table %q", name)
	}
	return head + begin + table + end + tail
}

func lineTable() string {
	var b strings.Builder
	b.WriteString("| kind | line | meaning |\n|---|---|---|\n")
	for _, f := range LineForms {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", f.Kind, strings.ReplaceAll(f.Form, "|", "\\|"), f.Text)
	}
	return b.String()
}

func jsonTable() string {
	var b strings.Builder
	b.WriteString("| name | type | meaning |\n|---|---|---|\n")
	for _, f := range JSONFields {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.Name, f.Type, f.Text)
	}
	return b.String()
}

func socketTable(fields []SocketField) string {
	var b strings.Builder
	b.WriteString("| name | type | meaning |\n|---|---|---|\n")
	for _, f := range fields {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.Name, f.Type, f.Text)
	}
	return b.String()
}

func groupTable() string {
	var b strings.Builder
	b.WriteString("| group | counts by |\n|---|---|\n")
	for _, g := range SocketGroups {
		fmt.Fprintf(&b, "| %s | %s |\n", g.Name, g.Text)
	}
	return b.String()
}
