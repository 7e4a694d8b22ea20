package kernel_test

import (
	"net/netip"
	"testing"

	"tcpstory/internal/kernel"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// TestTranslatedAtTheClient: what leaves carries the socket's own flow, although
// the wire shows another; what comes carries the wire's.
func TestTranslatedAtTheClient(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		s := actOut(t, "dnat-client", family)
		virtual := lab.Virtual4
		if family == lab.IPv6 {
			virtual = lab.Virtual6
		}
		server := netip.AddrPortFrom(s.lab.Host(lab.Server).Addr(family), s.story.Port)
		cookie := s.at(lab.Client, tcp.KindState)[0].Cookie
		out, in := 0, 0
		for _, ev := range s.at(lab.Client, tcp.KindPacket) {
			p := &ev.Packet
			switch {
			case !p.IsTCP:
			case p.Dir == tcp.DirOut:
				out++
				if own := (tcp.Flow{Local: p.Flow.Local, Remote: netip.AddrPortFrom(virtual, s.story.Port)}); ev.Flow != own || p.Flow.Remote != server {
					t.Errorf("[%v] out: the socket's flow is %v, the wire's %v", p.Flags, ev.Flow, p.Flow)
				}
				// The last ACK leaves when the socket is a minisock already: still the same cookie.
				if ev.Cookie != cookie {
					t.Errorf("[%v] out has cookie %d, the socket %d", p.Flags, ev.Cookie, cookie)
				}
			default:
				in++
				if p.Flow.Local != server || ev.Cookie != 0 {
					t.Errorf("[%v] in: from %v, cookie %d", p.Flags, p.Flow.Local, ev.Cookie)
				}
			}
		}
		if out < 5 || in < 4 {
			t.Errorf("%d packets out and %d in", out, in)
		}
	})
}

// TestRedirectedAtTheServer: a port of the server's own address leads to another.
func TestRedirectedAtTheServer(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		l := newLab(t, lab.Pair)
		tr := &traffic{client: l.Host(lab.Client), server: l.Host(lab.Server), family: family, workers: 1, closers: fourWay[:1]}
		tr.prepare(t)
		real := tr.lanes[0][0].server
		public := netip.AddrPortFrom(real.Addr(), real.Port()^1)
		if _, err := tr.server.Break(lab.Rule{Hook: lab.Prerouting, ToPort: public.Port(), To: real.Addr(), Action: lab.Translate, Target: real}); err != nil {
			t.Fatal(err)
		}
		var seen []tcp.Event
		stream := follow(t, kernel.Config{States: true, Packets: true}, func(ev *tcp.Event) {
			if ev.Kind == tcp.KindPacket && ev.Packet.IsTCP {
				seen = append(seen, *ev)
			}
		}, tr.server)
		tr.lanes[0][0].server = public
		tr.run(t, 1)
		quiet(t, tr.client, tr.server)
		stream.drain()
		stream.end()
		checkRedirected(t, seen, real, public)
	})
}

func checkRedirected(t *testing.T, seen []tcp.Event, real, public netip.AddrPort) {
	t.Helper()
	ways := map[tcp.Direction]int{}
	for _, ev := range seen {
		p := &ev.Packet
		ways[p.Dir]++
		switch {
		case p.Dir == tcp.DirIn && p.Flow.Remote != public:
			t.Errorf("[%v] in goes to %v, want %v", p.Flags, p.Flow.Remote, public)
		case p.Dir == tcp.DirOut && (p.Flow.Local != public || ev.Flow.Local != real):
			t.Errorf("[%v] out: the socket's flow is %v, the wire's %v", p.Flags, ev.Flow, p.Flow)
		case p.Dir == tcp.DirOut && ev.Cookie == 0 && !p.Flags.Has(tcp.SYN):
			t.Errorf("[%v] out has no cookie", p.Flags)
		}
	}
	if ways[tcp.DirIn] < 4 || ways[tcp.DirOut] < 4 {
		t.Errorf("seen %v", ways)
	}
}

// TestTranslatedAtTheServer: an address that is not the server's is led to it by
// its own firewall. What comes in is known to be the server's as soon as an
// answer has shown the translation: the very first SYN is not.
func TestTranslatedAtTheServer(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		s := actOut(t, "dnat-server", family)
		virtual := lab.Virtual4
		if family == lab.IPv6 {
			virtual = lab.Virtual6
		}
		real := netip.AddrPortFrom(s.lab.Host(lab.Server).Addr(family), s.story.Port)
		public := netip.AddrPortFrom(virtual, s.story.Port)
		var seen []tcp.Event
		for _, ev := range s.at(lab.Server, tcp.KindPacket) {
			if ev.Packet.IsTCP {
				seen = append(seen, ev)
			}
		}
		checkRedirected(t, seen, real, public)
		sent := 0
		for _, ev := range s.at(lab.Client, tcp.KindPacket) {
			if ev.Packet.IsTCP && ev.Packet.Dir == tcp.DirOut {
				sent++
			}
		}
		arrived := len(seen) - countOut(seen)
		if arrived < sent-1 {
			t.Errorf("the client sent %d packets, %d were seen to arrive", sent, arrived)
		}
	})
}

func countOut(list []tcp.Event) (n int) {
	for _, ev := range list {
		if ev.Packet.Dir == tcp.DirOut {
			n++
		}
	}
	return n
}
