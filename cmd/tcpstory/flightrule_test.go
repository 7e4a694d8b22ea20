package main

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// TestFlightRule: a verdict writes its connection's story, once, and nothing else does;
// why says the same of the file. One comes at an end, one while it still hangs.
func TestFlightRule(t *testing.T) {
	for _, c := range []struct{ rule, on string }{
		{"refused", "rule:refused,rule:syn-unanswered"},
		{"close-wait-leak", "rule:close-wait-leak"},
		{"refused", "rule:all"},
	} {
		t.Run(c.on, func(t *testing.T) {
			t.Parallel()
			s, err := lab.Find(c.rule)
			if err != nil {
				t.Fatal(err)
			}
			var p, live *proc
			tells := regexp.MustCompile(`^tcpstory: incident: rule:` + c.rule + `, .*-rule-` + c.rule + `\.pcapng$`)
			l := newLab(t, lab.Options{Topology: s.Topology, Hold: func(context.Context, lab.Standing) error {
				if s.Verdicts.Held {
					live.awaits(`"rule":"` + c.rule + `"`)
					p.awaitsIn(p.err, tells)
				}
				return nil
			}})
			dir := t.TempDir()
			live = watch(t, here{}, append([]string{"why", "--json"}, watching(l, s)...)...)
			p = watch(t, here{}, slices.Concat([]string{"record", "--ring", "4m", "-w", dir, "--after", "500ms", "--on", c.on}, watching(l, s))...)
			if err := s.Run(t.Context(), l, lab.IPv4); err != nil {
				t.Fatal(err)
			}
			live.awaits(`"rule":"` + c.rule + `"`)
			p.awaitsIn(p.err, tells)
			p.interrupt()
			live.interrupt()
			back := start(t, tcpstory(here{}, "why", "-r", onlyFile(t, dir, "rule-"+c.rule), "--json"))
			back.ends(0)
			want, _, _ := strings.Cut(verdictsOf(t, live), "\n") // a later one is of its last word
			if got := strings.TrimSpace(verdictsOf(t, back)); got != want || !strings.HasPrefix(want, c.rule+" ") {
				t.Errorf("of the file:\n%s\nlive:\n%s", got, want)
			}
			if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 1 {
				t.Errorf("files: %v", all)
			}
		})
	}
}
