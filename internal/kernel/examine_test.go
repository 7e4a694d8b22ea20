package kernel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// BPF statistics are found on whoever asked for them: the sysctl does not show a
// process that did.
func TestStatisticsAreSeen(t *testing.T) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	if on, err := countsRuns(); err != nil || !on {
		t.Errorf("statistics are on, seen: %v, %v", on, err)
	}
	if f := statsFinding(); f.Mark != Lacks || f.Remedy == "" {
		t.Errorf("%+v", f)
	}
}

// TestExamine: findings come group by group, each hook has its line unless
// another one serves, and nothing is reported missing without a remedy.
func TestExamine(t *testing.T) {
	r := Examine()
	if r.Err != nil || r.Start <= 0 || r.Release == "" {
		t.Fatalf("%+v", r)
	}
	var order, names []string
	for _, f := range r.Findings {
		if len(order) == 0 || order[len(order)-1] != f.Group {
			order = append(order, f.Group)
		}
		names = append(names, f.Name)
		if f.What == "" || f.Mark == Lacks && (f.Lack == "" || f.Remedy == "") || f.Mark == Works && f.Lack+f.Reason+f.Remedy != "" {
			t.Errorf("%+v", f)
		}
	}
	if want := []string{"kernel", "rights", "sockets", "packets", "owners", "lives", "details", "host"}; !slices.Equal(order, want) {
		t.Errorf("groups %v, want %v", order, want)
	}
	f := newFeatures(t)
	for i := range hooks {
		h := &hooks[i]
		served := h.instead != "" && f.has(hookOf(h.instead)) || h.lack == "" && !f.has(h)
		if slices.Contains(names, h.name()) == served {
			t.Errorf("%s is named: %v; another program serves: %v", h.name(), !served, served)
		}
	}
}

// TestRemedies: the remedy fits the reason.
func TestRemedies(t *testing.T) {
	f := newFeatures(t)
	connect := hookOf(traceProgConnect4Failed)
	absent := &hook{at: "no_such_tracepoint", since: "9.9"}
	eperm := fmt.Errorf("load program: %w", unix.EPERM)
	verdict := fmt.Errorf("load program: %w", &ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"R3 min value"}})
	for _, c := range []struct {
		lockdown string
		hook     *hook
		err      error
		want     string
	}{
		{"none", absent, absent.absence(), "a kernel from 9.9 on"},
		{"none", &hook{at: "no_such_function", site: onExit}, errNoPlace, "built in, not as a module"},
		{"integrity", connect, eperm, "lockdown=integrity may be why"},
		{"none", connect, eperm, "a security module or"},
		{"", connect, eperm, "lockdown, a security module or"},
		{"none", connect, fmt.Errorf("attach: %w", unix.EBUSY), "CONFIG_DYNAMIC_FTRACE"},
		{"none", hookOf(traceProgSetState), verdict, "please report this"},
	} {
		x := examination{features: f, rights: true, lockdown: c.lockdown}
		if got := x.remedy(c.hook, c.err); !strings.Contains(got, c.want) {
			t.Errorf("%s with lockdown %q, %v: %q, want %q", c.hook.name(), c.lockdown, c.err, got, c.want)
		}
	}
	if got := reason(eperm); got != "the kernel says EPERM" {
		t.Errorf("EPERM is put as %q", got)
	}
	if got := reason(verdict); !strings.Contains(got, "R3 min value") || strings.Contains(got, "\n") {
		t.Errorf("the verifier's words are put as %q", got)
	}
	if got := reason(errors.New("two\n  lines")); got != "two lines" {
		t.Errorf("%q", got)
	}
}
