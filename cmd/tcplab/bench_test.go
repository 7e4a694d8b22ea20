package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
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

// TestBenchCautions: what taxes every BPF program is told at start, so that one can
// stop, and before the table. The sysctl does not show it.
func TestBenchCautions(t *testing.T) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	status, stdout, stderr := try(tcplab(t, strings.Fields("bench --only tcpdump-w --pairs 1 --seconds 0.02 --rate 0 --patience 0s")...))
	const caution = "CAUTION: the kernel times each run of a BPF program: "
	if sysctl, _ := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled"); strings.TrimSpace(string(sysctl)) == "0" && !strings.Contains(stderr, fmt.Sprint("/", os.Getpid())) {
		t.Errorf("whoever asked for it is not named: %q", stderr)
	}
	before, _, _ := strings.Cut(stderr, "full speed, 1 of 1")
	head, _, ok := strings.Cut(stdout, "\nFull speed")
	if status != 0 || !strings.Contains(before, caution) || strings.Count(stderr, caution) != 1 || !ok || !strings.Contains(head, caution) {
		t.Errorf("status %d\n%s\n%s", status, stderr, stdout)
	}
}
