package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"tcpstory/internal/lab"
)

// theatre is scenarios that all stand still at once, each in a laboratory of its own.
type theatre struct {
	labs   []*lab.Lab
	stands []lab.Standing
	names  []string
}

// standStill acts the scenarios out over both families up to where each stands,
// and lets them stand until the test ends.
func standStill(t *testing.T, scenarios ...string) *theatre {
	t.Helper()
	th := &theatre{}
	ctx, cancel := context.WithCancel(t.Context())
	var acts sync.WaitGroup
	reached := make(chan error)
	var mu sync.Mutex
	for _, name := range scenarios {
		s, err := lab.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range lab.Families {
			var l *lab.Lab
			hold := func(ctx context.Context, at lab.Standing) error {
				mu.Lock()
				th.labs, th.stands = append(th.labs, l), append(th.stands, at)
				th.names = append(th.names, fmt.Sprintf("%s/%s", name, f))
				mu.Unlock()
				reached <- nil
				<-ctx.Done()
				return ctx.Err()
			}
			l = newLab(t, lab.Options{Topology: s.Topology, Hold: hold})
			acts.Go(func() {
				if err := s.Run(ctx, l, f); ctx.Err() == nil {
					reached <- fmt.Errorf("%s over %s did not stand still: %v", name, f, err)
				}
			})
		}
	}
	t.Cleanup(acts.Wait) // before the laboratories go
	t.Cleanup(cancel)
	for range 2 * len(scenarios) {
		if err := <-reached; err != nil {
			t.Fatal(err)
		}
	}
	return th
}

// hosts are all hosts of the theatre.
func (th *theatre) hosts() (hosts []*lab.Host) {
	for _, l := range th.labs {
		hosts = append(hosts, l.Hosts()...)
	}
	return hosts
}

// netns is --netns with the hosts' names.
func (th *theatre) netns() string {
	var names []string
	for _, h := range th.hosts() {
		names = append(names, h.NetnsName())
	}
	return "--netns=" + strings.Join(names, ",")
}
