package lab

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kernelTracer records every transition while the tests run.
var kernelTracer *tracer

func TestMain(m *testing.M) {
	if how := os.Getenv(victimVar); how != "" {
		victim(how)
	}
	flag.Parse()
	// Scenarios wait for the kernel's timers most of the time.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(traced(m))
}

func traced(m *testing.M) int {
	var err error
	if kernelTracer, err = startTracer(); err != nil {
		fmt.Fprintln(os.Stderr, "tests of the lab need root and tracefs:", err)
		return 1
	}
	code := m.Run()
	if err := kernelTracer.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "remove the trace instance:", err)
		return 1
	}
	return code
}

// newLab makes a lab that goes with the test.
func newLab(t *testing.T, opt Options) *Lab {
	t.Helper()
	l, err := New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestScenarios acts every story out over both families and has witnesses
// check states, packets and transitions.
func TestScenarios(t *testing.T) {
	for _, s := range Scenarios() {
		for _, f := range Families {
			t.Run(fmt.Sprintf("%s/%s", s.Name, f), func(t *testing.T) {
				t.Parallel()
				testScenario(t, s, f)
			})
		}
	}
}

func testScenario(t *testing.T, s Scenario, f Family) {
	s.Port = kernelTracer.port()
	var l *Lab
	stood := false
	hold := func(_ context.Context, at Standing) error {
		stood = true
		want := s.Story.Standing
		if have := ssState(t, l.Host(Client), s.Port); have != want.Client {
			t.Errorf("ss shows %v on the client, the story says %v", have, want.Client)
		}
		if have := ssState(t, l.Host(Server), s.Port); have != want.Server {
			t.Errorf("ss shows %v on the server, the story says %v", have, want.Server)
		}
		return nil
	}
	l = newLab(t, Options{Topology: s.Topology, Hold: hold})
	ends := []*sniffer{sniff(t, l.Host(Client), s.Port), sniff(t, l.Host(Server), s.Port)}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Run(ctx, l, f); err != nil {
		t.Fatal(err)
	}
	if !stood {
		t.Error("the story did not stand still at its moment")
	}
	mark(t, l, f)
	client := l.Host(Client).Addr(f).String()
	checkPackets(t, "client", s.Story.Packets, ends[0].sequence(t, client))
	atServer := s.Story.AtServer
	if atServer == "" {
		atServer = s.Story.Packets
	}
	checkPackets(t, "server", atServer, ends[1].sequence(t, client))
	checkPaths(t, s, f)
}

func checkPackets(t *testing.T, at string, want Packets, seen []byte) {
	t.Helper()
	ok, err := want.Match(seen)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Errorf("packets at the %s:\n have %s\n want %s", at, seen, want)
	}
}

func checkPaths(t *testing.T, s Scenario, f Family) {
	t.Helper()
	client, server, listener := kernelTracer.stories(t, f, s.Port)
	for _, c := range []struct {
		end        string
		have, want []Transition
	}{
		{"client", client, s.Story.Client.Transitions()},
		{"server", server, s.Story.Server.Transitions()},
	} {
		if diff := cmp.Diff(c.want, c.have); diff != "" {
			t.Errorf("transitions of the %s (-story +kernel):\n%s", c.end, diff)
		}
	}
	if s.Story.Listener && !slices.Equal(listener, ListenerPath.Transitions()) {
		t.Errorf("the listener went through %v", listener)
	}
}
