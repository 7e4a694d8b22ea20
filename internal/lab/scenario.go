package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Scenario is a story that a lab can act out.
type Scenario struct {
	Name     string
	About    string // one line
	Port     uint16 // the server's: what a pcap filter can pick, different in every scenario
	Topology Topology
	Story    Story
	Verdicts Verdicts
	// Proof is what the kernel's counters show when the trouble has really happened.
	Proof []Count

	act func(*run)
}

// Count is a counter of a host's network stack, as nstat names it, and what it
// counts at least, from the beginning of the host to the scenario's end.
type Count struct {
	Host, Group, Name string
	Least             uint64
}

// stories are the scenarios whose every packet is told, in the order of the list;
// cases those that are there for their verdict.
var (
	stories = [...][]Scenario{opening, closing, dying, losing, refusing, translating}
	cases   = [...][]Scenario{unanswered, queueing, lossy, stalling, asking, breaking, lasting, arriving, twofold, healthy}
)

// Scenarios returns those that are told packet by packet, of the tutorial first.
func Scenarios() []Scenario { return slices.Concat(stories[:]...) }

// Cases returns every scenario: each has its verdicts, or rightly none.
func Cases() []Scenario { return append(Scenarios(), slices.Concat(cases[:]...)...) }

// Find returns the scenario of that name.
func Find(name string) (Scenario, error) {
	for _, s := range Cases() {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("there is no scenario %q: tcplab list shows them", name)
}

// Run acts the scenario out in a lab of its topology and returns when both
// sockets have come to their end (TIME_WAIT may stand), so that a tracer that
// is stopped afterwards has seen everything. The time that Options.Hold takes
// counts only against ctx.
func (s Scenario) Run(ctx context.Context, l *Lab, f Family) error {
	if l.opt.Topology != s.Topology {
		return fmt.Errorf("scenario %s: it needs another topology than this lab's", s.Name)
	}
	r := &run{ctx: ctx, lab: l, family: f, scenario: s, client: l.Host(Client), server: l.Host(Server)}
	r.startPeers()
	if r.err == nil {
		s.act(r)
	}
	r.end()
	if err := errors.Join(r.err, r.stopPeers()); err != nil {
		return fmt.Errorf("scenario %s over %s: %w", s.Name, f, err)
	}
	return nil
}
