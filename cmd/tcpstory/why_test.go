package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/diagnose"
	"tcpstory/internal/lab"
)

// TestWhy: a refused connection is told of live and from its recording, in every
// form, and --once says so by its status.
func TestWhy(t *testing.T) {
	s, err := lab.Find("refused")
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, lab.Options{Topology: s.Topology})
	path := filepath.Join(t.TempDir(), "story.pcapng")
	recorder := recordOf(t, here{}, path, watching(l, s)...)
	live := watch(t, here{}, append([]string{"why", "--json"}, watching(l, s)...)...)
	once := watch(t, here{}, append([]string{"why", "--once", "--for", "1m"}, watching(l, s)...)...)
	if err := s.Run(t.Context(), l, lab.IPv4); err != nil {
		t.Fatal(err)
	}
	live.awaits(`"rule":"refused"`)
	once.awaits(`  refused, in the application`)
	live.interrupt()
	recorder.interrupt()
	if err := once.cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	once.ends(exitTrouble)

	p := start(t, tcpstory(here{}, "why", "-r", path, "--json"))
	p.ends(0)
	if got, want := verdictsOf(t, p), verdictsOf(t, live); got != want || !strings.HasPrefix(want, "refused application") {
		t.Errorf("of the recording:\n%s\nlive:\n%s", got, want)
	}
	p = start(t, tcpstory(here{}, "why", "-r", path, "--once", "--summary"))
	p.ends(exitTrouble)
	if text := strings.Join(p.out.text(), "\n"); !regexp.MustCompile(`^1 × refused (to|at) 10\.77\.0\.2:\d+`).MatchString(text) {
		t.Errorf("the summary is %q", text)
	}
	p = start(t, tcpstory(here{}, "why", "-r", path, "--once", "port", "9"))
	p.ends(exitOK)
	if text := p.out.text(); len(text) > 0 {
		t.Errorf("of connections that the filter leaves out: %q", text)
	}
}

// TestWhyStanding: what still stands when recording ends, and no event tells of, is in
// the recording's verdicts as it was live; in either form of it.
func TestWhyStanding(t *testing.T) {
	s, err := lab.Find("close-wait-leak")
	if err != nil {
		t.Fatal(err)
	}
	path, lines := filepath.Join(t.TempDir(), "story.pcapng"), filepath.Join(t.TempDir(), "story.json")
	var l *lab.Lab
	l = newLab(t, lab.Options{Topology: s.Topology, Hold: func(context.Context, lab.Standing) error {
		recorder := recordOf(t, here{}, path, watching(l, s)...)
		told := watch(t, here{}, append([]string{"--json"}, watching(l, s)...)...)
		live := watch(t, here{}, append([]string{"why", "--json"}, watching(l, s)...)...)
		live.awaits(`"rule":"close-wait-leak"`)
		for _, p := range []*proc{live, recorder, told} {
			p.interrupt()
		}
		if err := os.WriteFile(lines, []byte(strings.Join(told.out.text(), "\n")+"\n"), 0o644); err != nil {
			return err
		}
		for _, of := range []string{path, lines} {
			p := start(t, tcpstory(here{}, "why", "-r", of, "--json"))
			p.ends(0)
			if got, want := verdictsOf(t, p), verdictsOf(t, live); got != want || !strings.HasPrefix(want, "close-wait-leak application") {
				t.Errorf("of %s:\n%s\nlive:\n%s", filepath.Base(of), got, want)
			}
		}
		return nil
	}})
	if err := s.Run(t.Context(), l, lab.IPv4); err != nil {
		t.Fatal(err)
	}
}

var digits = regexp.MustCompile(`\d+`)

// verdictsOf are the JSON objects' rules, places and texts, a line each.
func verdictsOf(t *testing.T, p *proc) string {
	t.Helper()
	var b strings.Builder
	for _, l := range p.out.text() {
		var v struct {
			Rule, Place, Text string
			Evidence          []json.RawMessage
		}
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatalf("%v in %s", err, l)
		}
		if len(v.Evidence) == 0 {
			t.Errorf("no evidence in %s", l)
		}
		b.WriteString(v.Rule + " " + v.Place + " " + digits.ReplaceAllString(v.Text, "N") + "\n") // each tracer has its own clock
	}
	return b.String()
}

// TestWhyRules: --rules lists every rule of the table with its limits, as they are.
func TestWhyRules(t *testing.T) {
	p := start(t, tcpstory(here{}, "why", "--rules", "--after", "7s"))
	p.ends(0)
	text := strings.Join(p.out.text(), "\n")
	for i := range diagnose.Rules {
		if r := &diagnose.Rules[i]; !strings.Contains(text, r.Name+"  ("+r.Family.String()) || !strings.Contains(text, r.Says) {
			t.Errorf("%s is not listed", r.Name)
		}
	}
	if !strings.Contains(text, "in CLOSE_WAIT, sending nothing: 7.0 s") {
		t.Errorf("--after does not show:\n%s", text)
	}
}

// TestWhyMistakes: what cannot be asked is a mistake, and says so.
func TestWhyMistakes(t *testing.T) {
	for args, want := range map[string]string{
		"--after 0s":              "--after 0s: want more than 0",
		"--summary --json":        "choose one",
		"--summary --every":       "choose one",
		"-r x --for 3s":           "--for is for what happens now",
		"-r testdata/none.pcapng": "no such file",
	} {
		p := start(t, tcpstory(here{}, append([]string{"why"}, strings.Fields(args)...)...))
		if p.wait(); p.cmd.ProcessState.ExitCode() == 0 || !strings.Contains(strings.Join(p.err.text(), "\n"), want) {
			t.Errorf("why %s: %s", args, p.both())
		}
	}
}

// TestWhyOfStrangersReason: a recording's reasons are a stranger's text, which must not
// reach the terminal as it is.
func TestWhyOfStrangersReason(t *testing.T) {
	text, err := os.ReadFile("../../internal/record/testdata/syn-recv.json")
	mustDo(t, err)
	hostile := base64.StdEncoding.EncodeToString([]byte("\x1b[31mX\u009b2J\u202e"))
	forged := regexp.MustCompile(`"reason":"[A-Z_]+"`).ReplaceAll(text, []byte(`"reason_base64":"`+hostile+`"`))
	path := filepath.Join(t.TempDir(), "forged.json")
	mustDo(t, os.WriteFile(path, forged, 0o600))
	for _, form := range []string{"--json=false", "--json"} {
		out, err := tcpstory(here{}, "why", form, "-r", path).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("threw them away")) || bytes.ContainsAny(out, "\x1b\u009b\u202e") {
			t.Errorf("%s: %v, %q", form, err, out)
		}
	}
}
