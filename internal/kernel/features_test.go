package kernel

import (
	"bytes"
	"math"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// dumpBTF is what bpftool makes of the running kernel's BTF: a header file.
func dumpBTF(t *testing.T) []byte {
	t.Helper()
	out, err := exec.Command("bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c").Output()
	if err != nil {
		t.Fatalf("bpftool: %v (apt-get install bpftool)", err)
	}
	return out
}

func newFeatures(t *testing.T) *features {
	t.Helper()
	f, err := probeFeatures()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestArgumentsOfTracepoints counts them in bpftool's header.
func TestArgumentsOfTracepoints(t *testing.T) {
	f, header := newFeatures(t), dumpBTF(t)
	count := func(tracepoint string) int {
		m := regexp.MustCompile(`typedef void \(\*btf_trace_` + tracepoint + `\)\(void \*(.*)\);`).FindSubmatch(header)
		if m == nil {
			return -1
		}
		return bytes.Count(m[1], []byte(","))
	}
	for _, h := range hooks {
		if h.site != onTracepoint {
			continue
		}
		if have, want := f.arguments(h.at), count(h.at); have != want {
			t.Errorf("%s has %d arguments, bpftool counts %d", h.at, have, want)
		}
	}
	if n := f.arguments("no_such_tracepoint"); n != -1 {
		t.Errorf("no_such_tracepoint has %d arguments", n)
	}
	if f.dropReason != (count("kfree_skb") >= 3) || f.dropSock != (count("kfree_skb") >= 4) ||
		f.resetReason != (count("tcp_send_reset") >= 3) || f.retransmitResult != (count("tcp_retransmit_skb") >= 3) {
		t.Errorf("features %+v", f)
	}
}

// TestReasonNames holds the names of both reason enums against bpftool's.
func TestReasonNames(t *testing.T) {
	f, header := newFeatures(t), dumpBTF(t)
	for enum, prefix := range map[string]string{"skb_drop_reason": dropPrefix, "sk_rst_reason": resetPrefix} {
		have := f.names(enum, prefix)
		want := enumOf(t, header, enum)
		if len(have) != len(want) || len(want) < 10 {
			t.Errorf("%s: %d names, bpftool has %d", enum, len(have), len(want))
		}
		for value, name := range want {
			if have[value] != strings.TrimPrefix(name, prefix) {
				t.Errorf("%s: %d is %q, bpftool says %s", enum, value, have[value], name)
			}
		}
	}
	if f.names("no_such_enum") != nil {
		t.Error("no_such_enum has names")
	}
}

func enumOf(t *testing.T, header []byte, name string) map[uint32]string {
	t.Helper()
	body := regexp.MustCompile(`(?s)\nenum ` + name + ` \{\n(.*?)\n\};`).FindSubmatch(header)
	if body == nil {
		t.Fatalf("bpftool shows no enum %s", name)
	}
	names := map[uint32]string{}
	for _, m := range regexp.MustCompile(`\t(\w+) = (\d+)`).FindAllSubmatch(body[1], -1) {
		value, err := strconv.ParseUint(string(m[2]), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		names[uint32(value)] = string(m[1])
	}
	return names
}

// TestIgnoredDrops: exactly the reasons that are named as ordinary are left out
// by their number in this kernel, and none of them is misspelt.
func TestIgnoredDrops(t *testing.T) {
	f := newFeatures(t)
	names := f.names("skb_drop_reason", dropPrefix)
	known := map[string]bool{}
	ignored := f.ignoredDrops()
	for value, name := range names {
		known[name] = true
		if value < maxReasons && (ignored[value] == 1) != f.isOrdinary(name) {
			t.Errorf("%s (%d): ignored is %d", name, value, ignored[value])
		}
	}
	for _, name := range ordinary {
		if !known[name] {
			t.Errorf("this kernel has no drop reason %s", name)
		}
	}
	for _, name := range []string{"NETFILTER_DROP", "TCP_CSUM", "CPU_BACKLOG", "QDISC_DROP", "TCP_ZEROWINDOW"} {
		if f.isOrdinary(name) {
			t.Errorf("%s is a loss", name)
		}
	}
}

// TestUnspecifiedDrop: the number is this kernel's, and on any other what its BTF says.
func TestUnspecifiedDrop(t *testing.T) {
	f := newFeatures(t)
	if names := f.names("skb_drop_reason"); f.dropReason && names[f.unspecifiedDrop()] != dropPrefix+"NOT_SPECIFIED" {
		t.Errorf("%d is %q", f.unspecifiedDrop(), names[f.unspecifiedDrop()])
	}
	for _, names := range [][]string{
		{"NOT_SPECIFIED", "NO_SOCKET"},                                                    // 5.17
		{"SKB_NOT_DROPPED_YET", "NOT_SPECIFIED", "NO_SOCKET"},                             // 6.1
		{"SKB_NOT_DROPPED_YET", "SKB_CONSUMED", "NOT_SPECIFIED", "NO_SOCKET", "TCP_CSUM"}, // 6.12
		{},
	} {
		want := uint32(math.MaxUint32)
		if i := slices.Index(names, "NOT_SPECIFIED"); i >= 0 {
			want = uint32(i)
		}
		if have := withDropReasons(t, names).unspecifiedDrop(); have != want {
			t.Errorf("%v: %d, want %d", names, have, want)
		}
	}
}

// withDropReasons are the features of a kernel whose enum skb_drop_reason has these names.
func withDropReasons(t *testing.T, names []string) *features {
	t.Helper()
	enum := &btf.Enum{Name: "skb_drop_reason", Size: 4}
	for i, name := range names {
		if !strings.HasPrefix(name, "SKB_") {
			name = dropPrefix + name
		}
		enum.Values = append(enum.Values, btf.EnumValue{Name: name, Value: uint64(i)})
	}
	b, err := btf.NewBuilder([]btf.Type{enum}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return &features{spec: spec}
}

// TestNotesOnThisKernel: what is missing is said, and nothing else.
func TestNotesOnThisKernel(t *testing.T) {
	f := newFeatures(t)
	lacking := 0
	for _, has := range []bool{f.dropReason, !f.dropReason || f.dropSock, f.resetReason, f.cookieHelper, f.arguments("inet_sk_error_report") >= 0} {
		if !has {
			lacking++
		}
	}
	if notes := f.notes(&Config{States: true, Packets: true}, &device{}); len(notes) != lacking {
		t.Errorf("%d things are missing, notes %q", lacking, notes)
	}
}
