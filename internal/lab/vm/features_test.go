package vm

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// lacks is what each kernel does without, of what testdata/features tries, with
// the kernel's or the loader's word for it; from the oldest to the newest kernel.
// Everything else must be there.
var lacks = []struct {
	want    Want
	missing map[string]string
}{
	{Oldest, map[string]string{
		"socket_cookie":                   "unknown func bpf_get_socket_cookie#46",
		"sk_storage_get":                  "unknown func bpf_sk_storage_get#107",
		"dynptr_from_skb":                 "not found",
		"enum skb_drop_reason":            "not found",
		"enum sk_rst_reason":              "not found",
		"tracepoint inet_sk_error_report": "not found",
	}},
	{Linux61, map[string]string{
		"dynptr_from_skb":    "not found",
		"enum sk_rst_reason": "not found",
	}},
	{Linux612, nil},
	{Newest, nil},
}

// What the rest of the project says of old kernels is true. All kernels are
// booted by make test-long, else the oldest and the newest.
func TestFeatures(t *testing.T) {
	cases := lacks
	if os.Getenv("TCPSTORY_LONG") == "" {
		cases = slices.Concat(lacks[:1], lacks[len(lacks)-1:])
	}
	for _, c := range cases {
		t.Run(c.want.Name, func(t *testing.T) {
			t.Parallel()
			k, bin := kernel(t, c.want), built(t, "features")
			res, err := Run(t.Context(), k, Job{Binary: bin})
			if err != nil || res.Status != 0 {
				t.Fatalf("status %d, %v\n%s", res.Status, err, res.Stderr)
			}
			t.Logf("%s (%s), process 1 after %v, all in %v:\n%s", k.Release, k.Version, res.Boot, res.Total, res.Stdout)
			for line := range strings.Lines(string(res.Stdout)) {
				name, no, isNo := strings.Cut(strings.TrimSpace(line), " no: ")
				if want, known := c.missing[name]; isNo != known || !strings.Contains(no, want) {
					t.Errorf("%q, expected missing: %v (%s)", line, known, want)
				}
			}
		})
	}
}
