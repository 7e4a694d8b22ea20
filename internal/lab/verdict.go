package lab

import "cmp"

// Place is where a connection came to grief.
type Place string

// The places.
const (
	BeforeTheWire Place = "before-wire" // the kernel sent it, the device never saw it
	OnTheWay      Place = "on-the-way"  // it left, and was not answered
	AfterTheWire  Place = "after-wire"  // it arrived at the device, the socket never moved
	InApplication Place = "application" // acknowledged, and never read or answered
)

// Places are the four.
var Places = [...]Place{BeforeTheWire, OnTheWay, AfterTheWire, InApplication}

// Certainty is how much may be claimed. The zero value is Surely.
type Certainty string

// The certainties, as tcpstory names them.
const (
	Surely   Certainty = "sure"
	Probably Certainty = "probably"
	// Either is for what rests on a counter of the namespace, read about once a second:
	// only if it is read between any two of the segments that moved it, it is sure.
	Either Certainty = "probably or sure"
)

// Allows reports that have, as tcpstory names it, is what was to be claimed.
func (c Certainty) Allows(have string) bool {
	return have == string(c) || c == Either && (have == string(Surely) || have == string(Probably))
}

// Verdict is what is to be said of a connection in trouble.
type Verdict struct {
	Rule  string // the stable name
	Place Place
	// Certainty that must be claimed: no more, and no less. Certainty6, if set,
	// replaces it over IPv6; a kernel that tells SureBy, a kind of event, makes it Surely.
	Certainty, Certainty6 Certainty
	SureBy                string
	// Reason is the kernel's word (6.18's name) that must be among the evidence; Reason6,
	// if set, replaces it over IPv6.
	Reason, Reason6 string
	// Numbers are those that are certain: what is counted, and how many.
	Numbers map[string]int
	// May: it is true and may be said, and need not.
	May bool
	// Needs is the kind of event without which nobody can know: where the
	// kernel does not give it (kernel.Source says so), the verdict is silence.
	Needs string
}

// Claims is how certain it must be over a family, where SureBy was not told.
func (v Verdict) Claims(f Family) Certainty {
	if f == IPv6 {
		return cmp.Or(v.Certainty6, v.Certainty, Surely)
	}
	return cmp.Or(v.Certainty, Surely)
}

// Why is the kernel's reason over a family; none need be known if it is empty.
func (v Verdict) Why(f Family) string {
	if f == IPv6 {
		return cmp.Or(v.Reason6, v.Reason)
	}
	return v.Reason
}

// said is a verdict without ado.
func said(rule string, at Place) []Verdict { return []Verdict{{Rule: rule, Place: at}} }

// counted is one with a number that is certain.
func counted(rule string, at Place, what string, n int) []Verdict {
	return []Verdict{{Rule: rule, Place: at, Numbers: map[string]int{what: n}}}
}

// probably is a verdict said as probable: what would prove it is out of sight.
func probably(rule string, at Place) []Verdict {
	return []Verdict{{Rule: rule, Place: at, Certainty: Probably}}
}

// byCounter is one that rests on a counter.
func byCounter(rule string, at Place) []Verdict {
	return []Verdict{{Rule: rule, Place: at, Certainty: Either}}
}

// because is one with the kernel's reason for it.
func because(rule string, at Place, reason string) []Verdict {
	return []Verdict{{Rule: rule, Place: at, Reason: reason}}
}

// perhaps are verdicts that may be said.
func perhaps(rule string, at Place) []Verdict { return []Verdict{{Rule: rule, Place: at, May: true}} }

// then are verdicts with more behind them.
func then(first []Verdict, more ...[]Verdict) []Verdict {
	all := append([]Verdict(nil), first...)
	for _, m := range more {
		all = append(all, m...)
	}
	return all
}

// Verdicts are what is to be said of a scenario's connection, by who looks: the
// root cause first, none where all is well or cannot be known. Only the named
// host's namespace is observed, or the client's and the server's both (the
// router's never).
type Verdicts struct {
	Client, Server, Both []Verdict
	// Held: the verdicts come while the scenario stands (Options.Hold), as long
	// as that takes; were it not held, it would be over too soon to be trouble.
	Held bool
	// Silent: nothing is to be said even though it stands so long.
	Silent bool
	// Others are rules that may be told of other connections of the scenario:
	// those that fill a queue.
	Others []string
}

// Vantages are those who look.
var Vantages = [...]string{Client, Server, Both}

// Both is the vantage of who sees the client's and the server's namespaces.
const Both = "both"

// At are the verdicts for who looks from a vantage.
func (v Verdicts) At(vantage string) []Verdict {
	switch vantage {
	case Client:
		return v.Client
	case Server:
		return v.Server
	default:
		return v.Both
	}
}

// everywhere is the same verdict for all who look.
func everywhere(v []Verdict) Verdicts { return Verdicts{Client: v, Server: v, Both: v} }

// atClient is what only who sees the client's host can say.
func atClient(v []Verdict) Verdicts { return Verdicts{Client: v, Both: v} }

// held has the verdicts come while the scenario stands.
func (v Verdicts) held() Verdicts {
	v.Held = true
	return v
}
