package conn

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// check verifies what must hold between any two events.
func (t *Table) check(tb testing.TB) {
	tb.Helper()
	for _, l := range []*list{&t.live, &t.loose, &t.ended, &t.dues.waiting, &t.dues.others} {
		n := 0
		for c := l.first; c != nil; c = c.next {
			n++
			if c.list != l || c.next != nil && c.next.prev != c {
				tb.Fatal("broken list")
			}
			if b := c.predecessor(); b != nil && b.predecessor() != nil {
				tb.Fatal("succession without an end")
			}
			if c.place != 0 && t.dues.heap[c.place-1] != c {
				tb.Fatal("lost in the heap")
			}
			if c.stands != (l == &t.dues.waiting || c.place != 0) {
				tb.Fatalf("%v in %v stands: %v", c.State, c.why, c.stands)
			}
			if l == &t.dues.waiting && c.next != nil && c.next.due < c.due {
				tb.Fatal("TIME_WAITs out of order")
			}
			if c.Peer != nil && c.Peer.Peer != c {
				tb.Fatal("one-sided peers")
			}
		}
		if n != l.n {
			tb.Fatalf("list of %d says %d", n, l.n)
		}
	}
	for i, c := range t.dues.heap {
		if c.list == nil || int(c.place) != i+1 || i > 0 && t.dues.heap[(i-1)/2].due > c.due {
			tb.Fatal("broken heap")
		}
	}
	for k, head := range t.index {
		for n := head; n != nil; n = n.next {
			if !n.linked || n.key != k || n.conn.list == nil {
				tb.Fatal("index holds a stray")
			}
		}
	}
	for cookie, c := range t.cookies.All {
		if c.Cookie != cookie || c.list == nil {
			tb.Fatal("cookie of a stray")
		}
	}
	for place, n := range t.cookies.near {
		if n.of != nil && (t.cookies.All[n.cookie] != n.of || n.cookie%uint64(len(t.cookies.near)) != uint64(place)) {
			tb.Fatal("a stray is at hand")
		}
	}
}

// noise makes events that make no sense, on few tuples, so that they collide.
func noise(r *rand.Rand, ev *tcp.Event) {
	addr := func() netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(3))}), uint16(r.IntN(4)))
	}
	*ev = tcp.Event{
		Time: ev.Time + int64(r.IntN(int(time.Second))) - int64(time.Second/10), Kind: tcp.Kind(r.IntN(int(tcp.KindPlace) + 1)),
		Cookie: uint64(r.IntN(12)), Netns: uint32(r.IntN(3)), Flow: tcp.Flow{Local: addr(), Remote: addr()},
		Old: tcp.State(r.IntN(13)), New: tcp.State(r.IntN(13)), ISN: uint32(r.IntN(3)), PeerISN: uint32(r.IntN(3)),
	}
	if ev.Kind == tcp.KindState && ev.New == tcp.Close || ev.Kind == tcp.KindSocket {
		ev.Minisock = []tcp.State{tcp.StateUnknown, tcp.TimeWait, tcp.FinWait2, tcp.Close}[r.IntN(4)]
	}
	if r.IntN(3) == 0 {
		ev.Timer = tcp.Timer{Tick: 4 * time.Millisecond, Now: uint32(ev.Time / 4e6), Expires: uint32(ev.Time/4e6) + uint32(r.IntN(2000))}
	}
	p := &ev.Packet
	p.Flow, p.Quoted = tcp.Flow{Local: addr(), Remote: addr()}, tcp.Flow{Local: addr(), Remote: addr()}
	p.IsTCP, p.IsQuote, p.Asked, p.Loopback = r.IntN(8) > 0, r.IntN(2) > 0, r.IntN(8) > 0, r.IntN(2) > 0
	p.Dir, p.Flags, p.Seq, p.Ack = tcp.Direction(r.IntN(6)), tcp.Flags(r.IntN(32)), uint32(r.IntN(3)), uint32(r.IntN(3))
}

func TestSurvivesNonsense(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tab := New(Options{Linger: 5 * time.Second, Idle: 5 * time.Second, MaxEnded: 5, MaxLoose: 6, Max: 12,
		Filter: func(f tcp.Flow) bool { return f.Local.Port() != 3 }})
	var ev tcp.Event
	inferred := 0
	for range 300_000 {
		noise(r, &ev)
		_ = tab.Tell(&ev, func(s *Step) error {
			if s.Conn != nil && s.Conn.list == nil {
				t.Fatalf("%+v: step names a forgotten connection", ev)
			}
			if s.Event.Inferred {
				inferred++
			}
			return nil
		})
		tab.check(t)
		if tab.Len() > 12+2 || tab.ended.n > 7 || tab.loose.n > 8 {
			t.Fatalf("%d connections, %d ended, %d loose", tab.Len(), tab.ended.n, tab.loose.n)
		}
	}
	if inferred < 1000 {
		t.Errorf("%d transitions inferred", inferred)
	}
}

func TestForgetsTheOldestSocket(t *testing.T) {
	tab := New(Options{Max: 100})
	s := conntest.New()
	for port := uint16(1); port <= 200; port++ { // their CLOSE never comes
		c, _ := conntest.Hosts(port)
		s.State(c, tcp.Established, tcp.CloseWait)
		if port > 1 {
			first, _ := conntest.Hosts(1)
			s.State(first, tcp.CloseWait, tcp.CloseWait)
		}
	}
	for _, ev := range s.Events {
		tab.Apply(ev)
	}
	tab.check(t)
	if tab.Len() > 101 || tab.Forgotten() < 99 {
		t.Errorf("%d kept, %d forgotten", tab.Len(), tab.Forgotten())
	}
	first, _ := conntest.Hosts(1)
	if tab.cookies.Find(first.Cookie) == nil {
		t.Error("forgot a socket that was just heard of")
	}
}

// churn replays whole connections, each with new ports and cookies.
type churn struct {
	tab    *Table
	events []*tcp.Event
	round  uint64
	at     int
	bias   int64
	ev     tcp.Event
}

func newChurn(ends func(uint16) (*conntest.Socket, *conntest.Socket)) *churn {
	c, v := ends(1)
	return &churn{tab: New(Options{MaxEnded: 1 << 12}), events: conntest.Whole(c, v).Events}
}

func (x *churn) next() {
	if x.at == len(x.events) {
		x.at = 0
		x.round++
		x.bias += 50_000
	}
	x.ev = *x.events[x.at]
	ev := &x.ev
	x.at++
	ev.Time += x.bias
	if ev.Cookie != 0 {
		ev.Cookie += x.round << 20
	}
	ev.Flow, ev.Packet.Flow = x.shift(ev.Flow), x.shift(ev.Packet.Flow)
	ev.Packet.Seq += uint32(x.round) * 9973
	ev.Packet.Ack += uint32(x.round) * 9973
	if ev.ISN != 0 {
		ev.ISN += uint32(x.round) * 9973
		ev.PeerISN += uint32(x.round) * 9973
	}
	x.tab.Apply(ev)
}

// routed is as conntest.Hosts, with a router between them that translates.
func routed(port uint16) (client, server *conntest.Socket) {
	c, v := conntest.Hosts(port)
	c.Flow.Remote = netip.MustParseAddrPort("10.99.0.9:443")
	return c, v
}

// only are the events of one namespace.
func only(list []*tcp.Event, netns uint32) (kept []*tcp.Event) {
	for _, ev := range list {
		if ev.Netns == netns {
			kept = append(kept, ev)
		}
	}
	return kept
}

// shift gives the client's end, port 1, the round's port.
func (x *churn) shift(f tcp.Flow) tcp.Flow {
	port := uint16(1024 + x.round%30000)
	if f.Local.Port() == 1 {
		f.Local = netip.AddrPortFrom(f.Local.Addr(), port)
	} else if f.Remote.Port() == 1 {
		f.Remote = netip.AddrPortFrom(f.Remote.Addr(), port)
	}
	return f
}

func TestApplyDoesNotAllocate(t *testing.T) {
	for _, ends := range []func(uint16) (*conntest.Socket, *conntest.Socket){conntest.Hosts, conntest.SameHost, routed} {
		x := newChurn(ends)
		for range 200_000 {
			x.next()
		}
		thousand := func() {
			for range 1000 {
				x.next()
			}
		}
		if n := testing.AllocsPerRun(300, thousand); n != 0 {
			t.Errorf("%v allocations in 1000 events", n)
		}
		x.tab.check(t)
	}
}

func benchmark(b *testing.B, x *churn) {
	for range 200_000 {
		x.next()
	}
	b.ReportAllocs()
	for b.Loop() {
		x.next()
	}
}

func BenchmarkApplyTwoHosts(b *testing.B) { benchmark(b, newChurn(conntest.Hosts)) }
func BenchmarkApplyLoopback(b *testing.B) { benchmark(b, newChurn(conntest.SameHost)) }
func BenchmarkApplyRouted(b *testing.B)   { benchmark(b, newChurn(routed)) }

// One end alone is on this host.
func BenchmarkApplyClient(b *testing.B) { benchmarkEnd(b, true) }
func BenchmarkApplyServer(b *testing.B) { benchmarkEnd(b, false) }

func benchmarkEnd(b *testing.B, client bool) {
	x := newChurn(conntest.Hosts)
	c, v := conntest.Hosts(1)
	if !client {
		c = v
	}
	x.events = only(x.events, c.Netns)
	benchmark(b, x)
}
