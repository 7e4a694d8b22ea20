package conn_test

import (
	"fmt"
	"testing"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// TestSameNumberIsNoProof: two SYNs have one number by accident, to the same
// server. The stamps tell them apart.
func TestSameNumberIsNoProof(t *testing.T) {
	s := conntest.New()
	a, b := talking(s, 1, destination), talking(s, 2, destination)
	b.v.Flow = conntest.Flow(virtualAt, "192.0.2.1:1234") // a client elsewhere, to the same end
	b.iss = a.iss
	a.opens()
	a.calls()
	b.called()
	b.answers()
	a.called()
	a.answers()
	a.answered()
	a.up()
	b.accepted(false)
	a.accepted(false)
	tab := conn.New(conn.Options{})
	list, peers := tracked(t, tab, s)
	wantNumbers(t, list, 1, 1, 2, 2, 1, 1, 1, 1, 2, 2, 1, 1)
	if peers[b.v.Cookie] != 0 {
		t.Error("a stranger was joined")
	}
	a.joined(t, peers)
}

// TestTakesAMistakeBack: the same without stamps, one end alike: that is believed
// until the numbers of the other direction are known.
func TestTakesAMistakeBack(t *testing.T) {
	s := conntest.New()
	a, b := talking(s, 1, destination), talking(s, 2, destination)
	b.v.Flow = conntest.Flow(virtualAt, "192.0.2.1:1234")
	b.iss, a.stamp, b.stamp = a.iss, 0, 0
	a.opens()
	a.calls()
	b.called()
	b.answers()
	a.called()
	a.answers()
	a.answered()
	b.answers()
	a.up()
	a.accepted(false)
	b.accepted(false)
	tab := conn.New(conn.Options{})
	list, peers := tracked(t, tab, s)
	if got := numbers(list); fmt.Sprint(got[6:]) != "[1 2 1 1 1 2 2]" {
		t.Errorf("conversations %v", got)
	}
	if peers[b.v.Cookie] != 0 {
		t.Error("a stranger stays joined")
	}
	a.joined(t, peers)
	if tab.Numbered() != 2 {
		t.Errorf("%d conversations", tab.Numbered())
	}
}

// TestProxiesAreTwo: a proxy in user space ends one connection and opens another;
// so does one that shows the server the client's very address (transparent).
func TestProxiesAreTwo(t *testing.T) {
	for name, c := range map[string]struct{ front, back, behind tcp.Flow }{
		"plain": {conntest.Flow(virtualAt, clientAt), conntest.Flow("10.1.0.3:41000", serverAt),
			conntest.Flow(serverAt, "10.1.0.3:41000")},
		"transparent": {conntest.Flow(virtualAt, clientAt), conntest.Flow(clientAt, virtualAt),
			conntest.Flow(virtualAt, clientAt)},
	} {
		for _, packets := range []bool{true, false} {
			for _, far := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/packets %v/client elsewhere %v", name, packets, far), func(t *testing.T) {
					s := conntest.New()
					in, out := talking(s, 1, c.front), talking(s, 2, c.behind)
					in.v.Netns, out.c.Netns, out.c.Flow = 4026532003, 4026532003, c.back
					if !far {
						in.opens()
					}
					if packets && !far {
						in.calls()
					}
					if packets {
						in.called()
						in.answers()
					}
					if !far {
						in.up()
					}
					in.accepted(true)
					out.opens()
					if packets {
						out.calls()
						out.called()
						out.answers()
						out.answered()
					}
					out.up()
					out.accepted(true)
					tab := conn.New(conn.Options{})
					list, peers := tracked(t, tab, s)
					for _, w := range list {
						want := uint64(1)
						if w.cookie == out.c.Cookie || w.cookie == out.v.Cookie || w.ev.Netns == out.v.Netns {
							want = 2
						}
						if w.number != want {
							t.Errorf("%v of %d: conversation %d, want %d", &w, w.cookie, w.number, want)
						}
					}
					if out.joined(t, peers); !far {
						in.joined(t, peers)
					}
				})
			}
		}
	}
}

// TestSynProxies: one that leaves the tuple and the client's number in place makes
// one conversation of two ends; behind translation nothing tells so.
func TestSynProxies(t *testing.T) {
	for _, c := range []struct {
		server tcp.Flow
		want   uint64
	}{{conntest.Flow(virtualAt, clientAt), 1}, {destination, 2}} {
		k := talking(conntest.New(), 1, c.server)
		k.opens()
		k.calls()
		own := k.irs
		k.irs = 77_000_000 // the proxy's
		k.answered()
		k.up()
		k.irs, k.stamp = own, 5
		k.called()
		k.answers()
		k.accepted(false)
		tab := conn.New(conn.Options{})
		list, _ := tracked(t, tab, k.Story)
		for _, w := range list {
			want := uint64(1)
			if w.ev.Netns == k.v.Netns {
				want = c.want
			}
			if w.number != want {
				t.Errorf("%v: %v: conversation %d, want %d", c.server, &w, w.number, want)
			}
		}
	}
}

// TestSameAddressesElsewhere: several networks use the same addresses, and the
// same port at the same time. Sequence numbers tell who talks to whom.
func TestSameAddressesElsewhere(t *testing.T) {
	for _, packets := range []bool{true, false} {
		s := conntest.New()
		var all []*talk
		for i := range uint32(3) {
			k := talking(s, i+1, conntest.Flow(virtualAt, clientAt))
			k.c.Netns, k.v.Netns = 4026532001+2*i, 4026532002+2*i
			all = append(all, k)
		}
		steps := []func(*talk){(*talk).opens, (*talk).calls, (*talk).called, (*talk).answers, (*talk).answered, (*talk).up}
		if !packets {
			steps = []func(*talk){(*talk).opens, (*talk).up}
		}
		for _, step := range append(steps, func(k *talk) { k.accepted(true) }) {
			for _, k := range all {
				step(k)
			}
		}
		tab := conn.New(conn.Options{})
		list, peers := tracked(t, tab, s)
		for _, w := range list {
			if want := uint64(w.ev.Netns-4026532001)/2 + 1; w.number != want {
				t.Errorf("packets %v, %v: conversation %d, want %d", packets, &w, w.number, want)
			}
		}
		for _, k := range all {
			k.joined(t, peers)
		}
	}
}

// TestStrangersWithTheSameAddresses: where only one end of each of two conversations
// is on this host, their tuples being each other's reverse joins nothing.
func TestStrangersWithTheSameAddresses(t *testing.T) {
	for _, c := range []struct{ packets, told bool }{{true, true}, {false, true}, {false, false}} {
		s := conntest.New()
		a, b := talking(s, 1, conntest.Flow(virtualAt, clientAt)), talking(s, 2, conntest.Flow(virtualAt, clientAt))
		a.opens()
		if c.packets {
			a.calls()
			a.answered()
		}
		a.up()
		if c.packets {
			b.called()
			b.answers()
		}
		b.accepted(c.told)
		tab := conn.New(conn.Options{})
		_, peers := tracked(t, tab, s)
		if len(peers) != 0 || tab.Numbered() != 2 {
			t.Errorf("%+v: other ends %v, %d conversations", c, peers, tab.Numbered())
		}
	}
}

// TestOlderIsNoOtherEnd: what existed before the trace cannot have called whom is
// accepted now; of one whose beginning was missed, the numbers tell.
func TestOlderIsNoOtherEnd(t *testing.T) {
	s := conntest.New()
	older := talking(s, 1, conntest.Flow(virtualAt, clientAt))
	older.c.Netns = 4026532009
	s.Kernel(older.c, tcp.KindSocket, conntest.Now(tcp.Established))
	k := talking(s, 2, conntest.Flow(virtualAt, clientAt))
	k.accepted(true)
	_, peers := tracked(t, conn.New(conn.Options{}), s)
	if len(peers) != 0 {
		t.Errorf("other ends %v", peers)
	}

	s = conntest.New()
	older.Story = s
	s.State(older.c, tcp.Established, tcp.CloseWait)
	k = talking(s, 2, conntest.Flow(virtualAt, clientAt))
	k.opens()
	k.up()
	k.accepted(true)
	_, peers = tracked(t, conn.New(conn.Options{}), s)
	k.joined(t, peers)
}

// TestNumbersGoBeforeTheNamespace: of two sockets with the right tuple, one of the
// own namespace, the one whose SYN it was is the other end.
func TestNumbersGoBeforeTheNamespace(t *testing.T) {
	s := conntest.New()
	near := talking(s, 1, conntest.Flow(virtualAt, clientAt))
	near.c.Netns = near.v.Netns
	s.State(near.c, tcp.Established, tcp.CloseWait)
	k := talking(s, 2, conntest.Flow(virtualAt, clientAt))
	k.opens()
	k.calls()
	k.called()
	list, _ := tracked(t, conn.New(conn.Options{}), s)
	wantNumbers(t, list, 1, 2, 2, 2)
}

// TestAmbiguousIsUnknown: two sockets elsewhere have the right tuple, and nothing
// is known of their numbers.
func TestAmbiguousIsUnknown(t *testing.T) {
	s := conntest.New()
	a, b := talking(s, 1, conntest.Flow(virtualAt, clientAt)), talking(s, 2, conntest.Flow(virtualAt, clientAt))
	b.c.Netns = 4026532009
	for _, x := range []*conntest.Socket{a.c, b.c, a.v} {
		s.Kernel(x, tcp.KindSocket, conntest.Now(tcp.Established))
	}
	_, peers := tracked(t, conn.New(conn.Options{}), s)
	if len(peers) != 0 {
		t.Errorf("other ends %v", peers)
	}
}

// TestAnotherUseOfTheTuple: a SYN that nobody answered is not the child's that was
// accepted on the same tuple later.
func TestAnotherUseOfTheTuple(t *testing.T) {
	s := conntest.New()
	lost, k := talking(s, 1, destination), talking(s, 2, destination)
	lost.called()
	k.accepted(true)
	list, _ := tracked(t, conn.New(conn.Options{}), s)
	wantNumbers(t, list, 1, 2, 2)
}

// TestTalksToItself: a socket that has connected to its own address is one end.
func TestTalksToItself(t *testing.T) {
	s := conntest.New()
	self := &conntest.Socket{Cookie: 1, Netns: 1, Flow: conntest.Flow("127.0.0.1:5000", "127.0.0.1:5000"), Loopback: true}
	s.State(self, tcp.Close, tcp.SynSent)
	s.Sends(self, conntest.Header{Flags: conntest.S, Seq: 1000, Options: stamps(5, 0)})
	s.State(self, tcp.SynSent, tcp.SynRecv)
	s.Sends(self, conntest.Header{Flags: conntest.SA, Seq: 1000, Ack: 1001, Options: stamps(5, 5)})
	s.State(self, tcp.SynRecv, tcp.Established, conntest.First(1001, 1001))
	_, peers := tracked(t, conn.New(conn.Options{}), s)
	if peers[1] != 0 {
		t.Error("it is its own other end")
	}
}

// TestAnswerToSomebodyElse: a SYN-ACK that does not acknowledge the caller's SYN is
// not the answer that it waits for.
func TestAnswerToSomebodyElse(t *testing.T) {
	k := talking(conntest.New(), 1, both)
	k.opens()
	k.calls()
	k.Gets(k.c, conntest.Header{Flags: conntest.SA, Seq: 5, Ack: k.iss + 1_000_000})
	k.called()
	list, _ := tracked(t, conn.New(conn.Options{}), k.Story)
	wantNumbers(t, list, times(4, 1)...)
}
