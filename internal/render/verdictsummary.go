package render

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
)

// What a summary keeps is bounded, however long it is made. Beyond so many groups the
// smaller half of them are counted together, a row for each rule; beyond twice so many
// conversations what was said of the oldest is remembered no more, and stays as it was.
const (
	mostGroups        = 1 << 12
	mostConversations = 1 << 16
)

// VerdictSummary counts verdicts by what they have in common, and writes them at
// the end, the most frequent first.
type VerdictSummary struct {
	*Writer
	groups     map[verdictGroup]*verdictRow
	others     map[*diagnose.Rule]*verdictRow // those of the groups that are not kept apart
	last, past map[uint64]*verdictRow         // by conversation: where it is counted; those of late, and before
}

// verdictGroup is what verdicts have in common: the rule, and between whom.
type verdictGroup struct {
	rule   *diagnose.Rule
	role   conn.Role
	server netip.AddrPort
	comm   string // the process
}

// verdictRow counts a group's conversations.
type verdictRow struct {
	verdictGroup
	count int
	into  *verdictRow // where it is counted now; nil: here
}

// NewVerdictSummary returns such a sink.
func NewVerdictSummary(w *Writer) *VerdictSummary {
	return &VerdictSummary{w, map[verdictGroup]*verdictRow{}, map[*diagnose.Rule]*verdictRow{}, map[uint64]*verdictRow{}, nil}
}

// Verdict implements VerdictSink. A conversation counts once, as what was said of
// it last, by whichever number.
func (s *VerdictSummary) Verdict(v *diagnose.Verdict) error {
	n := v.End
	known := false
	for _, number := range append(v.Formerly, n.Number) {
		known = s.uncount(number) || known
	}
	if !known && v.Update > 0 && n.Number != 0 {
		return nil // it is counted, and forgotten where
	}
	row := s.row(groupOf(v))
	row.count++
	if n.Number != 0 {
		s.remember(n.Number, row)
	}
	return nil
}

func groupOf(v *diagnose.Verdict) verdictGroup {
	n := v.End
	g := verdictGroup{rule: v.Findings[0].Rule, role: n.Role, server: n.Flow.Remote, comm: string(n.Task.Name())}
	if n.Role == conn.RoleServer {
		g.server = n.Flow.Local
	}
	return g
}

// uncount takes a conversation out of where it is counted.
func (s *VerdictSummary) uncount(number uint64) bool {
	row, known := s.recall(number)
	if known {
		row.lessen(s)
		delete(s.last, number)
		delete(s.past, number)
	}
	return known
}

// recall finds where a conversation is counted.
func (s *VerdictSummary) recall(number uint64) (row *verdictRow, known bool) {
	if row, known = s.last[number]; !known {
		row, known = s.past[number]
	}
	if known && row.into != nil {
		row = row.into
	}
	return row, known
}

func (s *VerdictSummary) remember(number uint64, row *verdictRow) {
	if _, there := s.last[number]; !there && len(s.last) >= mostConversations {
		s.last, s.past = map[uint64]*verdictRow{}, s.last
	}
	s.last[number] = row
}

// lessen takes a conversation out of a row.
func (r *verdictRow) lessen(s *VerdictSummary) {
	if r.count--; r.count == 0 && s.groups[r.verdictGroup] == r {
		delete(s.groups, r.verdictGroup)
	}
}

// row finds or makes a group's row.
func (s *VerdictSummary) row(g verdictGroup) *verdictRow {
	if r := s.groups[g]; r != nil {
		return r
	}
	if len(s.groups) >= mostGroups {
		s.gather()
	}
	r := &verdictRow{verdictGroup: g}
	s.groups[g] = r
	return r
}

// gather counts the smaller half of the groups together with the others of their rule.
func (s *VerdictSummary) gather() {
	for _, r := range s.ordered()[len(s.groups)/2:] {
		o := s.others[r.rule]
		if o == nil {
			o = &verdictRow{verdictGroup: verdictGroup{rule: r.rule}}
			s.others[r.rule] = o
		}
		o.count += r.count
		r.into = o
		delete(s.groups, r.verdictGroup)
	}
}

// ordered are the rows, the most frequent first.
func (s *VerdictSummary) ordered() []*verdictRow {
	order := make([]*verdictRow, 0, len(s.groups))
	for _, r := range s.groups {
		order = append(order, r)
	}
	slices.SortFunc(order, func(a, b *verdictRow) int {
		return cmp.Or(b.count-a.count, cmp.Compare(a.rule.Name, b.rule.Name), a.server.Compare(b.server), cmp.Compare(a.comm, b.comm), int(a.role)-int(b.role))
	})
	return order
}

// Close implements VerdictSink.
func (s *VerdictSummary) Close() error {
	b := s.buf
	for _, r := range s.ordered() {
		b = r.append(b)
	}
	for i := range diagnose.Rules {
		if o := s.others[&diagnose.Rules[i]]; o != nil && o.count > 0 {
			b = append(strconv.AppendInt(b, int64(o.count), 10), " × "...)
			b = append(append(b, o.rule.Name...), ", others: in groups too small to be kept apart\n"...)
		}
	}
	s.buf = b
	return s.Writer.Close()
}

func (r *verdictRow) append(b []byte) []byte {
	b = append(strconv.AppendInt(b, int64(r.count), 10), " × "...)
	b = append(b, r.rule.Name...)
	at, whose := " to ", " from "
	if r.role == conn.RoleServer {
		at, whose = " at ", " of "
	}
	b = appendColon(append(b, at...), r.server)
	if r.comm != "" {
		b = appendASCII(append(b, whose...), []byte(r.comm))
	}
	return append(b, '\n')
}

// appendColon appends an address and port as people write them into a browser.
func appendColon(b []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(b, '?')
	}
	return a.AppendTo(b)
}
