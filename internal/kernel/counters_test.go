package kernel_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// segments are the TCP segments that hosts have sent and received, by their own
// count (RFC 4022, as /proc/net/snmp shows it).
type segments struct{ out, in uint64 }

func segmentsOf(t *testing.T, hosts []*lab.Host) (s segments) {
	t.Helper()
	for _, h := range hosts {
		c := tcpCounters(t, h)
		s.out += c["OutSegs"] + c["RetransSegs"]
		s.in += c["InSegs"]
	}
	return s
}

// tcpCounters reads the TCP counters of a host.
func tcpCounters(t *testing.T, h *lab.Host) map[string]uint64 {
	t.Helper()
	counters := map[string]uint64{}
	err := h.Within(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/snmp")
		var names []string
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if f[0] != "Tcp:" {
				continue
			}
			if names == nil {
				names = f
				continue
			}
			for i, name := range names[1:] {
				counters[name], _ = strconv.ParseUint(f[i+1], 10, 64) // MaxConn is -1
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counters
}
