package main

import (
	"tcpstory/internal/conn"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/flight"
	"tcpstory/internal/tcp"
)

// ruleWatch makes incidents of why's verdicts: once for each rule that --on names and
// each conversation, and each time that it is in trouble anew.
type ruleWatch struct {
	engine  *diagnose.Engine
	chosen  *flight.Chosen
	told    map[ruleTold]bool
	happens func(*flight.Incident)
	now     int64 // the latest time that was told
}

type ruleTold struct {
	conversation, cookie uint64
	rule                 string
	episode              int
}

// mostRuleTold bounds what is remembered: beyond, all of it is forgotten.
const mostRuleTold = 1 << 15

// newRuleWatch returns nil where no rule is asked for: verdicts cost something.
func newRuleWatch(o *options, happens func(*flight.Incident)) *ruleWatch {
	if !o.chosen.Rules() {
		return nil
	}
	w := &ruleWatch{chosen: o.chosen, told: map[ruleTold]bool{}, happens: happens}
	w.engine = diagnose.New(diagnose.Options{NoPackets: o.noPackets}, w.verdict)
	return w
}

// isRule reports whether why has a rule of that name.
func isRule(name string) bool { return diagnose.RuleOf(name) != nil }

// take is given each step, as why's sink is.
func (w *ruleWatch) take(s *conn.Step) error {
	if w == nil || !s.Selected && s.Event.Kind != tcp.KindCounters {
		return nil
	}
	w.now = max(w.now, s.Event.Time)
	return w.engine.Take(s)
}

// pass tells that nothing has come until now.
func (w *ruleWatch) pass(now int64) error {
	if w == nil {
		return nil
	}
	w.now = max(w.now, now)
	return w.engine.Pass(now)
}

// ends has the last words said.
func (w *ruleWatch) ends() error {
	if w == nil {
		return nil
	}
	return w.engine.End()
}

// verdict is an incident by the first of its rules that is chosen.
func (w *ruleWatch) verdict(v *diagnose.Verdict) error {
	w.unites(v)
	for _, f := range v.Findings {
		key := ruleTellingOf(v, f.Rule.Name)
		if !w.chosen.OnRule(f.Rule.Name) || w.told[key] {
			continue
		}
		if len(w.told) >= mostRuleTold {
			clear(w.told)
		}
		w.told[key] = true
		w.happens(&flight.Incident{
			Why: flight.RulePrefix + f.Rule.Name, Time: v.Time, Number: v.End.Number, Cookie: v.End.Cookie, Flow: v.End.Flow,
		})
		return nil
	}
	return nil
}

func ruleTellingOf(v *diagnose.Verdict, rule string) ruleTold {
	key := ruleTold{v.End.Number, 0, rule, v.Episode}
	if key.conversation == 0 {
		key.cookie = v.End.Cookie
	}
	return key
}

// unites takes over what had its incident under another number, or in what was another
// episode before the conversation's two ends were known to be each other's.
func (w *ruleWatch) unites(v *diagnose.Verdict) {
	for _, was := range v.Was {
		for _, f := range v.Findings {
			if w.told[ruleTold{was.Number, 0, f.Rule.Name, was.Episode}] {
				w.told[ruleTellingOf(v, f.Rule.Name)] = true
			}
		}
	}
}
