package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

func lost(n uint64, cause tcp.GapCause, hook string) *conn.Step {
	return &conn.Step{Event: &tcp.Event{Kind: tcp.KindGap, Gap: tcp.Gap{Cause: cause, Lost: n, Hook: hook}}}
}

func TestSummary(t *testing.T) {
	var s Summary
	check := func(want ...string) {
		t.Helper()
		if d := cmp.Diff(strings.Join(want, "\n")+"\n", string(s.Append(nil))); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
	check("0 packets captured", "0 kernel events captured", "0 connections seen", "0 events dropped by kernel")
	c, v := conntest.Hosts(40000)
	tab := conn.New(conn.Options{})
	for _, ev := range conntest.Refused(c, v).Events {
		s.Count(tab.Apply(ev))
	}
	check("4 packets captured", "5 kernel events captured", "1 connection seen", "0 events dropped by kernel")
	s.Count(lost(1, tcp.GapRecursion, "net_dev_start_xmit"))
	check("4 packets captured", "5 kernel events captured", "1 connection seen",
		"up to 1 event dropped by kernel: program interrupted itself, net_dev_start_xmit")
	s.Count(lost(1000, tcp.GapRingFull, ""))
	s.Count(lost(2, tcp.GapRingFull, ""))
	if s.Lost() != 1003 {
		t.Errorf("%d lost", s.Lost())
	}
	check("4 packets captured", "5 kernel events captured", "1 connection seen", "up to 1003 events dropped by kernel:",
		"    1  program interrupted itself  net_dev_start_xmit", " 1002  ring buffer full")
	s.Inferred, s.Unfollowed, s.losses = 1, 2, nil
	check("4 packets captured", "5 kernel events captured", "1 connection seen", "1 transition inferred",
		"2 connections in TIME_WAIT, SYN_RECV or an orphan's FIN_WAIT2 not followed to the end", "0 events dropped by kernel")
	s.PacketsOnly = true
	check("4 packets captured", "0 packets dropped by kernel")
}
