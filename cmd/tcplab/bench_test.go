package main

import (
	"strings"
	"testing"
)

// TestBenchMistakes: wrong flags are told before anything is measured.
func TestBenchMistakes(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"bench now", 2, "bench takes no arguments"},
		{"bench --pairs 0", 2, "--pairs 0"},
		{"bench --seconds 0", 2, "--seconds 0"},
		{"bench --rate -1", 2, "--rate -1"},
		{"bench --only tcptop", 2, `there is no tool "tcptop"`},
		{"bench --only tcpstory --tracer /nonexistent", 1, "make build"},
	} {
		status, _, stderr := try(tcplab(t, strings.Fields(c.args)...))
		if status != c.status || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("tcplab %s: status %d, %q", c.args, status, stderr)
		}
	}
}

func TestBenchHelp(t *testing.T) {
	status, stdout, _ := try(tcplab(t, "bench", "-h"))
	if status != 0 {
		t.Errorf("status %d", status)
	}
	fits(t, stdout, 80, 24)
}
