package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// helpOf runs a command for its help.
func helpOf(t *testing.T, command string) string {
	t.Helper()
	stdout, err := os.Create(filepath.Join(t.TempDir(), "help"))
	mustDo(t, err)
	defer stdout.Close()
	var stderr bytes.Buffer
	e := &env{args: []string{command, "-h"}, stdout: stdout, stderr: &stderr, getenv: func(string) string { return "" }}
	if status := run(t.Context(), e); status != 0 {
		t.Fatalf("%s -h: status %d, %s", command, status, &stderr)
	}
	text, err := os.ReadFile(stdout.Name())
	mustDo(t, err)
	return string(text)
}

// TestHelpFits on a screen of 24 lines and 80 columns: what is too much for that, record's,
// is no wider.
func TestHelpFits(t *testing.T) {
	for _, c := range commands() {
		if c.name == "version" {
			continue
		}
		text := helpOf(t, c.name)
		if n := strings.Count(text, "\n"); n > 24 && c.name != "record" {
			t.Errorf("%s: %d lines:\n%s", c.name, n, text)
		}
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
				t.Errorf("%s: %d columns: %s", c.name, n, line)
			}
		}
	}
	if text := helpOf(t, "trace"); !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
		return strings.HasSuffix(line, "version "+commands()[len(commands())-1].brief)
	}) {
		t.Errorf("the last command is missing: %s", text)
	}
}

// TestHelpHasAll flags that are not hidden, those too that share a line, with their values.
func TestHelpHasAll(t *testing.T) {
	for command, f := range map[string]*pflag.FlagSet{"life": (&lifeOptions{}).flags(), "now": (&nowOptions{}).flags(), "trace": (&options{}).flags()} {
		words := strings.FieldsFunc(helpOf(t, command), func(r rune) bool { return strings.ContainsRune(" ,\n", r) })
		f.VisitAll(func(flag *pflag.Flag) {
			name, _ := nameAndText(flag)
			name, value, _ := strings.Cut(name, " ")
			if !flag.Hidden && (!slices.Contains(words, name) || value != "" && !slices.Contains(words, value)) {
				t.Errorf("%s: no %s %s", command, name, value)
			}
		})
	}
}
