package whytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tcpstory/internal/lab"
)

// score counts what was expected and what was said.
type score struct{ expected, hit, given, right int }

// compare holds what was said from a vantage against what is to be said.
func (s *score) compare(t *testing.T, p *performance, v *vantage, who string) {
	want := p.Verdicts.At(who)
	musts := slices.DeleteFunc(slices.Clone(want), func(w lab.Verdict) bool { return w.May || w.Needs != "" })
	main := v.bestOf(musts)
	for _, number := range slices.Sorted(maps.Keys(v.opinions)) {
		o := v.opinions[number]
		for rule, place := range o.rules() {
			s.given++
			allowed := slices.ContainsFunc(want, func(w lab.Verdict) bool { return w.Rule == rule && string(w.Place) == place })
			if allowed && (o == main || len(musts) == 0) || o != main && slices.Contains(p.Verdicts.Others, rule) {
				s.right++
				continue
			}
			t.Errorf("conversation %d: %s (%s) was said, and is not so", number, rule, place)
		}
	}
	s.expected += len(musts)
	var last []found
	if main != nil {
		last = main.updates[len(main.updates)-1]
	}
	for i, w := range musts {
		if i >= len(last) || !matches(&last[i], w) {
			t.Errorf("%s (%s) %v was to be said in place %d", w.Rule, w.Place, w.Numbers, i)
			continue
		}
		s.hit++
	}
	if t.Failed() {
		t.Log(v.all())
	}
}

// rules are those that were ever said, with their places.
func (o *opinion) rules() map[string]string {
	all := map[string]string{}
	for _, u := range o.updates {
		for _, f := range u {
			all[f.rule] = f.place
		}
	}
	return all
}

// bestOf is the conversation of which the first expected thing was said.
func (v *vantage) bestOf(musts []lab.Verdict) (best *opinion) {
	if len(musts) == 0 {
		return nil
	}
	for _, number := range slices.Sorted(maps.Keys(v.opinions)) {
		o := v.opinions[number]
		if last := o.updates[len(o.updates)-1]; matches(&last[0], musts[0]) {
			return o
		}
	}
	return nil
}

// matches compares rule, place and the numbers that are certain.
func matches(f *found, w lab.Verdict) bool {
	for what, n := range w.Numbers {
		if f.numbers[what] != n {
			return false
		}
	}
	return f.rule == w.Rule && f.place == string(w.Place) && f.evidence > 0
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
