package kernel_test

import (
	"fmt"
	"testing"

	"tcpstory/internal/kernel"
	"tcpstory/internal/kernel/ordertest"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// hop is what a host in the middle shows of each packet that it passes on.
type hop struct {
	topology lab.Topology
	host     string
	in, out  int // sightings of each packet; a port of a bridge does not report what comes in
}

var hops = map[string]hop{
	"router": {lab.Routed, lab.Router, 1, 1},
	"bridge": {lab.Bridge, lab.Switch, 0, 1},
}

// TestHops puts a host in the middle: what it passes on is hidden unless it is
// asked for, and the ends see their own sightings only, each once.
func TestHops(t *testing.T) {
	rules, err := ordertest.ReadTable("../../doc/ORDER.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range hops {
		for _, forwarded := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/forwarded=%v", name, forwarded), func(t *testing.T) {
				onEach(t, func(t *testing.T, family lab.Family) {
					h.test(t, rules, forwarded, family)
				})
			})
		}
	}
}

// passing is how many connections go over a hop.
const passing = 50

func (h hop) test(t *testing.T, rules []ordertest.Rule, forwarded bool, family lab.Family) {
	l := newLab(t, h.topology)
	tr := &traffic{client: l.Host(lab.Client), server: l.Host(lab.Server), family: family, workers: 1, closers: fourWay[:1]}
	tr.prepare(t)
	check, middle := ordertest.New(rules, tr.ports), sightings{}
	stream := follow(t, kernel.Config{States: true, Packets: true, Forwarded: forwarded}, func(ev *tcp.Event) {
		if ev.Netns == l.Host(h.host).Netns() {
			middle.add(ev)
			return
		}
		check.Add(ev)
	}, l.Hosts()...)
	tr.run(t, passing)
	quiet(t, l.Hosts()...)
	stream.drain()
	stream.end()
	r := check.Report()
	h.judge(t, r, middle, forwarded)
	if n := r.Sockets["client first client"]; n != tr.total() {
		t.Errorf("%d connections were made, %d seen", tr.total(), n)
	}
}

func (h hop) judge(t *testing.T, r *ordertest.Report, middle sightings, forwarded bool) {
	t.Helper()
	for _, f := range r.Faults {
		t.Error(f)
	}
	if r.MissingStates+r.Excused+r.MissingIn+r.MissingOut != 0 || r.Out != r.In {
		t.Errorf("%d segments left, %d arrived; missing %d transitions, %d in, %d out", r.Out, r.In, r.MissingStates, r.MissingIn, r.MissingOut)
	}
	if !forwarded {
		if len(middle) != 0 {
			t.Errorf("%d packets that are passed on were shown", len(middle))
		}
		return
	}
	if len(middle) != int(r.Out) {
		t.Errorf("%d packets left, %d were seen as they were passed on", r.Out, len(middle))
	}
	for p, n := range middle {
		if n.in != h.in || n.out != h.out || n.in > 0 && n.inAt == n.outAt {
			t.Fatalf("%+v was seen %+v, want %d in and %d out, at two devices", p, n, h.in, h.out)
		}
	}
}

// sightings counts where each packet was seen.
type sightings map[passed]places

type passed struct {
	flow     tcp.Flow
	flags    tcp.Flags
	seq, ack uint32
	payload  int
}

type places struct {
	in, out     int
	inAt, outAt uint32
}

func (s sightings) add(ev *tcp.Event) {
	p := &ev.Packet
	if ev.Kind != tcp.KindPacket || !p.IsTCP {
		return
	}
	k := passed{p.Flow, p.Flags, p.Seq, p.Ack, p.PayloadLen}
	n := s[k]
	if p.Dir == tcp.DirOut {
		n.out, n.outAt = n.out+1, p.Ifindex
	} else {
		n.in, n.inAt = n.in+1, p.Ifindex
	}
	s[k] = n
}
