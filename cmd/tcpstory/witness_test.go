package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/lab"
)

// sameSnaplen makes both keep the same bytes: with a larger one tcpdump's ring
// would hold too few packets.
var sameSnaplen = []string{"-s", "2000"}

// tcpdump starts the real one and waits until it captures.
func tcpdump(t *testing.T, on runner, args ...string) *proc {
	t.Helper()
	args = append([]string{"-nn", "-l", "--immediate-mode", "-B", "16384"}, args...)
	cmd := on.Command(context.Background(), "tcpdump", args...)
	cmd.Env = plainEnv()
	p := start(t, cmd)
	p.awaitsIn(p.err, regexp.MustCompile("listening on "))
	return p
}

// both run tcpstory and tcpdump on the same traffic and return their lines.
// Some kernels run no BPF program while a certain process is interrupted, and
// do not say so: where only tcpstory lacks lines, it may try again.
func both(t *testing.T, on runner, ours, theirs []string, traffic func()) (have, want []string) {
	t.Helper()
	for range 3 {
		have, want = bothOnce(t, on, ours, theirs, traffic)
		if len(have) >= len(want) && (slices.Equal(have, want) || !slices.Equal(slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(want)))) {
			break // equal, or a difference that is no race of two CPUs at two taps
		}
		t.Logf("tcpstory %v: %d lines, tcpdump has %d", ours, len(have), len(want))
	}
	return have, want
}

// bothOnce ends tcpstory first, which drains; tcpdump, which does not, is given
// the time to say as much.
func bothOnce(t *testing.T, on runner, ours, theirs []string, traffic func()) (have, want []string) {
	t.Helper()
	tracer, dump := watch(t, on, ours...), tcpdump(t, on, theirs...)
	traffic()
	tracer.interrupt()
	have = tracer.lines()
	dump.out.until(func(lines []line) bool { return len(lines) >= len(have) })
	dump.interrupt()
	if !slices.Contains(dump.err.text(), "0 packets dropped by kernel") {
		t.Fatalf("tcpdump is no witness, it has lost packets:\n%s", dump.both())
	}
	want = dump.lines()
	if n := len(want); n > 0 && want[n-1] == "" {
		want = want[:n-1] // tcpdump's newline, should Ctrl-C have come in mid-line
	}
	return have, want
}

// witnessed wants tcpstory's lines to be tcpdump's, byte by byte, with the same
// flags and expression on both.
func witnessed(t *testing.T, on runner, device string, flags, expression []string, traffic func()) []string {
	t.Helper()
	args := slices.Concat([]string{"-i", device}, sameSnaplen, flags, expression)
	have, want := both(t, on, append([]string{"--no-states"}, args...), args, traffic)
	compare(t, strings.Join(args, " "), want, have)
	if len(have) == 0 {
		t.Errorf("tcpstory %v shows nothing", args)
	}
	return have
}

// compare wants the same lines of both.
func compare(t *testing.T, what string, tcpdumps, ours []string) {
	t.Helper()
	if d := cmp.Diff(tcpdumps, ours); d != "" {
		t.Errorf("%s: tcpdump (-) and tcpstory (+):\n%s", what, d)
	}
}

// allSorts is traffic of many kinds: a conversation with segments small and large
// (one system call: TSO makes them larger than the MTU), one that is aborted,
// one that nobody listens for.
func allSorts(t *testing.T, r route) {
	ln := r.listen(t)
	k := r.connect(t, ln)
	for _, n := range []int{1, 100, 1448, 1449, 30000} {
		k.sends(k.client, k.server, text(n))
		k.sends(k.server, k.client, text(n/2+1))
	}
	k.close()
	r.connect(t, ln).abort()
	ln.Close()
	syscall.ForkLock.RLock()
	//lint:ignore SA2001 this waits: a process that another test is starting has every descriptor until it runs
	syscall.ForkLock.RUnlock()
	if _, err := r.dial(); err == nil {
		t.Error("a connection to nobody")
	}
}

// lineFlags are the flags that shape lines as tcpdump's.
var lineFlags = []string{"-t", "-t -S", "-t -q", "-t -v", "-t -vv", "-t -e", "-t -#", "-t -e -v -S -q"}

// TestLinesAreTcpdumps: the packet lines are those of the real tcpdump, which
// listens beside us.
func TestLinesAreTcpdumps(t *testing.T) {
	everyRoute(t, 7300, func(t *testing.T, r route) {
		for _, flags := range lineFlags {
			lines := witnessed(t, r.client, r.device, strings.Fields(flags), r.port(), func() { allSorts(t, r) })
			if len(lines) < 20 || t.Failed() {
				t.Fatalf("%s: %d lines", flags, len(lines))
			}
		}
		for _, flags := range []string{"-t", "-t -e"} {
			witnessed(t, r.client, "any", strings.Fields(flags), r.port(), func() { allSorts(t, r) })
		}
	})
}

// TestTroublesAreTcpdumps: the same where segments are lost and come again,
// with SACK, probes and resets, as the laboratory's scenarios make them.
func TestTroublesAreTcpdumps(t *testing.T) {
	for _, name := range []string{"fast-retransmit", "tail-loss", "retransmit", "closing", "icmp-unreachable"} {
		for _, f := range lab.Families {
			t.Run(fmt.Sprintf("%s/%s", name, f), func(t *testing.T) {
				t.Parallel()
				s, err := lab.Find(name)
				if err != nil {
					t.Fatal(err)
				}
				l := newLab(t, lab.Options{Topology: s.Topology})
				client := l.Host(lab.Client)
				expression := []string{"port", strconv.Itoa(int(s.Port)), "or", "icmp", "or", "icmp6[0]", "<", "128"}
				lines := witnessed(t, client, client.Device(), []string{"-t"}, expression, func() {
					if err := s.Run(t.Context(), l, f); err != nil {
						t.Fatal(err)
					}
				})
				if name == "fast-retransmit" && !strings.Contains(strings.Join(lines, "\n"), "sack 1 {") {
					t.Errorf("no SACK:\n%s", strings.Join(lines, "\n"))
				}
			})
		}
	}
}

// TestTimes: the time of a packet is that which tcpdump's packet socket takes.
func TestTimes(t *testing.T) {
	everyRoute(t, 7301, func(t *testing.T, r route) {
		args := slices.Concat([]string{"-i", r.device, "-tt"}, sameSnaplen, r.port())
		have, want := both(t, r.client, append([]string{"--no-states"}, args...), args, func() { allSorts(t, r) })
		if len(have) != len(want) {
			t.Fatalf("%d lines of ours, %d of tcpdump's", len(have), len(want))
		}
		var apart []time.Duration
		for i := range have {
			apart = append(apart, (stamp(t, have[i]) - stamp(t, want[i])).Abs())
		}
		slices.Sort(apart)
		t.Logf("apart: median %v, largest %v", apart[len(apart)/2], apart[len(apart)-1])
		// The host may take the CPU away between the two, but not often.
		if late := apart[len(apart)-1-len(apart)/10]; late > time.Millisecond {
			t.Errorf("more than a tenth of the times are %v apart, or more", late)
		}
	})
}

// stamp reads -tt's time.
func stamp(t *testing.T, l string) time.Duration {
	t.Helper()
	text, _, _ := strings.Cut(l, " ")
	seconds, micros, ok := strings.Cut(text, ".")
	s, err1 := strconv.ParseInt(seconds, 10, 64)
	us, err2 := strconv.ParseInt(micros, 10, 64)
	if !ok || len(micros) != 6 || err1 != nil || err2 != nil {
		t.Fatalf("%q does not begin with a time", l)
	}
	return time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond
}

// TestTimeFormats: each -t prints the time as tcpdump does, from one file.
func TestTimeFormats(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7302)[0]
	file := t.TempDir() + "/f.pcap"
	tracer := watch(t, r.client, append([]string{"-i", r.device, "-w", file}, r.port()...)...)
	allSorts(t, r)
	tracer.interrupt()
	for _, flag := range []string{"", "-t", "-tt", "-ttt", "-tttt", "-ttttt"} {
		args := append(strings.Fields(flag), "-r", file)
		if d := cmp.Diff(printed(t, exec.Command("tcpdump", append(args, "-nn")...)), printed(t, tcpstory(here{}, args...))); d != "" {
			t.Errorf("%s: tcpdump (-) and tcpstory (+):\n%s", flag, d)
		}
	}
}

// printed runs a command that must succeed.
func printed(t *testing.T, cmd *exec.Cmd) []string {
	t.Helper()
	cmd.Env = plainEnv()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return strings.SplitAfter(string(out), "\n")
}
