package filter_test

import (
	"testing"

	"tcpstory/internal/filter"
	"tcpstory/internal/filter/filtertest"
	"tcpstory/internal/tcp"
)

// Every expression selects the packets that tcpdump selects, one by one.
func TestMatchAsTcpdump(t *testing.T) {
	for _, link := range []tcp.LinkType{tcp.LinkEthernet, tcp.LinkRaw} {
		packets := filtertest.Packets(link, 3000, 7)
		judge := filtertest.NewTcpdump(t, link, packets)
		useful := 0
		for _, expr := range filtertest.Expressions {
			if compareWithTcpdump(t, judge, expr, link, packets) > 0 {
				useful++
			}
		}
		t.Logf("link type %d: %d of %d expressions select something", link, useful, len(filtertest.Expressions))
		if useful < len(filtertest.Expressions)*2/3 {
			t.Errorf("link type %d: the packets are too poor a test", link)
		}
	}
}

func compareWithTcpdump(t *testing.T, judge filtertest.Tcpdump, expr string, link tcp.LinkType, packets []filtertest.Packet) (matches int) {
	t.Helper()
	want, refused := judge.Selects(expr)
	p, err := filter.Compile(expr, link)
	if err != nil || p.RejectsAll() {
		if refused == nil {
			t.Errorf("link type %d, %q: we say %v, tcpdump accepts it", link, expr, err)
		}
		return 0
	}
	if refused != nil {
		t.Errorf("link type %d, %q: tcpdump says %v", link, expr, refused)
		return 0
	}
	for i, packet := range packets {
		got := p.Match(packet.Frame, packet.Wire)
		if got != want[i] {
			t.Fatalf("link type %d, %q, packet %d (%d of %d bytes) %x: we say %v", link, expr, i, len(packet.Frame), packet.Wire, packet.Frame, got)
		}
		if got {
			matches++
		}
	}
	return matches
}

func TestMatchAllocatesNothing(t *testing.T) {
	p := compile(t, "tcp port 80 and host 10.77.0.1", tcp.LinkEthernet)
	packets := filtertest.Packets(tcp.LinkEthernet, 100, 1)
	if n := testing.AllocsPerRun(100, func() {
		for _, packet := range packets {
			p.Match(packet.Frame, packet.Wire)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func compile(t testing.TB, expr string, link tcp.LinkType) *filter.Program {
	t.Helper()
	p, err := filter.Compile(expr, link)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func BenchmarkMatch(b *testing.B) {
	packets := filtertest.Packets(tcp.LinkEthernet, 256, 1)
	for _, expr := range []string{"tcp", "tcp port 80", "host 10.77.0.2 and not port 22", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0"} {
		p := compile(b, expr, tcp.LinkEthernet)
		b.Run(expr, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				packet := &packets[i&255]
				p.Match(packet.Frame, packet.Wire)
			}
		})
	}
}
