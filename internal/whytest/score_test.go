package whytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tcpstory/internal/diagnose"
	"tcpstory/internal/lab"
)

// score counts what was expected and what was said.
type score struct{ expected, hit, given, right int }

func (s *score) String() string {
	return fmt.Sprintf("%d verdicts expected, %d given: precision %s, recall %s", s.expected, s.given, percent(s.right, s.given), percent(s.hit, s.expected))
}

// compare holds what was said from a vantage against what is to be said.
func (s *score) compare(t *testing.T, p *performance, v *vantage, who string) {
	want := p.Verdicts.At(who)
	musts := slices.DeleteFunc(slices.Clone(want), func(w lab.Verdict) bool { return w.May || w.Needs != "" })
	main := v.bestOf(musts, p.family)
	for _, number := range slices.Sorted(maps.Keys(v.opinions)) {
		o := v.opinions[number]
		for rule, f := range o.rules() {
			s.given++
			allowed := slices.ContainsFunc(want, func(w lab.Verdict) bool { return v.agrees(&f, w, p.family) })
			if allowed && (o == main || len(musts) == 0) || o != main && slices.Contains(p.Verdicts.Others, rule) {
				s.right++
				continue
			}
			t.Errorf("conversation %d: %s (%s, %s) was said, and is not so", number, rule, f.place, f.certainty)
		}
	}
	s.expected += len(musts)
	var last []found
	if main != nil {
		last = main.updates[len(main.updates)-1]
	}
	for i, w := range musts {
		if i >= len(last) || !v.matches(&last[i], w, p.family) {
			t.Errorf("%s (%s, %s) %v %s was to be said in place %d", w.Rule, w.Place, w.Claims(p.family), w.Numbers, w.Why(p.family), i)
			continue
		}
		s.hit++
	}
	if t.Failed() {
		t.Logf("something was lost %d times meanwhile%s", v.gaps, v.all())
	}
}

// rules are those that were ever said, as they were said last.
func (o *opinion) rules() map[string]found {
	all := map[string]found{}
	for _, u := range o.updates {
		for _, f := range u {
			all[f.rule] = f
		}
	}
	return all
}

// bestOf is the conversation of which the first expected thing was said, the last of
// them: others, who fill a queue, come before it.
func (v *vantage) bestOf(musts []lab.Verdict, f lab.Family) (best *opinion) {
	if len(musts) == 0 {
		return nil
	}
	for _, number := range slices.Sorted(maps.Keys(v.opinions)) {
		o := v.opinions[number]
		if last := o.updates[len(o.updates)-1]; v.matches(&last[0], musts[0], f) {
			best = o
		}
	}
	return best
}

// agrees compares rule, place and certainty. What was lost is a reason to claim less.
func (v *vantage) agrees(f *found, w lab.Verdict, over lab.Family) bool {
	want := w.Claims(over)
	if w.SureBy != "" && f.cites(func(c *diagnose.Clue) bool { return c.Sight.String() == w.SureBy }) {
		want = lab.Surely
	}
	return f.rule == w.Rule && f.place == string(w.Place) && (want.Allows(f.certainty.String()) || v.gaps > 0 && f.certainty != diagnose.Sure)
}

// matches compares these, the numbers that are certain, and the evidence.
func (v *vantage) matches(f *found, w lab.Verdict, over lab.Family) bool {
	for what, n := range w.Numbers {
		if f.numbers[what] != n {
			return false
		}
	}
	because := w.Why(over) == "" || f.cites(func(c *diagnose.Clue) bool { return c.Reason == w.Why(over) })
	return v.agrees(f, w, over) && because && len(f.evidence) > 0
}

// cites reports that there is such a thing among the evidence.
func (f *found) cites(is func(*diagnose.Clue) bool) bool {
	return slices.ContainsFunc(f.evidence, func(c diagnose.Clue) bool { return is(&c) })
}

// all is what was said, for people.
func (v *vantage) all() string {
	var b strings.Builder
	for number, o := range v.opinions {
		for i, u := range o.updates {
			for _, f := range u {
				fmt.Fprintf(&b, "\n#%d update %d: %s, %s, %s, goes on %v: %s %v", number, i, f.rule, f.place, f.certainty, f.standing, f.text, f.numbers)
			}
		}
	}
	return b.String()
}
