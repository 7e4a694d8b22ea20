package main

import (
	"strings"
	"testing"
)

// choosesBoth: early verifiers take the programs that select, too, and all of the
// chosen process's connections show, on loopback their packets as well.
func (g guest) choosesBoth(t *testing.T) {
	res := g.trace(t, "--json", "-p", "1")
	for want, n := range map[string]int{
		`"kind":"packet"`: 20, `"new_state":"LISTEN"`: 2, `"old_state":"CLOSE","new_state":"SYN_SENT"`: 2,
		`"old_state":"SYN_SENT","new_state":"ESTABLISHED"`: 2, `"old_state":"FIN_WAIT2","new_state":"CLOSE"`: 2,
	} {
		if have := strings.Count(string(res.Stdout), want); have != n {
			t.Errorf("%s: %d of %s, want %d\n%s", g.kernel.Release, have, want, n, res.Stdout)
		}
	}
}
