package main

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"tcpstory/internal/kernel/blindspot"
	"tcpstory/internal/lab"
	"tcpstory/internal/lab/crew"
	"tcpstory/internal/lab/crew/jury"
)

// Ports of crews, and the pace of the noise beside them in connections a second.
const (
	crewPort  = 7500
	crewPorts = 200
	noisePace = 8000
)

// crewPatience bounds a case.
const crewPatience = 5 * time.Minute

// stage is hosts with a crew, and a tracer that watches them.
type stage struct {
	t              *testing.T
	within         context.Context // ends the crew should it hang
	client, server *lab.Host       // one host: on lo
	crew           *crew.Crew
	netns          string // of the hosts, for --netns
	tracer         *proc
	lives          *proc     // nil: none beside
	waits          *withheld // the tracer's, and those of who reads it
	blind          *blindspot.Spot
}

// crewProgram builds the crew's program for a test.
func crewProgram(t *testing.T) crew.Program {
	t.Helper()
	program, err := crew.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func newStage(t *testing.T, program crew.Program, wire bool, flags ...string) *stage {
	t.Helper()
	l := newLab(t, lab.Options{})
	s := &stage{t: t, client: l.Host(lab.Client), server: l.Host(lab.Client)}
	s.netns = s.client.NetnsName()
	if wire {
		s.server = l.Host(lab.Server)
		s.netns += "," + s.server.NetnsName()
	}
	within, cancel := context.WithTimeout(t.Context(), crewPatience)
	t.Cleanup(cancel)
	s.within = within
	s.try(lab.Steer(t.Context(), l.Hosts()...))
	var err error
	s.crew, err = crew.New(program, t.TempDir())
	s.try(err)
	t.Cleanup(func() { s.try(s.crew.Close()) })
	s.tracer = watch(t, here{}, append([]string{"--json", "--netns", s.netns}, flags...)...)
	s.waits = followWaits(t, s.tracer.cmd.Process.Pid, os.Getpid())
	s.blind = blindspot.WatchPorts(t, crewPort, crewPort+crewPorts)
	s.blind.Begin()
	return s
}

func (s *stage) try(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// addr is where the first play's server listens.
func (s *stage) addr(f lab.Family) netip.AddrPort {
	a := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	switch {
	case s.client != s.server:
		a = s.server.Addr(f)
	case f == lab.IPv6:
		a = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(a, crewPort)
}

func (s *stage) serve(o crew.Options) *crew.Gang {
	s.t.Helper()
	g, err := s.crew.Serve(s.within, s.server, o)
	s.try(err)
	return g
}

// dial starts clients.
func (s *stage) dial(o crew.Options) *crew.Gang {
	s.t.Helper()
	g, err := s.crew.Start(s.within, s.client, o)
	s.try(err)
	return g
}

// finish waits for clients and then ends servers, all of whose connections have
// ended.
func (s *stage) finish(clients, servers []*crew.Gang) {
	s.t.Helper()
	for _, g := range clients {
		s.try(g.Wait())
	}
	eventually(s.t, "every socket to be closed", func() bool { return s.truth().Open() == 0 })
	for _, g := range servers {
		s.try(g.Stop())
	}
}

// promised is what tcpstory promises, on a machine that has CPUs for it.
func (s *stage) promised() jury.Bounds {
	b := jury.Promised
	b.Withheld = s.waits.between
	return b
}

// truth is what the crew has written down so far.
func (s *stage) truth() *jury.Truth {
	s.t.Helper()
	records, err := s.crew.Log()
	s.try(err)
	return jury.NewTruth(records)
}

// done counts an act of the crew so far, where it succeeded.
func (s *stage) done(act jury.Act) (n int) {
	s.t.Helper()
	records, err := s.crew.Log()
	s.try(err)
	for _, r := range records {
		if r.Act == act && r.To != 0 && r.Result >= 0 {
			n++
		}
	}
	return n
}

// claimsOf are everything that a tracer has told.
func claimsOf(t *testing.T, tracer *proc) (list []jury.Claim) {
	t.Helper()
	lines, _, _ := tracer.out.snapshot()
	for _, l := range lines {
		c, err := jury.ReadClaim(l.text, l.at.UnixNano())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// hidden are the connections of which the machine hid an event.
func (s *stage) hidden() (list []jury.Ports) {
	s.t.Helper()
	for _, p := range s.blind.Hidden() {
		list = append(list, jury.Ports(p))
	}
	return list
}
