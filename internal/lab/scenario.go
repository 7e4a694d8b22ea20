package lab

import (
	"context"
	"errors"
	"fmt"
)

// Scenario is a story that a lab can act out.
type Scenario struct {
	Name     string
	About    string // one line
	Port     uint16 // the server's: what a pcap filter can pick, different in every scenario
	Topology Topology
	Story    Story

	act func(*run)
}

// groups are the scenarios in the order of the list.
var groups = [...][]Scenario{opening, closing, dying, losing, refusing, translating}

// Scenarios returns every scenario, those of the tutorial first.
func Scenarios() []Scenario {
	var all []Scenario
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// Find returns the scenario of that name.
func Find(name string) (Scenario, error) {
	for _, s := range Scenarios() {
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
