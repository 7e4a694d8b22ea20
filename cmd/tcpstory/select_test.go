package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcpstory/internal/host/hosttest"
	"tcpstory/internal/lab"
)

// Ports of the bazaar.
const (
	bazaarPort  = 7690 // of the server
	bazaarLocal = 7691 // on the client's loopback device
	bazaarForks = 7692 // of the server with workers
	bazaarNone  = 7693 // nobody's
)

// A bazaar is processes that make connections and pass them on, of which a tracer
// may choose some.
type bazaar struct {
	t              *testing.T
	lab            *lab.Lab
	client, server *lab.Host
	street, alley  string // a cgroup, and one in it

	chosen, other, stall, booth, master, one, two *lab.Peer
	deals                                         int
}

func openBazaar(t *testing.T) *bazaar {
	t.Helper()
	l := newLab(t, lab.Options{})
	b := &bazaar{t: t, lab: l, client: l.Host(lab.Client), server: l.Host(lab.Server)}
	b.alley = hosttest.MakeCgroup(t, "alley")
	b.street = filepath.Dir(b.alley)
	for _, p := range []struct {
		peer   **lab.Peer
		name   string
		at     *lab.Host
		cgroup string
	}{
		{&b.chosen, "b-chosen", b.client, b.street}, {&b.other, "b-other", b.client, ""},
		{&b.stall, "b-stall", b.server, b.alley}, {&b.booth, "b-booth", b.client, ""},
		{&b.master, "b-master", b.server, ""}, {&b.one, "b-one", b.server, ""}, {&b.two, "b-two", b.server, ""},
	} {
		peer, err := p.at.Start(p.name)
		b.try(err)
		t.Cleanup(func() { peer.Close() })
		if p.cgroup != "" {
			hosttest.MoveTo(t, p.cgroup, peer.PID())
		}
		*p.peer = peer
	}
	ctx := t.Context()
	b.try(b.stall.Listen(ctx, "l4", b.at(lab.IPv4, bazaarPort)))
	b.try(b.stall.Listen(ctx, "l6", b.at(lab.IPv6, bazaarPort)))
	b.try(b.booth.Listen(ctx, "l4", netip.AddrPortFrom(loopback(lab.IPv4), bazaarLocal)))
	b.try(b.master.Listen(ctx, "l4", b.at(lab.IPv4, bazaarForks)))
	b.try(b.one.Take(ctx, "l4", b.master, "l4"))
	b.try(b.two.Take(ctx, "l4", b.master, "l4"))
	return b
}

func (b *bazaar) try(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bazaar) at(f lab.Family, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(b.server.Addr(f), port)
}

// deal is one connection, by the name that both ends give it.
type deal struct {
	*bazaar
	name         string
	buyer, trade *lab.Peer // the client's, and the server's user
}

// meets makes a connection that a server takes.
func (b *bazaar) meets(buyer, seller *lab.Peer, f lab.Family) *deal {
	b.t.Helper()
	b.deals++
	d := &deal{b, fmt.Sprint("deal", b.deals), buyer, seller}
	at, listener := b.at(f, bazaarPort), "l4"
	switch {
	case seller == b.booth:
		at = netip.AddrPortFrom(loopback(f), bazaarLocal)
	case seller != b.stall:
		at = b.at(f, bazaarForks)
	case f == lab.IPv6:
		listener = "l6"
	}
	ctx := b.t.Context()
	_, err := buyer.Connect(ctx, d.name, at, lab.Option{})
	b.try(err)
	b.try(buyer.Outcome(ctx, d.name))
	b.try(seller.Accept(ctx, listener, d.name))
	return d
}

// haggle has both sides say something, so many times.
func (d *deal) haggle(times int) {
	d.t.Helper()
	ctx := d.t.Context()
	for range times {
		d.try(d.buyer.Send(ctx, d.name, 1, 100))
		d.try(d.trade.Receive(ctx, d.name, 100))
		d.try(d.trade.Send(ctx, d.name, 1, 200))
		d.try(d.buyer.Receive(ctx, d.name, 200))
	}
}

// passes gives the server's end to another process.
func (d *deal) passes(to *lab.Peer) {
	d.t.Helper()
	ctx := d.t.Context()
	d.try(to.Take(ctx, d.name, d.trade, d.name))
	d.try(d.trade.CloseSocket(ctx, d.name))
	d.trade = to
}

func (d *deal) ends(first, last *lab.Peer) {
	d.t.Helper()
	ctx := d.t.Context()
	d.try(first.CloseSocket(ctx, d.name))
	if err := last.Receive(ctx, d.name, 1); err == nil {
		d.t.Error("instead of the end: data")
	}
	d.try(last.CloseSocket(ctx, d.name))
}

func (d *deal) aborts(by, other *lab.Peer) {
	d.t.Helper()
	ctx := d.t.Context()
	d.try(by.Abort(ctx, d.name))
	if err := other.Receive(ctx, d.name, 1); err == nil {
		d.t.Error("instead of a reset: data")
	}
	d.try(other.CloseSocket(ctx, d.name))
}

// older are the connections that exist when the tracers start, of everybody with
// everybody.
func (b *bazaar) older() (list []*deal) {
	for _, buyer := range []*lab.Peer{b.chosen, b.other} {
		for _, seller := range []*lab.Peer{b.stall, b.booth, b.one, b.two} {
			d := b.meets(buyer, seller, lab.IPv4)
			d.haggle(1)
			list = append(list, d)
		}
	}
	return list
}

// muchHaggling is how often the other haggles more than all.
const muchHaggling = 100

// trades is what happens under the tracers' eyes. The chosen one ends last.
func (b *bazaar) trades(older []*deal) {
	b.t.Helper()
	for i, d := range older {
		d.haggle(2)
		if i%3 == 0 {
			d.aborts(d.buyer, d.trade)
		} else {
			d.ends(d.trade, d.buyer)
		}
	}
	for _, buyer := range []*lab.Peer{b.other, b.chosen} {
		for _, seller := range []*lab.Peer{b.stall, b.booth, b.one, b.two} {
			d := b.meets(buyer, seller, lab.IPv4)
			d.haggle(2)
			d.ends(d.buyer, d.trade)
			d = b.meets(buyer, seller, lab.IPv4)
			d.haggle(1)
			d.aborts(d.trade, d.buyer)
		}
		d := b.meets(buyer, b.stall, lab.IPv6)
		d.haggle(2)
		d.ends(d.trade, d.buyer)
		b.isRefused(buyer)
	}
	for _, hands := range [][2]*lab.Peer{{b.one, b.two}, {b.two, b.one}} {
		d := b.meets(b.other, hands[0], lab.IPv4)
		d.haggle(2)
		d.passes(hands[1])
		d.haggle(2)
		d.ends(d.trade, d.buyer)
	}
	for _, seller := range []*lab.Peer{b.stall, b.booth} {
		d := b.meets(b.other, seller, lab.IPv4)
		d.haggle(muchHaggling)
		d.ends(d.buyer, d.trade)
	}
	d := b.meets(b.chosen, b.stall, lab.IPv4)
	d.haggle(1)
	d.ends(d.trade, d.buyer)
}

// isRefused connects to where nobody listens.
func (b *bazaar) isRefused(p *lab.Peer) {
	b.t.Helper()
	b.deals++
	name := fmt.Sprint("deal", b.deals)
	_, err := p.Connect(b.t.Context(), name, b.at(lab.IPv4, bazaarNone), lab.Option{})
	if err == nil {
		err = p.Outcome(b.t.Context(), name)
	}
	if err == nil {
		b.t.Error("nobody listens, and it was let in")
	}
	b.try(p.CloseSocket(b.t.Context(), name))
}

// bargain is a tracer's selection, and what must show of what happens.
type bargain struct {
	args  []string
	asked func(f *fact) bool // by whom, or where, the socket is used
	shows func(f *fact) bool // of what is asked for; nil: all
	door  bool               // the listener that several share

	*proc
}

// TestSelection: a tracer of some processes or cgroups shows what another shows of
// them, and nothing else.
func TestSelection(t *testing.T) {
	b := openBazaar(t)
	older := b.older()
	of := func(peers ...*lab.Peer) func(*fact) bool {
		return func(f *fact) bool {
			return slices.ContainsFunc(peers, func(p *lab.Peer) bool { return p.PID() == f.OwnerPID })
		}
	}
	pid := func(p *lab.Peer) string { return fmt.Sprint(p.PID()) }
	under := func(path string) func(*fact) bool {
		return func(f *fact) bool { return f.CgroupPath == path || strings.HasPrefix(f.CgroupPath, path+"/") }
	}
	file := filepath.Join(t.TempDir(), "f.pcap")
	bargains := map[string]*bargain{
		"a client":         {args: []string{"-p", pid(b.chosen)}, asked: of(b.chosen)},
		"another":          {args: []string{"-p", pid(b.other), "--no-packets"}, asked: of(b.other), shows: isNoPacket},
		"a worker":         {args: []string{"-p", pid(b.one)}, asked: of(b.one), door: true},
		"a name and a PID": {args: []string{"--comm", "b-chosen", "-p", pid(b.booth)}, asked: of(b.chosen, b.booth)},
		"names and PIDs": {
			args: []string{"--comm", "b-two", "--comm", "b-stall", "-p", pid(b.one) + "," + pid(b.master)}, door: true,
			asked: of(b.one, b.two, b.stall, b.master),
		},
		"a cgroup":           {args: []string{"--cgroup", b.street}, asked: under(b.street)},
		"one below, mounted": {args: []string{"--cgroup", hosttest.Cgroup2(t) + b.alley, "--no-packets"}, asked: under(b.alley), shows: isNoPacket},
		"packets only": {
			args: []string{"-p", pid(b.two), "--no-states", "port", fmt.Sprint(bazaarForks)}, asked: of(b.two), shows: isPacket,
		},
		"one port of a name": {
			args: []string{"--comm", "b-chosen", "port", fmt.Sprint(bazaarPort)}, asked: of(b.chosen),
			shows: func(f *fact) bool { return f.RemotePort == bazaarPort },
		},
	}
	scope := []string{"--netns", b.client.NetnsName(), "--netns", b.server.NetnsName()}
	oracle := start(t, tcpstory(here{}, append(scope, "--json")...))
	written := start(t, tcpstory(here{}, append(scope, "-p", pid(b.chosen), "-w", file)...))
	for _, c := range bargains {
		c.proc = start(t, tcpstory(here{}, slices.Concat(scope, []string{"--json"}, c.args)...))
	}
	for _, p := range []*proc{oracle, written} {
		p.awaitsIn(p.err, listens)
	}
	for _, c := range bargains {
		c.awaitsIn(c.err, listens)
	}
	b.trades(older)
	oracle.interrupt()
	truth := facts(t, oracle, b.client, b.server)
	packets := 0
	for name, c := range bargains {
		c.interrupt()
		list := facts(t, c.proc, b.client, b.server)
		t.Run(name, func(t *testing.T) { c.check(t, truth, list, b.deals) })
		if name == "a client" {
			packets = len(slices.DeleteFunc(list, func(f fact) bool { return f.Kind != "packet" }))
		}
	}
	written.interrupt()
	if n := len(printed(t, tcpstory(here{}, "-r", file))) - 1; n != packets {
		t.Errorf("%d packets were written, %d shown", n, packets)
	}
}

func isPacket(f *fact) bool   { return f.Kind == "packet" }
func isNoPacket(f *fact) bool { return f.Kind != "packet" && !f.IsInferred } // from packets

// crossing is how many events of a connection that is not asked for may come out
// of the kernel: those of a handshake, until its process is known.
const crossing = 10

// check holds what was shown against what there was; there were so many connections.
func (c *bargain) check(t *testing.T, truth, list []fact, conns int) {
	t.Helper()
	var want, have []string
	doors := 0
	for i := range truth {
		if f := &truth[i]; !f.isSharedDoor() && c.expects(f, truth[:i]) {
			want = append(want, f.signature())
		}
	}
	for i := range list {
		if f := &list[i]; f.isSharedDoor() {
			doors++
		} else {
			have = append(have, f.signature())
		}
	}
	if (doors > 0) != c.door {
		t.Errorf("%v: the listener of which several processes have a share is shown %d times", c.args, doors)
	}
	some := &few{T: t}
	for _, f := range without(want, have) {
		some.Errorf("%v: missing %s", c.args, f)
	}
	for _, f := range without(have, want) {
		some.Errorf("%v: shown %s", c.args, f)
	}
	if len(have)+doors == 0 {
		t.Fatal("nothing is shown")
	}
	if n := len(list); int(list[n-1].Seq)-n > crossing*conns {
		t.Errorf("%d events came out of the kernel for nothing, of %d connections", int(list[n-1].Seq)-n, conns)
	}
}

// isSharedDoor: whoever is asked for of those who hold a listener counts as its user.
func (f *fact) isSharedDoor() bool { return f.Role == "listener" && f.LocalPort == bazaarForks }

// expects reports an event of a socket that is asked for by then, or is handed on
// by it. A packet on loopback belongs to both ends.
func (c *bargain) expects(f *fact, before []fact) bool {
	if c.shows != nil && !c.shows(f) {
		return false
	}
	if c.asked(f) {
		return true
	}
	for i := len(before) - 1; i >= 0; i-- {
		last := &before[i]
		switch {
		case last.Cookie == 0:
		case f.Loopback && last.Cookie == f.Peer:
			return c.asked(last)
		case !f.Loopback && last.Cookie == f.Cookie:
			return f.PID != 0 && c.asked(last)
		}
	}
	return false
}

// without are the texts of a that b lacks, each as often as it does.
func without(a, b []string) (rest []string) {
	n := map[string]int{}
	for _, text := range b {
		n[text]++
	}
	for _, text := range a {
		if n[text]--; n[text] < 0 {
			rest = append(rest, text)
		}
	}
	return rest
}

// signature is what two tracers tell alike. On loopback one may not know whose the
// sender is.
func (f fact) signature() string {
	if f.Loopback {
		f.OwnerPID, f.CgroupPath = 0, ""
	}
	return fmt.Sprintf("%s %d %s:%d %s:%d %s %s %s pid %d owner %d %s | %s %s %d %d %s %d", f.Kind, f.Cookie, f.LocalAddr, f.LocalPort, f.RemoteAddr, f.RemotePort,
		f.Old, f.New, f.State, f.PID, f.OwnerPID, f.CgroupPath, f.Direction, f.Flags, f.TCPSeq, f.Length, f.Reason, f.Errno)
}
