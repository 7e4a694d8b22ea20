package lab

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// timesVar has every case acted out so many times.
const timesVar = "TCPLAB_TIMES"

// crowded are cases with connections besides the one that they are about, whose
// transitions the tracer cannot tell apart by port.
var crowded = map[string]bool{
	"accept-queue-full": true, "accept-queue-late": true, "syn-queue-full": true, "syn-cookies": true, "cookie-queue-full": true,
	"time-wait-pile": true, "request-ignored": true, "no-free-port": true, "no-route": true, "route-prohibited": true,
}

// TestCases acts out every case that is there for its verdict, and holds the
// trouble against the kernel's own counters, ss, tcpdump and the bare tracepoint.
func TestCases(t *testing.T) {
	times, err := strconv.Atoi(os.Getenv(timesVar))
	if err != nil {
		times = 1
	}
	for _, s := range Cases()[len(Scenarios()):] {
		for _, f := range Families {
			for i := range times {
				t.Run(fmt.Sprintf("%s/%s/%d", s.Name, f, i), func(t *testing.T) {
					t.Parallel()
					testCase(t, s, f)
				})
			}
		}
	}
}

func testCase(t *testing.T, s Scenario, f Family) {
	if !crowded[s.Name] { // a pile would push all else out of the tracer's buffer
		s.Port = kernelTracer.port()
	}
	var l *Lab
	hold := func(_ context.Context, at Standing) error {
		if crowded[s.Name] {
			return nil
		}
		if have := ssState(t, l.Host(Client), s.Port); have != at.Client {
			t.Errorf("ss shows %v on the client, the story says %v", have, at.Client)
		}
		if have := ssState(t, l.Host(Server), s.Port); have != at.Server {
			t.Errorf("ss shows %v on the server, the story says %v", have, at.Server)
		}
		return nil
	}
	l = newLab(t, Options{Topology: s.Topology, Hold: hold})
	var ends []*sniffer
	if s.Story.Packets != "" {
		ends = []*sniffer{sniff(t, l.Host(Client), s.Port), sniff(t, l.Host(Server), s.Port)}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	start := time.Now()
	if err := s.Run(ctx, l, f); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", time.Since(start).Round(time.Millisecond))
	for _, c := range s.Proof {
		if have := snmp(t, l.Host(c.Host), c.Group, c.Name); have < c.Least {
			t.Errorf("%s %s is %d on the %s, at least %d were expected", c.Group, c.Name, have, c.Host, c.Least)
		}
	}
	if !crowded[s.Name] {
		checkPaths(t, s, f)
	}
	if ends != nil {
		mark(t, l, f)
		client := l.Host(Client).Addr(f).String()
		checkPackets(t, "client", s.Story.Packets, ends[0].sequence(t, client))
		checkPackets(t, "server", s.Story.AtServer, ends[1].sequence(t, client))
	}
}
