package main

import (
	"cmp"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/lab"
	"tcpstory/internal/lab/crew"
	"tcpstory/internal/lab/crew/jury"
)

// Each case makes so many connections; TCPSTORY_LONG makes more.
const (
	crewConns      = 2000
	crewLongFactor = 4
)

// TestOwners: no event ever names a wrong process, and hardly an end is unknown,
// while other processes keep the softirqs busy.
func TestOwners(t *testing.T) {
	program := crewProgram(t)
	noise(t)
	conns := crewConns
	if os.Getenv("TCPSTORY_LONG") != "" {
		conns *= crewLongFactor
	}
	for _, c := range crewCases {
		t.Run(c.name, func(t *testing.T) { c.run(t, program, conns) })
	}
	t.Run("time-out", func(t *testing.T) { timeOut(t, program, conns) })
}

func (c *crewCase) run(t *testing.T, program crew.Program, conns int) {
	var flags []string
	if !c.packets {
		flags = append(flags, "--no-packets")
	}
	s := newStage(t, program, c.wire, flags...)
	s.watchLives()
	addr := s.addr(c.family)
	server := s.serve(crew.Options{Shape: c.server, Addr: addr, Plays: c.plays})
	clients := s.dial(crew.Options{
		Shape: cmp.Or(c.client, crew.Clients), Addr: addr, Plays: c.plays,
		Workers: crewDialers, Count: conns, Flights: cmp.Or(c.flights, 1000) / crewDialers,
	})
	s.finish([]*crew.Gang{clients}, []*crew.Gang{server})
	s.judge(conns, c.untouched)
}

// crewDialers is how many processes make a case's connections.
const crewDialers = 2

// timeOut: connections of every shape stand open, then nothing arrives any more
// and what both sides write is answered by nobody.
func timeOut(t *testing.T, program crew.Program, conns int) {
	s := newStage(t, program, false, "--no-packets")
	s.watchLives()
	each := conns / len(crewShapes) / len(timedOut) * len(timedOut)
	servers, clients := s.everyShape(timedOut, each, crew.Options{Patience: time.Second})
	fault, err := s.server.Break(lab.Rule{Hook: lab.Input})
	s.try(err)
	s.try(s.crew.OpenGate())
	s.finish(clients, servers)
	s.try(fault.Lift())
	s.judge(each*len(crewShapes), false)
}

// everyShape starts a server of every shape, with clients that make each so many
// connections, and waits until all stand at the gate.
func (s *stage) everyShape(plays []crew.Play, each int, o crew.Options) (servers, clients []*crew.Gang) {
	s.t.Helper()
	reads := 0
	for i, shape := range crewShapes {
		o.Plays = plays
		if shape.hands {
			o.Plays = handed(plays)
		}
		at := s.addr(lab.IPv4)
		o.Addr = netip.AddrPortFrom(at.Addr(), at.Port()+uint16(i*len(plays)))
		o.Shape, o.Count, o.Flights = shape.shape, 0, 0
		servers = append(servers, s.serve(o))
		o.Shape, o.Count, o.Flights = crew.Clients, each, each
		clients = append(clients, s.dial(o))
		for _, p := range plays {
			reads += each / len(plays) * (readsAtGate(p.Server) + readsAtGate(p.Client))
		}
	}
	eventually(s.t, "all connections to stand at the gate", func() bool {
		return s.done(jury.Accept) == each*len(crewShapes) && s.done(jury.Read) == reads
	})
	return servers, clients
}

// readsAtGate is how many messages one side reads before the gate.
func readsAtGate(steps string) int {
	before, _, _ := strings.Cut(steps, "g")
	return strings.Count(before, "r")
}

// judge ends the tracer and judges what it has told of so many connections.
func (s *stage) judge(conns int, untouched bool) {
	s.t.Helper()
	time.Sleep(time.Duration(jury.Promised.End)) // so long may an owner still become known
	s.tracer.interrupt()
	truth, claims, hidden := s.truth(), claimsOf(s.t, s.tracer), s.hidden()
	rep := jury.Judge(truth, claims, s.promised(), hidden)
	s.t.Logf("%d connections: %v", conns, rep)
	for _, f := range rep.Faults {
		if !untouched || f.Wrong {
			s.t.Errorf("%s\n%s", f.Text, f.Story)
		}
	}
	if rep.Ends != 2*conns || rep.Strangers > 0 {
		s.t.Errorf("the crew has written down %d ends, not %d, and there were %d events of others", rep.Ends, 2*conns, rep.Strangers)
	}
	if rep.Wrong > 0 {
		s.t.Errorf("%d events were wrong", rep.Wrong)
	}
	if !untouched {
		s.wantKnown(rep)
	}
	if s.lives != nil {
		s.judgeLives(truth, hidden, conns, untouched)
	}
	s.falsify(truth, claims, hidden, rep)
}

// wantKnown wants owners known in time, and hardly an end unknown.
func (s *stage) wantKnown(rep *jury.Report) {
	s.t.Helper()
	if rep.Late > 0 {
		s.t.Errorf("%d owners were late", rep.Late)
	}
	if most := rep.Ends / 1000; rep.Unknown+rep.Unseen > most {
		s.t.Errorf("%d ends were unknown and %d unseen, at most %d may be", rep.Unknown, rep.Unseen, most)
	}
}

// falsify wants the jury to find each of some falsehoods put into what was told:
// an innocent process's name, and silence.
func (s *stage) falsify(truth *jury.Truth, claims []jury.Claim, hidden []jury.Ports, honest *jury.Report) {
	s.t.Helper()
	const every = 50
	named, lies := 0, 0
	for i := range claims {
		if claims[i].OwnerPID == 0 {
			continue
		}
		if named++; named%every == 0 {
			claims[i].OwnerPID = uint32(s.tracer.cmd.Process.Pid)
			lies++
		}
	}
	rep := jury.Judge(truth, claims, s.promised(), hidden)
	if lies == 0 || rep.Wrong < lies || honest.Wrong == 0 && rep.Wrong != lies {
		s.t.Errorf("of %d lies beside %d errors the jury found %d", lies, honest.Wrong, rep.Wrong)
	}
}
