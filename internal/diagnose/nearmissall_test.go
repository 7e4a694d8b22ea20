package diagnose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tcpstory/internal/diagnose"
)

// allNearMisses are those of every rule.
var allNearMisses = slices.Concat(openingMisses, listeningMisses, nearMisses, dyingMisses)

// noNumber are rules that no number parts from health, and why there is none: whoever
// gives one of them a number is told to act it out.
var noNumber = map[string]string{
	"no-route":           "connect() has failed",
	"no-free-port":       "connect() has failed",
	"refused":            "connect() has failed, or a RST was sent",
	"user-timeout":       "the kernel has given up, after the program's own number",
	"keepalive-death":    "the kernel has given up, after the program's own number",
	"retransmit-timeout": "the kernel has given up, after net.ipv4.tcp_retries2",
	"rst-unread-data":    "the kernel says why it sent the RST",
	"rst-no-socket":      "the kernel says why it sent the RST",
}

// noQuantity are lines among a rule's numbers that have none, or that part one trouble
// from the next of its kind, and what tests them.
var noQuantity = map[string]string{
	"told anew when it was gone for": "TestEpisodes",
	"none of one that ends":          "TestOrdinaryResets",
	"while it waits, of a server":    "TestFirstQuestion",
}

// TestNearMisses: a fifth below a threshold nothing is said, a fifth above it the
// trouble is named, and nothing else.
func TestNearMisses(t *testing.T) {
	for i, m := range allNearMisses {
		t.Run(fmt.Sprint(m.rule, "/", m.of, "/", i), func(t *testing.T) {
			said := func(percent int) []string {
				return slices.DeleteFunc(told(t, m.act(percent), limits), func(r string) bool { return slices.Contains(m.less, r) })
			}
			if have := said(80); len(have) > 0 {
				t.Errorf("at 80 %%: %v", have)
			}
			have := said(120)
			if !slices.Contains(have, m.rule) || slices.ContainsFunc(have, func(r string) bool { return r != m.rule }) {
				t.Errorf("at 120 %%: %v", have)
			}
		})
	}
}

// TestEveryThreshold: each number that the rules' table publishes has a near miss.
func TestEveryThreshold(t *testing.T) {
	used := make([]bool, len(allNearMisses))
	for i := range diagnose.Rules {
		r := &diagnose.Rules[i]
		numbers := 0
		if r.Limits != nil {
			for _, l := range r.Limits(&limits) {
				if numbers++; !missed(r.Name, l.What, used) && noQuantity[l.What] == "" {
					t.Errorf("%s has no near miss of its number %q", r.Name, l.What)
				}
			}
		}
		if (numbers > 0) == (noNumber[r.Name] != "") {
			t.Errorf("%s has %d numbers, and %q as its reason to have none", r.Name, numbers, noNumber[r.Name])
		}
	}
	for i, m := range allNearMisses {
		if !used[i] {
			t.Errorf("%s has no number %q", m.rule, m.of)
		}
	}
}

// missed marks the near misses of a rule's number, and reports whether there is one.
func missed(rule, what string, used []bool) (any bool) {
	for i, m := range allNearMisses {
		if m.rule == rule && m.of != "" && strings.Contains(what, m.of) {
			used[i], any = true, true
		}
	}
	return any
}
