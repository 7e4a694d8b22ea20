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
	last, past map[uint64]counting            // by conversation: where it is counted; those of late, and before
}

// verdictGroup is what verdicts have in common: the rule, and between whom.
type verdictGroup struct {
	rule   *diagnose.Rule
	role   conn.Role
	server netip.AddrPort
	comm   string // the process
}

// verdictRow counts a group's conversations, and how many times these were in trouble.
type verdictRow struct {
	verdictGroup
	count, times int
	into         *verdictRow // where it is counted now; nil: here
}

// counting is where a conversation is counted.
type counting struct {
	row     *verdictRow // for its present episode
	episode int
	before  []*verdictRow // for those before, each row once
}

// NewVerdictSummary returns such a sink.
func NewVerdictSummary(w *Writer) *VerdictSummary {
	return &VerdictSummary{w, map[verdictGroup]*verdictRow{}, map[*diagnose.Rule]*verdictRow{}, map[uint64]counting{}, nil}
}

// Verdict implements VerdictSink. A conversation counts once in a row, by whichever
// number: for each episode in one, as what was said of that last.
func (s *VerdictSummary) Verdict(v *diagnose.Verdict) error {
	n, now, known := v.End, counting{episode: v.Episode}, false
	for _, number := range append(v.Formerly, n.Number) {
		known = s.uncount(number, &now, presently(v, number)) || known
	}
	if !known && v.Update > 0 && n.Number != 0 {
		return nil // it is counted, and forgotten where
	}
	now.row = s.row(groupOf(v))
	now.row.times++
	if !now.was(now.row) {
		now.row.count++
	}
	if n.Number != 0 {
		s.remember(n.Number, now)
	}
	return nil
}

// presently is what the present episode was by a number: that of an end whose other end was
// not known has its own count.
func presently(v *diagnose.Verdict, number uint64) int {
	for _, was := range v.Was {
		if was.Number == number {
			return was.Episode
		}
	}
	return v.Episode
}

// uncount takes a conversation's present episode out of where it is counted; what is
// counted for those before is now's, too.
func (s *VerdictSummary) uncount(number uint64, now *counting, episode int) bool {
	c, known := s.last[number]
	if !known {
		c, known = s.past[number]
	}
	if !known {
		return false
	}
	delete(s.last, number)
	delete(s.past, number)
	now.before = append(now.before, c.before...)
	switch {
	case c.episode == episode:
		s.lessen(&c)
	case !c.was(c.row):
		now.before = append(now.before, c.row)
	}
	return true
}

// was reports that the conversation was counted in a row before.
func (c *counting) was(row *verdictRow) bool {
	return slices.ContainsFunc(c.before, func(r *verdictRow) bool { return r.now() == row.now() })
}

// now is where a row is counted now.
func (r *verdictRow) now() *verdictRow {
	if r.into != nil {
		return r.into
	}
	return r
}

func groupOf(v *diagnose.Verdict) verdictGroup {
	n := v.End
	g := verdictGroup{rule: v.Findings[0].Rule, role: n.Role, server: n.Flow.Remote, comm: string(n.Task.Name())}
	if n.Role == conn.RoleServer {
		g.server = n.Flow.Local
	}
	return g
}

func (s *VerdictSummary) remember(number uint64, c counting) {
	if len(s.last) >= mostConversations {
		s.last, s.past = map[uint64]counting{}, s.last
	}
	s.last[number] = c
}

// lessen takes a conversation's episode out of its row.
func (s *VerdictSummary) lessen(c *counting) {
	r := c.row.now()
	r.times--
	if c.was(r) {
		return
	}
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
		o.times += r.times
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
			b = append(append(b, o.rule.Name...), ", others: in groups too small to be kept apart"...)
			b = append(o.appendTimes(b), '\n')
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
	return append(r.appendTimes(b), '\n')
}

// appendTimes says of connections that were in trouble several times how often.
func (r *verdictRow) appendTimes(b []byte) []byte {
	if r.times == r.count {
		return b
	}
	return append(strconv.AppendInt(append(b, " ("...), int64(r.times), 10), " times)"...)
}

// appendColon appends an address and port as people write them into a browser.
func appendColon(b []byte, a netip.AddrPort) []byte {
	if !a.IsValid() {
		return append(b, '?')
	}
	return a.AppendTo(b)
}
