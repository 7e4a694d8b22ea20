package filter_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/filter"
	"tcpstory/internal/filter/filtertest"
	"tcpstory/internal/tcp"
)

func flow(local, remote string) tcp.Flow {
	parse := func(s string) (a netip.AddrPort) {
		if s != "" {
			a = netip.MustParseAddrPort(s)
		}
		return a
	}
	return tcp.Flow{Local: parse(local), Remote: parse(remote)}
}

var flows = []tcp.Flow{
	flow("10.77.0.1:40000", "10.77.0.2:80"),
	flow("10.77.0.1:40000", "10.77.0.2:22"),
	flow("127.0.0.1:50000", "127.0.0.1:8080"),
	flow("192.168.5.9:1500", "8.8.8.8:443"),
	flow("10.1.0.1:1000", "172.20.1.1:1000"),
	flow("[fd77::1]:40001", "[fd77::2]:80"),
	flow("[fd77::1]:40002", "[2001:db8::5]:443"),
	flow("[::1]:22", "[::1]:50000"),
}

// No packet of a connection may match that CouldMatch said could not.
func TestCouldMatchMissesNothing(t *testing.T) {
	for _, link := range []tcp.LinkType{tcp.LinkEthernet, tcp.LinkRaw} {
		pairs, witnessed := 0, 0
		for i, f := range flows {
			packets := filtertest.OfFlow(link, f, 1000, uint64(i))
			packets = append(packets, filtertest.OfFlow(link, f.Reverse(), 1000, uint64(i))...)
			for _, expr := range filtertest.Expressions {
				p, err := filter.Compile(expr, link)
				if err != nil {
					continue // refused for this link type
				}
				could, seen := p.CouldMatch(f), anyMatches(p, packets)
				if seen && !could {
					t.Errorf("link type %d, %q, %v: a packet matches", link, expr, f)
				}
				if could {
					pairs++
				}
				if seen {
					witnessed++
				}
			}
		}
		t.Logf("link type %d: %d pairs could match, %d of them do", link, pairs, witnessed)
		if witnessed*4 < pairs*3 {
			t.Errorf("link type %d: too many of the connections said to match show no packet that does", link)
		}
	}
}

func anyMatches(p *filter.Program, packets []filtertest.Packet) bool {
	for _, packet := range packets {
		if p.Match(packet.Frame, packet.Wire) {
			return true
		}
	}
	return false
}

// What CouldMatch must and must not say, by example.
func TestCouldMatch(t *testing.T) {
	http, ssh := flows[0], flows[1]
	for _, c := range []struct {
		expr string
		flow tcp.Flow
		want bool
	}{
		{"port 80", http, true}, {"port 80", ssh, false},
		{"not port 22", http, true}, {"not port 22", ssh, false},
		{"src port 22", ssh, true}, {"src port 22", ssh.Reverse(), true},
		{"icmp", http, false}, {"udp port 80", http, false},
		{"tcp[13] & 2 != 0 and port 80", http, true},
		{"greater 100", http, true}, {"ip6", http, false},
		{"tcp[0:2] = tcp[2:2]", flows[4], true}, {"tcp[0:2] = tcp[2:2]", http, false},
		{"tcp[0:2] - tcp[2:2] = 1 and tcp[0:2] > 80", http, false},
		{"tcp[0:2] - tcp[2:2] = 39920", http, true},
		{"ip[0] & 0xf != 5", http, true}, {"ip[6:2] & 0x1fff != 0", http, false},
		{"tcp[0:2] = tcp[2:2] or tcp[0:2] = ip[12:2]", flow("10.77.0.1:2637", "10.77.0.2:80"), true},
		{"tcp[0:2] = tcp[2:2] or tcp[0:2] = ip[12:2]", http, false},
		{"ip[8] = 5 and ip[8] > 6", http, false}, {"ip[8] = 5 and ip[8] > 4", http, true},
		// a tag is assumed only if nothing else can match
		{"vlan 100 and port 80", http, true}, {"vlan 100 and port 80", ssh, false},
		{"vlan and not port 22", ssh, false}, {"vlan and not port 22", http, true},
		{"vlan and vlan and port 22", ssh, true}, {"vlan and vlan and port 22", http, false},
		{"port 80 or vlan", ssh, false},
		// unknown is any
		{"port 80", tcp.Flow{}, true}, {"udp", tcp.Flow{}, false},
		{"port 80", flow("10.77.0.1:40000", ""), true},
		{"host 10.77.0.1 and port 80", flow("10.77.0.1:0", "10.77.0.2:80"), true},
		{"host 10.77.0.1 and port 80", flow("10.77.0.3:0", "10.77.0.2:80"), false},
		{"src port 80", flow("10.77.0.3:0", "10.77.0.2:81"), true},
		{"not port 81", flow("10.77.0.3:0", "10.77.0.2:81"), false},
		{"ip6 and port 80", flow("[::]:80", "[::]:0"), true}, {"ip and port 80", flow("[::]:80", "[::]:0"), true},
		{"ip6 and port 80", flow("127.0.0.1:80", ""), false}, {"host ::1", flow("[fd77::1]:80", ""), true},
	} {
		p := compile(t, c.expr, tcp.LinkEthernet)
		if got := p.CouldMatch(c.flow); got != c.want {
			t.Errorf("%q, %v: %v", c.expr, c.flow, got)
		}
	}
}

// A projection says of every tuple what the search says.
func TestProjectAsSearch(t *testing.T) {
	longest := 0
	for _, expr := range filtertest.Expressions {
		p := compile(t, expr, tcp.LinkEthernet)
		for _, ipv4 := range []bool{true, false} {
			projection, ok := p.Project(ipv4)
			if !ok {
				t.Errorf("%q, IPv4 %v: too big", expr, ipv4)
				continue
			}
			if err := filter.Check(projection); err != nil {
				t.Errorf("%q, IPv4 %v: %v", expr, ipv4, err)
			}
			longest = max(longest, len(projection))
			for _, f := range mixedFlows(ipv4) {
				if got, want := filter.RunTuple(projection, f, ipv4), p.Search(f, ipv4); got != want {
					t.Errorf("%q, %v: projection %v, search %v", expr, f, got, want)
				}
			}
		}
	}
	t.Logf("the longest projection has %d instructions", longest)
}

// mixedFlows mixes the ends of all flows of one family.
func mixedFlows(ipv4 bool) (mixed []tcp.Flow) {
	var ends []netip.AddrPort
	for _, f := range flows {
		if f.Local.Addr().Is4() == ipv4 {
			ends = append(ends, f.Local, f.Remote)
		}
	}
	for _, a := range ends {
		for _, b := range ends {
			mixed = append(mixed, tcp.Flow{Local: a, Remote: b})
		}
	}
	return mixed
}

// A program that is no expression's: the projection may say yes more often
// than the search, never less.
func TestProjectOfRandomPrograms(t *testing.T) {
	projected := 0
	packets := map[bool][]filtertest.Packet{
		true: filtertest.OfFlow(tcp.LinkEthernet, flows[0], 50, 1), false: filtertest.OfFlow(tcp.LinkEthernet, flows[5], 50, 1),
	}
	for seed := range uint64(2000) {
		p := &filter.Program{Insns: filtertest.RandomProgram(seed), Link: tcp.LinkEthernet}
		if err := filter.Check(p.Insns); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, ipv4 := range []bool{true, false} {
			f := map[bool]tcp.Flow{true: flows[0], false: flows[5]}[ipv4]
			if anyMatches(p, packets[ipv4]) && !p.CouldMatch(f) {
				t.Fatalf("seed %d, %v: a packet matches\n%v", seed, f, p)
			}
			projection, ok := p.Project(ipv4)
			if !ok {
				continue
			}
			projected++
			for _, f := range mixedFlows(ipv4)[:10] {
				if p.Search(f, ipv4) && !filter.RunTuple(projection, f, ipv4) {
					t.Fatalf("seed %d, %v: the projection misses\n%v", seed, f, p)
				}
			}
		}
	}
	if projected < 3000 {
		t.Errorf("only %d projections", projected)
	}
}

func TestCouldMatchAllocatesNothing(t *testing.T) {
	p := compile(t, "tcp port 80 and host 10.77.0.1", tcp.LinkEthernet)
	p.CouldMatch(flows[0])
	if n := testing.AllocsPerRun(100, func() { p.CouldMatch(flows[0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Jumps over many hosts are longer than a test can jump.
func TestProjectLong(t *testing.T) {
	var hosts []string
	for i := range 200 {
		hosts = append(hosts, fmt.Sprintf("src host 10.%d.0.1", i))
	}
	p := compile(t, "ip and not ("+strings.Join(hosts, " or ")+")", tcp.LinkEthernet)
	projection, ok := p.Project(true)
	if !ok || len(projection) < 200 || filter.Check(projection) != nil {
		t.Fatalf("%d instructions, %v", len(projection), filter.Check(projection))
	}
	for i := range 210 {
		f := flow(fmt.Sprintf("10.%d.0.1:1", i), "10.0.0.9:2")
		if got := filter.RunTuple(projection, f, true); got != (i >= 200) || got != p.Search(f, true) {
			t.Errorf("%v: %v", f, got)
		}
	}
}

// Too much to decide within bounds: then a connection could match.
func TestProjectTooBig(t *testing.T) {
	p := &filter.Program{Insns: deepProgram(), Link: tcp.LinkEthernet}
	if _, ok := p.Project(true); ok {
		t.Error("a projection, where none was expected")
	}
	if !p.CouldMatch(flows[0]) {
		t.Error("could not match, though undecided")
	}
}

// deepProgram remembers the outcome of 14 tests that may go either way.
func deepProgram() (p []filter.Insn) {
	for bit := uint32(1); bit < 1<<14; bit <<= 1 {
		p = append(p,
			filter.Insn{Code: unix.BPF_LD | unix.BPF_LEN},
			filter.Insn{Code: unix.BPF_JMP | unix.BPF_JSET, K: bit, Jf: 3},
			filter.Insn{Code: unix.BPF_LD | unix.BPF_MEM},
			filter.Insn{Code: unix.BPF_ALU | unix.BPF_OR, K: bit},
			filter.Insn{Code: unix.BPF_ST})
	}
	return append(p, filter.Insn{Code: unix.BPF_RET})
}

func BenchmarkCouldMatch(b *testing.B) {
	p := compile(b, "host 10.77.0.2 and not port 22", tcp.LinkEthernet)
	for name, f := range map[string]tcp.Flow{"complete": flows[0], "no-port": flow("10.77.0.1:0", "10.77.0.2:80")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				p.CouldMatch(f)
			}
		})
	}
}
