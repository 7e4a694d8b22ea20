package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFailedConnects: how attempts that fail before a SYN read in every view.
func TestFailedConnects(t *testing.T) {
	lines := tell(t, func(w *Writer) Sink { return NewLines(w, LineOptions{Time: TimeNone}) }, unsent())
	want := `TCP 10.77.0.1.? > 10.77.0.2.80: State CLOSE -> SYN_SENT, pid 1234 (nc)
TCP 10.77.0.1.? > 10.77.0.2.80: State SYN_SENT -> CLOSE after 0.020 ms, no SYN sent (inferred), pid 1234 (nc)
TCP 10.77.0.1.? > 10.77.0.2.80: Connect failed EADDRNOTAVAIL before a SYN, pid 1234 (nc)
TCP ?.? > 10.77.0.2.80: Connect failed ENETUNREACH before a SYN, pid 1234 (nc)
TCP ?.? > 10.77.0.2.80: Connect failed ENETUNREACH before a SYN, pid 1234 (nc)
`
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	columns := tell(t, func(w *Writer) Sink {
		return NewColumns(w, ColumnsOptions{Width: 80, Time: TimeNone, Unicode: true})
	}, unsent())
	want = `
#1  c 10.77.0.1.? (nc/1234) → s 10.77.0.2.80
#1c nc/1234   CLOSE→SYN_SENT
#1c nc/1234   SYN_SENT→CLOSE       20µs no SYN sent
#1c nc/1234   connect failed EADDRNOTAVAIL before a SYN
#2  c ?.? (nc/1234) → s 10.77.0.2.80
#2c nc/1234   connect failed ENETUNREACH before a SYN
#3  c ?.? (nc/1234) → s 10.77.0.2.80
#3c nc/1234   connect failed ENETUNREACH before a SYN
`
	if _, rest, _ := strings.Cut(columns, "\n"); cmp.Diff(want, "\n"+rest) != "" {
		t.Errorf("columns (-want +got):\n%s", cmp.Diff(want, "\n"+rest))
	}
	last := parseLines(t, tell(t, newJSON, unsent()))[3]
	for name, want := range map[string]any{"kind": "connect-failed", "error": "ENETUNREACH", "role": "client", "state": "CLOSE",
		"comm": "nc", "owner_via": "connect", "remote_addr": "10.77.0.2", "local_port": nil, "no_syn": nil} {
		if d := cmp.Diff(want, last[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
