package diagnose

import "slices"

// Rule is one kind of trouble.
type Rule struct {
	Name   string // stable
	Family Family
	Place  Place  // where it lies as a rule; a verdict may know better
	Says   string // what it means
	Next   string // what to look at next
	Limits func(*Limits) []Limit

	find   func(*exam) (Finding, bool)
	course *course // of what comes and goes
	covers uint64  // rules that it explains
	order  int
}

// Rules are all kinds of trouble: of two that a connection has, the one that
// stands first here is the cause, or comes first in time. tcpstory why --rules, the
// docs and the tests read this table.
var Rules []Rule

// covering says which rules another one explains: where it is found, they are its
// consequences, and not said.
var covering = map[string][]string{
	"syn-dropped-locally":    {"syn-unanswered", "prohibited", "unreachable"},
	"synack-dropped-locally": {"synack-unanswered", "syn-unanswered"},
	"prohibited":             {"syn-unanswered", "refused"},
	"unreachable":            {"syn-unanswered", "refused"},
	"refused":                {"syn-unanswered", "syn-dropped-locally"},
	"synack-unanswered":      {"syn-unanswered"},
	"accept-queue-full":      {"syn-unanswered", "synack-unanswered", "loss-timeouts", "retransmit-timeout", "tail-loss", "syn-queue-full"},
	"syn-queue-full":         {"syn-unanswered"},

	"own-zero-window": {"peer-zero-window"},
	"mtu-black-hole":  {"loss", "loss-timeouts", "tail-loss", "retransmit-timeout", "user-timeout"},
	"loss-timeouts":   {"tail-loss"},

	"middlebox-forgot":   {"retransmit-timeout", "user-timeout", "keepalive-death", "loss-timeouts", "tail-loss", "rst-by-peer", "rst-no-socket"},
	"user-timeout":       {"retransmit-timeout", "loss-timeouts", "tail-loss"},
	"keepalive-death":    {"rst-by-peer", "rst-no-socket", "dropped-locally"},
	"retransmit-timeout": {"loss-timeouts", "tail-loss", "dropped-locally"},
	"rst-unread-data":    {"rst-by-peer", "rst-no-socket"},
	"rst-linger":         {"rst-by-peer", "rst-no-socket"},
	"rst-no-socket":      {"rst-by-peer"},

	"close-wait-leak":      {"fin-wait2-stuck"},
	"fin-wait1-unanswered": {"retransmit-timeout", "user-timeout", "loss-timeouts", "tail-loss", "dropped-locally"},
	"last-ack-unanswered":  {"retransmit-timeout", "user-timeout", "loss-timeouts", "tail-loss", "dropped-locally", "fin-wait2-stuck"},
}

func init() {
	for _, group := range [...][]Rule{connecting, stuck, dying, lingering} {
		Rules = append(Rules, group...)
	}
	for i := range Rules {
		Rules[i].order = i
		if i < len(connecting) {
			opening |= 1 << i
		}
		Rules[i].comesAndGoes()
	}
	for name, covered := range covering {
		r := RuleOf(name)
		for _, c := range covered {
			r.covers |= 1 << RuleOf(c).order
		}
	}
}

// comesAndGoes publishes when a rule speaks anew.
func (r *Rule) comesAndGoes() {
	if r.course == nil {
		return
	}
	comeAndGo |= 1 << r.order
	r.course.rules |= 1 << r.order
	own := r.Limits
	r.Limits = func(l *Limits) []Limit { return append(own(l), lasting("told anew when it was gone for", l.Calm)) }
}

// RuleOf returns the rule of that name; nil: there is none.
func RuleOf(name string) *Rule {
	i := slices.IndexFunc(Rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &Rules[i]
}

func afterLimit(what string) func(*Limits) []Limit {
	return func(l *Limits) []Limit { return []Limit{lasting(what, l.After)} }
}
