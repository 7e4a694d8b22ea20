package kernel_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"tcpstory/internal/kernel"
	"tcpstory/internal/kernel/blindspot"
	"tcpstory/internal/kernel/ordertest"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// A check of order takes this many connections, made in rounds by workers.
const (
	connections = 5000
	perRound    = 500
	workers     = 4
	longFactor  = 20  // TCPSTORY_LONG takes so many times more
	mostVoid    = 0.8 // of all rounds
)

// TestOrder holds every transition of many connections against every rule of
// doc/ORDER.md while both CPUs are busy and packets are steered.
func TestOrder(t *testing.T) {
	rules, err := ordertest.ReadTable("../../doc/ORDER.md")
	if err != nil {
		t.Fatal(err)
	}
	burnAll(t)
	for _, device := range []string{"lo", "veth"} {
		for _, family := range lab.Families {
			t.Run(fmt.Sprintf("%s/%v", device, family), func(t *testing.T) {
				newOrderCheck(t, rules, device, family).run()
			})
		}
	}
}

// orderCheck is one check of order: rounds of traffic that one source follows.
type orderCheck struct {
	t       *testing.T
	rules   []ordertest.Rule
	hosts   []*lab.Host // client, server; one on loopback
	traffic *traffic
	stream  *stream
	blind   *blindspot.Spot

	sum           ordertest.Report
	conns         int
	counted       segments // by the hosts' own counters
	rounds, voids int
	skipped       map[string]uint64 // by hook, as the source told
	full          uint64
}

func newOrderCheck(t *testing.T, rules []ordertest.Rule, device string, family lab.Family) *orderCheck {
	t.Helper()
	l := newLab(t, lab.Pair)
	c := &orderCheck{t: t, rules: rules, hosts: []*lab.Host{l.Host(lab.Client), l.Host(lab.Server)}, skipped: map[string]uint64{}}
	if device == "lo" {
		c.hosts = c.hosts[:1]
	}
	steerAll(t, c.hosts...)
	c.traffic = &traffic{
		client: c.hosts[0], server: c.hosts[len(c.hosts)-1], family: family, workers: workers,
		closers: append(slices.Clone(fourWay), resetting...),
	}
	c.traffic.prepare(t)
	c.stream = follow(t, kernel.Config{States: true, Packets: true, RingSize: 64 << 20}, c.count, c.hosts...)
	c.blind = blindspot.Watch(t)
	return c
}

// count keeps what the source says to have lost, in whatever round it says so.
func (c *orderCheck) count(ev *tcp.Event) {
	switch {
	case ev.Kind != tcp.KindGap:
	case ev.Gap.Cause == tcp.GapRecursion:
		c.skipped[ev.Gap.Hook] += ev.Gap.Lost
	default:
		c.full += ev.Gap.Lost
	}
}

func (c *orderCheck) run() {
	want := connections
	if os.Getenv("TCPSTORY_LONG") != "" {
		want *= longFactor
	}
	for c.conns < want {
		if c.round(); c.voids > 20 && float64(c.voids) > mostVoid*float64(c.rounds) {
			c.t.Fatalf("%d of %d rounds were void: packets were handled on top of process 1", c.voids, c.rounds)
		}
	}
	c.stream.end()
	c.judge()
}

// round makes some connections and adds what was seen of them to the sum.
func (c *orderCheck) round() {
	check := ordertest.New(c.rules, c.traffic.ports)
	c.stream.show(func(ev *tcp.Event) { c.count(ev); check.Add(ev) })
	made, before := c.traffic.total(), segmentsOf(c.t, c.hosts)
	c.blind.Begin()
	c.traffic.run(c.t, perRound)
	counted := c.settle()
	hit := c.blind.Hit()
	c.stream.show(c.count)
	c.rounds++
	if hit {
		c.voids++
		return
	}
	c.conns += c.traffic.total() - made
	c.sum.Add(check.Report())
	c.counted.out += counted.out - before.out
	c.counted.in += counted.in - before.in
}

// settle waits until nothing moves any more and everything was seen; a stray
// segment may still be answered when the last socket is gone. It returns what
// the hosts have counted so far.
func (c *orderCheck) settle() segments {
	quiet(c.t, c.hosts...)
	for {
		now := segmentsOf(c.t, c.hosts)
		c.stream.drain()
		if segmentsOf(c.t, c.hosts) == now {
			return now
		}
	}
}

func (c *orderCheck) packetsSkipped() uint64 {
	return c.skipped["net_dev_start_xmit"] + c.skipped["netif_receive_skb"]
}

// judge fails the test if anything at all was out of order, or missing without
// having been told as lost, or a rule was not put to the test.
func (c *orderCheck) judge() {
	t, r := c.t, &c.sum
	t.Logf("%d connections in %d rounds (%d more were void), %d transitions, %d segments left and %d arrived, %d repeated states; time steps back %d times along the stream, by at most %v",
		c.conns, c.rounds-c.voids, c.voids, r.Transitions, r.Out, r.In, r.Again, r.Inversions, r.Widest)
	t.Logf("calls skipped: %v, ring full: %d", c.skipped, c.full)
	for i, rule := range r.Rules {
		t.Logf("%7d  %s", r.Held[i], rule.Text)
		if r.Held[i] == 0 {
			t.Errorf("never put to the test: %s", rule.Text)
		}
	}
	for _, f := range r.Faults {
		t.Error(f)
	}
	if r.FaultCount > len(r.Faults) {
		t.Errorf("and %d faults more", r.FaultCount-len(r.Faults))
	}
	c.missing("transitions", r.MissingStates, c.skipped["inet_sock_set_state"])
	c.missing("packets that a rule asks for", r.Excused, c.packetsSkipped())
	c.missing("packets where they left", r.MissingOut, c.skipped["net_dev_start_xmit"])
	c.missing("packets where they arrived", r.MissingIn, c.skipped["netif_receive_skb"])
	c.segments("left", r.Out, c.counted.out, c.skipped["net_dev_start_xmit"])
	c.segments("arrived", r.In, c.counted.in, c.skipped["netif_receive_skb"]+c.skipped["net_dev_start_xmit"])
	c.sockets()
}

func (c *orderCheck) missing(what string, n int, told uint64) {
	if uint64(n) > told+c.full {
		c.t.Errorf("%d %s are missing, and only %d were told as lost", n, what, told+c.full)
	}
}

// segments holds what was seen against what the hosts counted.
func (c *orderCheck) segments(how string, seen, counted, told uint64) {
	if counted-seen > told+c.full {
		c.t.Errorf("%d segments were seen as they %s, the hosts counted %d, and %d were told as lost", seen, how, counted, told+c.full)
	}
}

// sockets checks that no connection was passed over altogether.
func (c *orderCheck) sockets() {
	clients := 0
	for _, l := range c.traffic.closers {
		n := c.sum.Sockets[l.plan.Name+" client"]
		clients += n
		if servers := c.sum.Sockets[l.plan.Name+" server"]; !l.refuse && n != servers {
			c.t.Errorf("%s: %d clients and %d servers", l.plan.Name, n, servers)
		}
	}
	if clients+c.sum.Reused < c.conns || c.sum.Reused > c.conns/1000 {
		c.t.Errorf("%d connections were made, %d seen, %d sockets had a tuple of another", c.conns, clients, c.sum.Reused)
	}
}
