package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"tcpstory/internal/kernel/blindspot"
)

// me is this process as taxes name it.
func me() string { return processName(fmt.Sprint("/proc/", os.Getpid())) }

// taxed finds the line that begins so and has all the words; others' taxes are none
// of a test's business.
func taxed(lines []string, start string, words ...string) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, start) &&
			!slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

// TestTaxStatistics: the sysctl says 0 while a process has them on, so they are
// tried out, and the process is named.
func TestTaxStatistics(t *testing.T) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	who := me() + " asked for it"
	if statsBySysctl() {
		who = "kernel.bpf_stats_enabled=1"
	}
	if lines := Taxes(); !taxed(lines, "the kernel times each run of a BPF program: ", who) {
		t.Errorf("%q does not say who: %s", lines, who)
	}
}

func nothing(t *testing.T, spec ebpf.ProgramSpec) *ebpf.Program {
	t.Helper()
	spec.License, spec.Instructions = "GPL", asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	p, err := ebpf.NewProgram(&spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestTaxPrograms: programs on a connection's way are told however they are
// attached, with how many and whose; what is not on it is not.
func TestTaxPrograms(t *testing.T) {
	typed := nothing(t, ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "tcp_receive_reset"})
	raw := nothing(t, ebpf.ProgramSpec{Type: ebpf.RawTracepoint})
	for _, attach := range []func() (link.Link, error){
		func() (link.Link, error) { return link.AttachTracing(link.TracingOptions{Program: typed}) },
		func() (link.Link, error) {
			return link.AttachRawTracepoint(link.RawTracepointOptions{Name: "tcp_receive_reset", Program: raw})
		},
		func() (link.Link, error) {
			return link.AttachRawTracepoint(link.RawTracepointOptions{Name: "cgroup_rename", Program: raw})
		},
	} {
		l, err := attach()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	onPerfEvent(t, nothing(t, ebpf.ProgramSpec{Type: ebpf.TracePoint}), "tcp/tcp_destroy_sock")
	lines := Taxes()
	if !taxed(lines, "BPF programs of "+me()+" run on ", "tcp_receive_reset (2)", "tcp_destroy_sock") || taxed(lines, "BPF programs", "cgroup_rename") {
		t.Errorf("%q", lines)
	}
	if lines := programTaxes(&held{}); !taxed(lines, "BPF programs of nobody that is seen", "tcp_receive_reset (2)") {
		t.Errorf("of a link that no process holds: %q", lines)
	}
}

// onPerfEvent attaches a program as bpftrace and bcc do: no link tells of it.
func onPerfEvent(t *testing.T, p *ebpf.Program, event string) {
	t.Helper()
	text, err := readUnmounted("tracefs", "events/"+event+"/id")
	if err != nil {
		t.Fatal(err)
	}
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Sample: 1}
	attr.Size = unix.PERF_ATTR_SIZE_VER1
	if _, err := fmt.Sscan(string(text), &attr.Config); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, p.FD()); err != nil {
		t.Fatal(err)
	}
}

// TestTaxFunctions: a function's entry and exit are links that name it by the
// kernel's BTF alone.
func TestTaxFunctions(t *testing.T) {
	types, err := kernelTypes()
	if err != nil {
		t.Fatal(err)
	}
	var f *btf.Func
	if err := types.TypeByName("tcp_v4_connect", &f); err != nil {
		t.Fatal(err)
	}
	id, err := types.TypeID(f)
	if err != nil {
		t.Fatal(err)
	}
	var it btf.HandleIterator
	defer func() { it.Handle.Close() }()
	for it.Next() {
		if info, err := it.Handle.Info(); err == nil && info.IsVmlinux() {
			if got := functionOf(info.ID, id); got != f.Name {
				t.Errorf("%q, want %q", got, f.Name)
			}
			return
		}
	}
	t.Fatal("the kernel's own types have no number", it.Err())
}

// TestTaxEvents: events that an instance of the kernel's tracer records.
func TestTaxEvents(t *testing.T) {
	if lines := eventTaxes(); taxed(lines, "events are enabled in tracefs/instances/tcpstory-test-", fmt.Sprint("-test-", os.Getpid(), "-")) {
		t.Fatalf("before it is enabled: %q", lines)
	}
	blindspot.Watch(t).Begin()
	lines := Taxes()
	if !taxed(lines, "events are enabled in tracefs/instances/", fmt.Sprint("-test-", os.Getpid(), "-"), "sock:inet_sock_set_state", "net:netif_receive_skb") {
		t.Errorf("%q", lines)
	}
}

// TestTaxTaps: of packet sockets those count that are bound to no device; where the
// kernel has lists for each namespace, not even these.
func TestTaxTaps(t *testing.T) {
	open := func(device int) uint64 {
		all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // network byte order
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device}); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	everywhere, lo := open(0), open(1)
	taps := allTaps()
	if taps[everywhere].netns == "" || taps[lo].netns != "" {
		t.Errorf("%+v: %d is bound to no device, %d to lo", taps, everywhere, lo)
	}
	if lines := tapTaxes(taps, holders(taps)); !taxed(lines, "a packet socket of "+me()+" in net:[") {
		t.Errorf("%q", lines)
	}
	types, err := kernelTypes()
	if err != nil {
		t.Fatal(err)
	}
	if foreign, unknown := foreignTaps(); (foreign[everywhere].netns == "") != tapsStayAtHome(types) || len(unknown) > 0 {
		t.Errorf("%+v, %q; the lists are the namespaces' own: %v", foreign, unknown, tapsStayAtHome(types))
	}
}

// TestTaxPlaces: which places lie on a connection's way, and how they are listed.
func TestTaxPlaces(t *testing.T) {
	for place, want := range map[string]bool{
		stateTracepoint: true, "netif_receive_skb": true, "kfree_skb": true, "tcp_v4_connect": true, "sys_enter_accept4": true,
		"sched_switch": true, "": false, "bpf_lsm_file_open": false, "cgroup_rename": false, "tcp": false,
	} {
		if concerns(place) != want {
			t.Errorf("%q: %v", place, !want)
		}
	}
	for list, want := range map[string]string{
		"a": "a", "b a b": "a, b (2)", "a b c d": "a, b, c, d", "f e d c b a a": "a (2), b, c, d and 2 more",
	} {
		if got := listed(strings.Fields(list)); got != want {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
	if _, ok := linkID(filepath.Join(t.TempDir(), "none")); ok {
		t.Error("what is not there has a number")
	}
}
