package main

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tcpstory/internal/diagnose"
	"tcpstory/internal/flight"
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

// TestRuleOnce: a conversation has one incident for a rule, by whichever of its ends'
// numbers it is told of, and whichever of their episodes that was in.
func TestRuleOnce(t *testing.T) {
	chosen, err := flight.Choose([]string{"rule:loss"}, isRule)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	w := &ruleWatch{chosen: chosen, told: map[ruleTold]bool{}, happens: func(*flight.Incident) { n++ }}
	for _, v := range []diagnose.Verdict{
		{End: &diagnose.End{Number: 7}, Episode: 1},
		{End: &diagnose.End{Number: 6}, Formerly: []uint64{7}, Was: []diagnose.Telling{{Number: 6}, {Number: 7, Episode: 1}}, Update: 1, Episode: 2},
		{End: &diagnose.End{Number: 6}, Update: 2, Episode: 2},
	} {
		v.Findings = []diagnose.Finding{{Rule: diagnose.RuleOf("loss")}}
		if err := w.verdict(&v); err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("%d incidents", n)
	}
}
