package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// joinPort is where the servers of these tests listen, and what virtual addresses
// lead to.
const joinPort = 7790

// place is where a crowd meets: who connects to what, and who listens where. All
// of it is on this host, and tcpstory watches both.
type place struct {
	lab        *lab.Lab
	client     *lab.Host
	server     *lab.Host
	to, at     netip.AddrPort
	from       netip.Addr // the client's address
	expression string
	family     lab.Family
	turns      uint16 // how often a crowd has met here
}

// arrangement is how the two ends are apart.
type arrangement struct {
	name     string
	topology lab.Topology
	virtual  bool     // the client connects to an address that is nobody's
	own      bool     // Alone: the server is at the host's own address, not at 127.0.0.1
	leads    string   // the host whose firewall leads it to the server
	hook     lab.Hook // where
	masks    bool     // and puts its own address in the client's place
	noStamps bool     // no TCP time stamps
}

var arrangements = []arrangement{
	{name: "veth", topology: lab.Pair},
	{name: "bridge", topology: lab.Bridge},
	{name: "loopback", topology: lab.Alone},
	{name: "loopback, DNAT to 127.0.0.1", topology: lab.Alone, virtual: true, leads: lab.Client, hook: lab.Output},
	{name: "loopback, DNAT to its own address", topology: lab.Alone, virtual: true, own: true, leads: lab.Client, hook: lab.Output},
	{name: "DNAT at the client", topology: lab.Pair, virtual: true, leads: lab.Client, hook: lab.Output},
	{name: "DNAT at the server", topology: lab.Pair, virtual: true, leads: lab.Server, hook: lab.Prerouting},
	{name: "DNAT on a router", topology: lab.Routed, virtual: true, leads: lab.Router, hook: lab.Prerouting},
	{name: "DNAT and SNAT on a router", topology: lab.Routed, virtual: true, leads: lab.Router, hook: lab.Prerouting, masks: true},
	{name: "SNAT on a router", topology: lab.Routed, leads: lab.Router, masks: true},
	{name: "hairpin", topology: lab.Hairpin, virtual: true, leads: lab.Router, hook: lab.Prerouting, masks: true},
	{name: "DNAT on a router, no time stamps", topology: lab.Routed, virtual: true, leads: lab.Router, hook: lab.Prerouting, noStamps: true},
	{name: "hairpin, no time stamps", topology: lab.Hairpin, virtual: true, leads: lab.Router, hook: lab.Prerouting, masks: true, noStamps: true},
}

// arrange makes the hosts.
func (a arrangement) arrange(t *testing.T, f lab.Family) *place {
	t.Helper()
	l := newLab(t, lab.Options{Topology: a.topology})
	p := &place{lab: l, client: l.Host(lab.Client), server: l.Host(lab.Server), family: f}
	p.from = p.client.Addr(f)
	p.at = netip.AddrPortFrom(p.server.Addr(f), joinPort)
	if a.own {
		p.at = netip.AddrPortFrom(p.client.Addr(f), joinPort)
	}
	if p.to = p.at; a.virtual {
		p.to = netip.AddrPortFrom(map[lab.Family]netip.Addr{lab.IPv4: lab.Virtual4, lab.IPv6: lab.Virtual6}[f], joinPort)
	}
	if a.topology == lab.Alone && !a.virtual {
		p.from = p.at.Addr()
	}
	p.expression = fmt.Sprintf("port %d", joinPort)
	var rules []lab.Rule
	if a.virtual {
		rules = append(rules, lab.Rule{Hook: a.hook, ToPort: joinPort, To: p.to.Addr(), Action: lab.Translate, Target: p.at})
	}
	if a.masks {
		rules = append(rules, lab.Rule{Hook: lab.Postrouting, ToPort: joinPort, Action: lab.Masquerade})
	}
	for _, r := range rules {
		if _, err := l.Host(a.leads).Break(r); err != nil {
			t.Fatal(err)
		}
	}
	if a.noStamps {
		for _, h := range []*lab.Host{p.client, p.server} {
			if err := h.Sysctl("net.ipv4.tcp_timestamps", "0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

// watched are the arguments that show the two ends.
func (p *place) watched(flags ...string) []string {
	return append([]string{"--json", "--netns", p.client.NetnsName(), "--netns", p.server.NetnsName(), p.expression}, flags...)
}

// rounds of a crowd, on the same ports each time: how they end leaves TIME_WAIT at
// the server, nothing, TIME_WAIT at the client.
var rounds = []closing{serverCloses, clientAborts, clientCloses}

// meets has a crowd of n meet at the place, once for each round.
func (p *place) meets(t *testing.T, n int) *crowd {
	t.Helper()
	c := newCrowd(t)
	for round, how := range rounds {
		ln := listenOn(t, p.server, p.at, nil)
		go c.serve(ln, how)
		c.visits(p.client, p.visits(round, n), how)
		ln.Close()
		p.empties(t)
	}
	p.turns++
	return c
}

func (p *place) visits(round, n int) (list []visit) {
	for i := range n {
		list = append(list, visit{
			id: uint64(round*n + i + 1), to: p.to,
			from: netip.AddrPortFrom(p.from, 21000+p.turns*1000+uint16(i)),
		})
	}
	return list
}

// empties waits until the ends are gone, but for TIME_WAIT: the last segments may
// still be on their way, and then a port is not free.
func (p *place) empties(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, h := range []*lab.Host{p.client, p.server} {
		for {
			socks, err := h.Sockets(p.family)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(socks, isOpen) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("sockets stay: %+v", socks)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func isOpen(s lab.Socket) bool { return s.State != tcp.TimeWait && s.State != tcp.Listen }

// accounts are what tcpstory tells of the sockets.
type accounts struct {
	of    map[uint64]*account // by cookie
	conns map[uint64]bool     // all numbers but listeners'
	gaps  []string
}

type account struct {
	numbers []uint64 // conversations, in the order in which its events have them
	peers   []uint64 // other ends, likewise; 0 left out
	first   string
}

func readAccounts(t *testing.T, p *proc) *accounts {
	t.Helper()
	a := &accounts{of: map[uint64]*account{}, conns: map[uint64]bool{}}
	a.gaps = slices.DeleteFunc(p.out.text(), func(l string) bool { return !gap.MatchString(l) })
	for _, l := range p.lines() {
		var ev struct {
			Role, Kind         string
			Conn, Cookie, Peer uint64
			PeerCookie         uint64 `json:"peer_cookie"`
		}
		if err := json.Unmarshal([]byte(l), &ev); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		if ev.Role == "listener" || ev.Conn == 0 {
			continue
		}
		a.conns[ev.Conn] = true
		if ev.Cookie == 0 {
			continue
		}
		x := a.of[ev.Cookie]
		if x == nil {
			x = &account{first: l}
			a.of[ev.Cookie] = x
		}
		if !slices.Contains(x.numbers, ev.Conn) {
			x.numbers = append(x.numbers, ev.Conn)
		}
		if ev.PeerCookie != 0 && !slices.Contains(x.peers, ev.PeerCookie) {
			x.peers = append(x.peers, ev.PeerCookie)
		}
	}
	return a
}

// joined holds what is told against what the ends say: two sockets that met have
// one number from their first event on, which is nobody else's, and each other as
// other ends.
func (a *accounts) joined(met map[uint64]encounter) (wrong, missing []string) {
	users := map[uint64]int{}
	for id, e := range met {
		c, s := a.of[e.client], a.of[e.server]
		if c == nil || s == nil {
			missing = append(missing, fmt.Sprintf("connection %d: sockets %+v are not told of", id, e))
			continue
		}
		for _, end := range []struct {
			*account
			peer uint64
		}{{c, e.server}, {s, e.client}} {
			if others := slices.DeleteFunc(slices.Clone(end.peers), func(p uint64) bool { return p == end.peer }); len(others) > 0 {
				wrong = append(wrong, fmt.Sprintf("connection %d %+v: other ends %d, from %s", id, e, end.peers, end.first))
			}
			if len(end.peers) == 0 {
				missing = append(missing, fmt.Sprintf("connection %d %+v: no other end, from %s", id, e, end.first))
			}
		}
		if len(c.numbers) != 1 || !slices.Equal(c.numbers, s.numbers) {
			missing = append(missing, fmt.Sprintf("connection %d %+v: conversations %d and %d, from %s", id, e, c.numbers, s.numbers, s.first))
		}
		for _, n := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(c.numbers, s.numbers)))) {
			if users[n]++; users[n] > 1 {
				wrong = append(wrong, fmt.Sprintf("conversation %d has more than two ends", n))
			}
		}
	}
	return wrong, missing
}

// judgeCrowd is for a telling of a crowd's encounters, and of nothing else. A number
// that no socket has is one that its first packets had (extra: may have).
func (a *accounts) judgeCrowd(met map[uint64]encounter, extra bool) (wrong, missing []string) {
	wrong, missing = a.joined(met)
	if len(a.of) > 2*len(met) {
		wrong = append(wrong, fmt.Sprintf("%d sockets, want %d", len(a.of), 2*len(met)))
	}
	if n := len(a.conns); n != len(met) && !extra {
		missing = append(missing, fmt.Sprintf("%d conversations, want %d", n, len(met)))
	}
	return wrong, missing
}

// watchCrowd has a crowd meet before tcpstory's eyes and judges what it tells. It
// may try again where events are missing and nothing is wrong, as testStory may.
func watchCrowd(t *testing.T, args []string, extra bool, meet func() map[uint64]encounter) {
	t.Helper()
	var wrong, missing []string
	for range 2 {
		p := watch(t, here{}, args...)
		met := meet()
		p.interrupt()
		a := readAccounts(t, p)
		wrong, missing = a.judgeCrowd(met, extra)
		if len(wrong) > 0 || len(missing) == 0 || t.Failed() {
			break
		}
		t.Logf("once more, since something is missing (reported: %q):\n%s", a.gaps, strings.Join(missing, "\n"))
	}
	if all := append(wrong, missing...); len(all) > 0 {
		t.Errorf("%d of these:\n%s", len(all), strings.Join(all[:min(len(all), 10)], "\n"))
	}
}

// crowdSize is how many connections are open at the same time.
const crowdSize = 150

// bothWays are tcpstory's own: with packets and without.
var bothWays = map[string][]string{"packets": nil, "no packets": {"--no-packets"}}

// TestBothEndsAreOne: hundreds of connections whose two ends are on this host are
// as many conversations of two sockets each, and never a wrong two, whatever
// translates between them.
func TestBothEndsAreOne(t *testing.T) {
	for _, a := range arrangements {
		for _, f := range lab.Families {
			for way, flags := range bothWays {
				t.Run(fmt.Sprintf("%s/%s/%s", a.name, f, way), func(t *testing.T) {
					t.Parallel()
					p := a.arrange(t, f)
					// Where nothing but a SYN's number tells, its first two packets have a number of their own.
					extra := a.noStamps && a.virtual && a.masks
					watchCrowd(t, p.watched(flags...), extra, func() map[uint64]encounter { return p.meets(t, crowdSize).met })
				})
			}
		}
	}
}
