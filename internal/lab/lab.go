package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// Topology says which hosts there are and how they are joined.
type Topology uint8

// The topologies. In each the client is 10.77.0.1 and fd77::1.
const (
	Pair    Topology = iota // client and server share a link; the server is 10.77.0.2, fd77::2
	Routed                  // client - router - server; the server is 10.77.1.2, fd77:0:0:1::2
	Bridge                  // client and server on the ports of a third host's bridge; addresses as in Pair
	Hairpin                 // as Bridge, and the bridge's host is their router, which leads them to each other
	Alone                   // one host: the server is a second name for it, 127.0.0.1 and ::1
)

// The hosts' names. Every topology has a client and a server.
const (
	Client = "client"
	Server = "server"
	Router = "router" // Routed, Hairpin
	Switch = "switch" // Bridge only
)

// Options say what New makes and who is told of what happens there.
type Options struct {
	Topology Topology
	// Tell, if set, is given one line of plain words for each step of a scenario.
	Tell func(line string)
	// Hold, if set, is called while a scenario's connection stands in the state
	// that the scenario is about; the scenario goes on when it returns. Of two
	// troubles, each may have its own moment.
	Hold func(ctx context.Context, at Standing) error
}

// Lab is a set of hosts. One scenario at a time may run in it; several labs
// may exist side by side.
type Lab struct {
	opt    Options
	hosts  []*Host
	reaper *reaper
}

// labs counts this process's labs: it keeps their names apart.
var labs atomic.Uint64

// New makes the hosts, which know their neighbours by then. The caller must be root. On
// failure nothing is left.
func New(ctx context.Context, opt Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("make a laboratory: network namespaces need root: run it with sudo")
	}
	r, err := startReaper()
	if err != nil {
		return nil, err
	}
	l := &Lab{opt: opt, reaper: r}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	plan, ok := plans[l.opt.Topology]
	if !ok {
		return fmt.Errorf("make a laboratory: there is no topology %d", l.opt.Topology)
	}
	prefix := fmt.Sprintf("%s%d-%d-", namePrefix, os.Getpid(), labs.Add(1))
	for _, name := range plan.hosts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.addHost(name, prefix+name); err != nil {
			return err
		}
	}
	for _, w := range plan.wires {
		if err := l.wire(ctx, w); err != nil {
			return err
		}
	}
	if err := plan.finish(l); err != nil {
		return err
	}
	return l.meet(ctx)
}

// meet waits until the client knows the way to the server's link: else a first SYN could
// wait for a neighbour, and later time-outs would be three seconds long.
func (l *Lab) meet(ctx context.Context) error {
	for _, h := range l.hosts {
		if err := h.settled(ctx); err != nil {
			return err
		}
	}
	client, server := l.Host(Client), l.Host(Server)
	for _, f := range Families {
		err := awaitKernel(ctx, "the "+Server+" to be in reach", func() (bool, error) { return client.reaches(server.Addr(f)) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) addHost(name, nsName string) error {
	if err := l.reaper.owns(ownsNetns, nsName); err != nil {
		return err
	}
	ns, err := newNamespace(nsName)
	if err != nil {
		return err
	}
	h := &Host{name: name, ns: ns}
	l.hosts = append(l.hosts, h)
	return h.boot()
}

// Close removes the hosts, their processes and everything else that the lab
// made, and returns when they are gone.
func (l *Lab) Close() error {
	for _, h := range l.hosts {
		h.close()
	}
	return l.reaper.close()
}

// Host returns the host of that name (Client, Server, Router, Switch), or nil
// if the topology has none.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// Hosts returns every host, the client first.
func (l *Lab) Hosts() []*Host { return l.hosts }

// tempDir makes a directory that goes when the lab goes.
func (l *Lab) tempDir() (string, error) {
	dir, err := os.MkdirTemp("", namePrefix)
	if err != nil {
		return "", fmt.Errorf("make a directory for the lab: %w", err)
	}
	return dir, l.reaper.owns(ownsDir, dir)
}
