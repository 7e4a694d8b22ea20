package render

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
)

// VerdictSummary counts verdicts by what they have in common, and writes them at
// the end, the most frequent first.
type VerdictSummary struct {
	*Writer
	groups map[verdictGroup]int
	last   map[uint64]verdictGroup // by conversation: what was said of it last
}

// verdictGroup is what verdicts have in common: the rule, and between whom.
type verdictGroup struct {
	rule       *diagnose.Rule
	role       conn.Role
	peer, comm string // the server's address; the process
}

// NewVerdictSummary returns such a sink.
func NewVerdictSummary(w *Writer) *VerdictSummary {
	return &VerdictSummary{w, map[verdictGroup]int{}, map[uint64]verdictGroup{}}
}

// Verdict implements VerdictSink. A conversation counts once, as what was said of
// it last.
func (s *VerdictSummary) Verdict(v *diagnose.Verdict) error {
	n := v.End
	g := verdictGroup{rule: v.Findings[0].Rule, role: n.Role, comm: string(n.Task.Name())}
	server := n.Flow.Remote
	if n.Role == conn.RoleServer {
		server = n.Flow.Local
	}
	g.peer = string(appendColon(nil, server))
	if before, said := s.last[n.Number]; said {
		if s.groups[before]--; s.groups[before] == 0 {
			delete(s.groups, before)
		}
	}
	if n.Number != 0 {
		s.last[n.Number] = g
	}
	s.groups[g]++
	return nil
}

// Close implements VerdictSink.
func (s *VerdictSummary) Close() error {
	order := make([]verdictGroup, 0, len(s.groups))
	for g := range s.groups {
		order = append(order, g)
	}
	slices.SortFunc(order, func(a, b verdictGroup) int {
		return cmp.Or(cmp.Compare(s.groups[b], s.groups[a]), cmp.Compare(a.rule.Name, b.rule.Name), cmp.Compare(a.peer, b.peer), cmp.Compare(a.comm, b.comm))
	})
	b := s.buf
	for _, g := range order {
		b = strconv.AppendInt(b, int64(s.groups[g]), 10)
		b = append(append(b, " × "...), g.rule.Name...)
		at := " to "
		if g.role == conn.RoleServer {
			at = " at "
		}
		b = append(append(b, at...), g.peer...)
		if g.comm != "" {
			word := " from "
			if g.role == conn.RoleServer {
				word = " of "
			}
			b = appendASCII(append(b, word...), []byte(g.comm))
		}
		b = append(b, '\n')
	}
	s.buf = b
	return s.Writer.Close()
}

// appendColon appends an address and port as people write them into a browser.
func appendColon(b []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(b, '?')
	}
	return a.AppendTo(b)
}
