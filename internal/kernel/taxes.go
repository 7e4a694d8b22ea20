package kernel

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Taxes tells, each in a few words, what on this host makes traced events dearer
// than they are by themselves: timing of BPF programs, other tracers' programs on
// the hooks that we and tools like us use, events enabled in tracefs, and packet
// sockets that are given every namespace's packets. What cannot be looked at is
// told as unknown. This process's own programs are among them. It takes some ms,
// 100 the first time, and needs root to see all.
func Taxes() []string {
	packets, unknown := foreignTaps()
	h := holders(packets)
	taxes := slices.Concat(statsTax(h), programTaxes(h), eventTaxes(), tapTaxes(packets, h))
	return append(taxes, unknown...)
}

// statsTax: the sysctl shows only itself, so whether runs are timed is tried out;
// a process that asked for it by BPF_ENABLE_STATS (5.8) is known by its descriptor.
func statsTax(h *held) []string {
	counted, err := countsRuns()
	switch {
	case err != nil:
		return []string{"unknown whether the kernel times runs of BPF programs: " + reason(err)}
	case !counted:
		return nil
	case statsBySysctl():
		return []string{"the kernel times each run of a BPF program: kernel.bpf_stats_enabled=1"}
	case len(h.stats) > 0:
		return []string{"the kernel times each run of a BPF program: " + strings.Join(h.stats, ", ") + " asked for it"}
	}
	return []string{"the kernel times each run of a BPF program: a process that is not seen from here asked for it"}
}

func statsBySysctl() bool {
	text, err := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

// trodden are how tracepoints and functions begin that a TCP connection, or a
// tracer that wakes, comes by; and the hooks' own places.
var trodden = []string{
	"tcp_", "__tcp_", "inet_", "inet6_", "ip_", "ip6_", "sock_", "sk_", "skb_", "kfree_skb", "consume_skb", "net_", "netif_",
	"napi_", "sys_enter", "sys_exit", "__x64_sys_", "__arm64_sys_", "__sys_", "security_socket_", "bpf_lsm_socket_", "sched_",
}

// concerns reports whether a place lies on a connection's way.
func concerns(place string) bool {
	return slices.ContainsFunc(trodden, func(start string) bool { return strings.HasPrefix(place, start) }) ||
		slices.ContainsFunc(hooks, func(h hook) bool { return h.site != onWalk && h.at == place })
}

// mostPlaces is how many places a line names.
const mostPlaces = 4

// listed names places, those that come several times with their number, and
// counts what is too many.
func listed(places []string) string {
	var words []string
	slices.Sort(places)
	for i := 0; i < len(places); {
		n := 1
		for i+n < len(places) && places[i+n] == places[i] {
			n++
		}
		word := places[i]
		if n > 1 {
			word = fmt.Sprintf("%s (%d)", word, n)
		}
		words, i = append(words, word), i+n
	}
	if more := len(words) - mostPlaces; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:mostPlaces], ", "), more)
	}
	return strings.Join(words, ", ")
}
