package kernel_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

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
// its own firewall. Whatever comes in is seen: the very first SYN is held back until
// its answer shows the translation, and is told with the socket's own tuple.
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
		if arrived != sent {
			t.Errorf("the client sent %d packets, %d were seen to arrive", sent, arrived)
		}
		checkHeld(t, s, seen, real)
	})
}

// checkHeld: the SYN stands first, by its time too, and where it stood on the way.
func checkHeld(t *testing.T, s *scene, seen []tcp.Event, real netip.AddrPort) {
	t.Helper()
	syn, answer := &seen[0], &seen[1]
	if syn.Packet.Flags != tcp.SYN || answer.Packet.Flags != tcp.SYN|tcp.ACK || syn.Time >= answer.Time || syn.Packet.Device != "veth0" {
		t.Fatalf("first [%v] on %q, then [%v] %d ns later", syn.Packet.Flags, syn.Packet.Device, answer.Packet.Flags, answer.Time-syn.Time)
	}
	if own := (tcp.Flow{Local: real, Remote: syn.Packet.Flow.Local}); syn.Flow != own {
		t.Errorf("the SYN is for %v, want %v", syn.Flow, own)
	}
	for _, ev := range s.at(lab.Client, tcp.KindPacket) {
		if ev.Packet.Flags == tcp.SYN && (ev.Seq > syn.Seq || ev.Time > syn.Time || ev.Packet.Length != syn.Packet.Length) {
			t.Errorf("the SYN left %d ns before it came, as event %d before %d", syn.Time-ev.Time, ev.Seq, syn.Seq)
		}
	}
}

// TestRefusedBehindTranslation: a SYN that is led to where nobody listens is seen
// too, since this host's own reset answers it.
func TestRefusedBehindTranslation(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		l := newLab(t, lab.Pair)
		client, server := l.Host(lab.Client), l.Host(lab.Server)
		virtual, real := netip.AddrPortFrom(lab.Virtual4, 7999), netip.AddrPortFrom(server.Addr4(), 7999)
		if family == lab.IPv6 {
			virtual, real = netip.AddrPortFrom(lab.Virtual6, 7999), netip.AddrPortFrom(server.Addr6(), 7999)
		}
		if _, err := server.Break(lab.Rule{Hook: lab.Prerouting, ToPort: 7999, To: virtual.Addr(), Action: lab.Translate, Target: real}); err != nil {
			t.Fatal(err)
		}
		var seen []string
		stream := follow(t, kernel.Config{States: true, Packets: true}, func(ev *tcp.Event) {
			if ev.Kind == tcp.KindPacket && ev.Packet.IsTCP && ev.Netns == server.Netns() {
				seen = append(seen, ev.Packet.Dir.String()+" "+ev.Packet.Flags.String())
			}
		}, client, server)
		err := client.Within(func() error {
			c, err := net.Dial("tcp", virtual.String())
			if err == nil {
				c.Close()
			}
			return err
		})
		if !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("connecting gave %v", err)
		}
		stream.drain()
		stream.end()
		if fmt.Sprint(seen) != "[In S Out R.]" {
			t.Errorf("seen at the server: %v", seen)
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
