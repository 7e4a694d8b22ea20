package render

import (
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
)

// refusals are verdicts of a scan: each of another address; and one in eight of the same.
func refusals(s *VerdictSummary, from, n int) error {
	v := diagnose.Verdict{End: &diagnose.End{Role: conn.RoleClient}, Findings: []diagnose.Finding{{Rule: diagnose.RuleOf("refused")}}}
	for i := from; i < from+n; i++ {
		v.End.Number = uint64(i + 1)
		v.End.Flow.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
		if i%8 == 0 {
			v.End.Flow.Remote = netip.MustParseAddrPort("192.0.2.1:443")
		}
		if err := s.Verdict(&v); err != nil {
			return err
		}
	}
	return nil
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSummaryBounded: a summary of a million connections takes the memory of one of a
// few, keeps what is frequent, and counts each.
func TestSummaryBounded(t *testing.T) {
	const first, all, slack = 200_000, 1_000_000, 4 << 20
	var out strings.Builder
	s := NewVerdictSummary(NewWriter(&out, "a text", false))
	if err := refusals(s, 0, first); err != nil {
		t.Fatal(err)
	}
	before := inUse()
	if err := refusals(s, first, all-first); err != nil {
		t.Fatal(err)
	}
	if after := inUse(); after > before+slack {
		t.Errorf("%d bytes in use after %d verdicts, %d after %d", after, all, before, first)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	sum := 0
	for _, l := range lines {
		n, _, _ := strings.Cut(l, " ")
		count, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		sum += count
	}
	if want := strconv.Itoa(all/8) + " × refused to 192.0.2.1:443"; lines[0] != want {
		t.Errorf("the first line is %q, want %q", lines[0], want)
	}
	if last := lines[len(lines)-1]; sum != all || len(lines) > mostGroups+1 || !strings.HasSuffix(last, "refused, others: in groups too small to be kept apart") {
		t.Errorf("%d of %d are counted in %d lines, the last is %q", sum, all, len(lines), last)
	}
}

// TestSummaryMoves: a conversation counts once, as what was said of it last.
func TestSummaryMoves(t *testing.T) {
	var out strings.Builder
	s := NewVerdictSummary(NewWriter(&out, "a text", false))
	end := &diagnose.End{Number: 7, Role: conn.RoleServer}
	end.Flow.Local = netip.MustParseAddrPort("[2001:db8::1]:80")
	for i, rule := range []string{"loss", "rst-by-peer"} {
		if err := s.Verdict(&diagnose.Verdict{End: end, Update: i, Findings: []diagnose.Finding{{Rule: diagnose.RuleOf(rule)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "1 × rst-by-peer at [2001:db8::1]:80\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestSummaryUnites: a conversation counts once, though it was told of by the numbers of
// both its ends before they were known to be each other's.
func TestSummaryUnites(t *testing.T) {
	var out strings.Builder
	s := NewVerdictSummary(NewWriter(&out, "a text", false))
	end := &diagnose.End{Role: conn.RoleServer}
	end.Flow.Local = netip.MustParseAddrPort("192.0.2.1:80")
	for _, c := range []struct {
		number   uint64
		formerly []uint64
		update   int
		rule     string
	}{
		{7, nil, 0, "loss"}, {6, nil, 0, "loss"}, {8, nil, 0, "loss"},
		{6, []uint64{7}, 2, "rst-by-peer"}, // both ends were told of
		{5, []uint64{8}, 1, "rst-by-peer"}, // one was
	} {
		end.Number = c.number
		v := diagnose.Verdict{End: end, Formerly: c.formerly, Update: c.update, Findings: []diagnose.Finding{{Rule: diagnose.RuleOf(c.rule)}}}
		if err := s.Verdict(&v); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "2 × rst-by-peer at 192.0.2.1:80\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestSummaryEpisodes: a connection that is in trouble again and again counts once for
// each rule, and how often is said.
func TestSummaryEpisodes(t *testing.T) {
	var out strings.Builder
	s := NewVerdictSummary(NewWriter(&out, "a text", false))
	end := &diagnose.End{Role: conn.RoleServer}
	end.Flow.Local = netip.MustParseAddrPort("192.0.2.1:80")
	for _, c := range []struct {
		number          uint64
		episode, update int
		rule            string
	}{
		{7, 0, 0, "loss"}, {7, 0, 1, "loss"}, {8, 0, 0, "loss"},
		{7, 1, 0, "slow-application"}, {7, 2, 0, "loss"}, {7, 2, 1, "loss"},
		{8, 1, 0, "loss"}, {8, 1, 1, "rst-by-peer"}, // what was said of an episode last
	} {
		end.Number = c.number
		v := diagnose.Verdict{End: end, Episode: c.episode, Update: c.update, Findings: []diagnose.Finding{{Rule: diagnose.RuleOf(c.rule)}}}
		if err := s.Verdict(&v); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "2 × loss at 192.0.2.1:80 (3 times)\n1 × rst-by-peer at 192.0.2.1:80\n1 × slow-application at 192.0.2.1:80\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
