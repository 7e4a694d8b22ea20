package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
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

// begin adds a laboratory in which connections over both families stand in SYN_SENT,
// and half open, as long as the kernel keeps them.
func (th *theatre) begin(t *testing.T) {
	t.Helper()
	const nobody, unheard = 7391, 7392
	l := newLab(t, lab.Options{})
	th.labs = append(th.labs, l)
	client, server := l.Host(lab.Client), l.Host(lab.Server)
	breaks(t, server, lab.Rule{Hook: lab.Input, ToPort: nobody})
	breaks(t, client, lab.Rule{Hook: lab.Input, FromPort: unheard})
	caller, listener := peer(t, client, "caller"), peer(t, server, "listener")
	for _, f := range lab.Families {
		at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(server.Addr(f), port) }
		mustDo(t, listener.Listen(t.Context(), "listener"+f.String(), at(unheard)))
		for _, port := range []uint16{nobody, unheard} {
			_, err := caller.Connect(t.Context(), fmt.Sprint(f, port), at(port), lab.Option{})
			mustDo(t, err)
		}
		eventually(t, "a half-open connection", func() bool {
			list, err := server.Sockets(f)
			mustDo(t, err)
			return slices.ContainsFunc(list, func(s lab.Socket) bool { return s.State == tcp.SynRecv })
		})
	}
}

// peer starts a process that makes sockets as it is told, and ends with the test.
func peer(t *testing.T, h *lab.Host, name string) *lab.Peer {
	t.Helper()
	p, err := h.Start(name)
	mustDo(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func breaks(t *testing.T, h *lab.Host, rule lab.Rule) {
	t.Helper()
	f, err := h.Break(rule)
	mustDo(t, err)
	t.Cleanup(func() { f.Lift() })
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
