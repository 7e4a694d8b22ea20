package conn_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// bazaar is many conversations at once, in a random order of steps, whose ports and
// addresses are used again as soon as they are free.
type bazaar struct {
	t       *testing.T
	r       *rand.Rand
	tab     *conn.Table
	s       *conntest.Story
	packets bool
	stamps  bool
	loss    int // one event in so many is lost; 0 none
	few     int // the clients' sequence numbers begin at one of so many values; 0 any
	ends    map[uint64]*conn.Conn
	ids     uint32
}

// stall is a place where one conversation at a time is held.
type stall struct {
	port  uint16
	k     *talk
	steps []func()
}

func (b *bazaar) start() uint32 {
	if b.few > 0 {
		return uint32(1+b.r.IntN(b.few)) * 1_000_000
	}
	return b.r.Uint32()
}

// begin sets a conversation up: the router translates one end, or both. Clients
// of two networks have the same addresses.
func (b *bazaar) begin(x *stall) {
	at := func(addr string, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
	}
	client, server, virtual := at("10.1.0.1", x.port/2), at("10.2.0.2", 8080), at("10.9.9.9", 80)
	way := b.r.IntN(3)
	f := tcp.Flow{Local: server, Remote: client}
	if way != 0 {
		f.Remote = at("10.2.0.254", x.port)
	}
	if way == 2 {
		f.Local = virtual
	}
	b.ids++
	k := talking(b.s, b.ids, f)
	k.c.Flow = tcp.Flow{Local: client, Remote: virtual}
	k.c.Netns = 4026532100 + uint32(x.port%2)
	if way == 0 {
		k.v.Netns = 4026532200 + uint32(x.port%2)
	}
	k.iss, k.irs, k.stamp = b.start(), b.r.Uint32(), b.r.Uint32()|1
	if !b.stamps {
		k.stamp = 0
	}
	x.k, x.steps = k, []func(){k.opens, k.up, func() { k.accepted(b.r.IntN(2) > 0) }, k.aborts}
	if b.packets {
		x.steps = []func(){k.opens, k.calls, k.called, k.answers, k.answered, k.up, func() { k.accepted(false) }, k.aborts}
	}
}

func (b *bazaar) step(x *stall) {
	if len(x.steps) == 0 {
		b.begin(x)
	}
	if len(x.steps) == 1 {
		b.judge(x.k)
	}
	b.s.Events = b.s.Events[:0]
	x.steps[0]()
	x.steps = x.steps[1:]
	for _, ev := range b.s.Events {
		if b.loss > 0 && b.r.IntN(b.loss) == 0 {
			continue
		}
		st := b.tab.Apply(ev)
		if c := st.Conn; c != nil && c.Cookie != 0 {
			b.ends[c.Cookie] = c
		}
	}
}

// judge looks at a conversation that is open: its ends are each other's, or, where
// events were lost or numbers are few, at least nobody else's.
func (b *bazaar) judge(k *talk) {
	c, v := b.ends[k.c.Cookie], b.ends[k.v.Cookie]
	delete(b.ends, k.c.Cookie)
	delete(b.ends, k.v.Cookie)
	if c != nil && c.Cookie != k.c.Cookie || v != nil && v.Cookie != k.v.Cookie {
		return // forgotten meanwhile
	}
	sure := b.loss == 0 && b.few == 0
	switch {
	case c == nil || v == nil:
		if sure {
			b.t.Fatalf("sockets %d and %d are not known", k.c.Cookie, k.v.Cookie)
		}
	case c.Peer == v && v.Peer == c && c.Number == v.Number:
	case sure || wrong(c, v) || wrong(v, c):
		b.t.Fatalf("sockets %d and %d: numbers %d and %d, other ends %+v and %+v", c.Cookie, v.Cookie, c.Number, v.Number, c.Peer, v.Peer)
	}
}

func wrong(c, v *conn.Conn) bool { return c.Peer != nil && c.Peer.Socket && c.Peer != v }

// TestBazaar: never a wrong other end, whatever is lost and however many numbers
// are alike; and always the right one where nothing is.
func TestBazaar(t *testing.T) {
	for _, b := range []bazaar{
		{packets: true, stamps: true}, {packets: true}, {},
		{packets: true, stamps: true, loss: 10}, {packets: true, loss: 10}, {loss: 10},
		{packets: true, stamps: true, few: 20}, {packets: true, few: 20}, {few: 20},
	} {
		t.Run(fmt.Sprintf("packets %v, stamps %v, loss 1/%d, %d numbers", b.packets, b.stamps, b.loss, b.few), func(t *testing.T) {
			b.t, b.r, b.ends = t, rand.New(rand.NewPCG(3, 4)), map[uint64]*conn.Conn{}
			b.tab, b.s = conn.New(conn.Options{Linger: time.Second}), conntest.New()
			stalls := make([]stall, 200)
			for i := range stalls {
				stalls[i].port = uint16(20000 + i)
			}
			for range 40_000 {
				b.step(&stalls[b.r.IntN(len(stalls))])
			}
			for i := range stalls {
				for len(stalls[i].steps) > 0 {
					b.step(&stalls[i])
				}
			}
			if b.loss == 0 && b.few == 0 && b.tab.Numbered() != uint64(b.ids) {
				t.Errorf("%d conversations, want %d", b.tab.Numbered(), b.ids)
			}
		})
	}
}
