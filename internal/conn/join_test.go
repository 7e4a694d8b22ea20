package conn_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// talk is one conversation between two sockets of this host whose tuples need not
// be each other's reverse: somebody in between translates.
type talk struct {
	*conntest.Story
	c, v     *conntest.Socket
	iss, irs uint32
	stamp    uint32 // TSval of the client's SYN; 0 no time stamps
}

const (
	clientAt  = "10.1.0.1:40000"
	virtualAt = "10.9.9.9:80"
	routerAt  = "10.2.0.254:50000"
	serverAt  = "10.2.0.2:8080"
)

// talking makes a conversation; server is the server's tuple.
func talking(s *conntest.Story, id uint32, server tcp.Flow) *talk {
	c := &conntest.Socket{Cookie: uint64(2*id + 1), Netns: 4026532001, Flow: conntest.Flow(clientAt, virtualAt), Task: conntest.NC, Device: "veth0"}
	v := &conntest.Socket{Cookie: uint64(2*id + 2), Netns: 4026532002, Flow: server, Task: conntest.Nginx, Device: "eth0"}
	return &talk{Story: s, c: c, v: v, iss: 1_000_000 * (id + 1), irs: 3_000_000_000 + 1_000_000*id, stamp: 700 + id}
}

// The ways that a router may translate, as the server sees them.
var (
	destination = conntest.Flow(serverAt, clientAt)
	source      = conntest.Flow(virtualAt, routerAt)
	both        = conntest.Flow(serverAt, routerAt)
)

func stamps(value, echo uint32) []byte {
	if value == 0 {
		return []byte{2, 4, 5, 180, 1, 3, 3, 7}
	}
	b := binary.BigEndian.AppendUint32([]byte{2, 4, 5, 180, 4, 2, 8, 10}, value)
	return append(binary.BigEndian.AppendUint32(b, echo), 1, 3, 3, 7)
}

func (k *talk) syn() conntest.Header {
	return conntest.Header{Flags: conntest.S, Seq: k.iss, Window: 64240, Options: stamps(k.stamp, 0)}
}

func (k *talk) synAck() conntest.Header {
	h := conntest.Header{Flags: conntest.SA, Seq: k.irs, Ack: k.iss + 1, Window: 65160}
	if h.Options = stamps(0, 0); k.stamp != 0 {
		h.Options = stamps(99, k.stamp)
	}
	return h
}

// The steps of a handshake, as a trace with packets tells them.
func (k *talk) opens()  { k.State(k.c, tcp.Close, tcp.SynSent, conntest.By(k.c.Task)) }
func (k *talk) calls()  { k.Sends(k.c, k.syn()) }
func (k *talk) called() { k.Gets(k.v, k.syn()) }
func (k *talk) answers() {
	k.Sends(k.v, k.synAck(), conntest.Forgotten)
}
func (k *talk) answered() { k.Gets(k.c, k.synAck()) }
func (k *talk) up() {
	k.State(k.c, tcp.SynSent, tcp.Established, conntest.First(k.iss+1, k.irs+1))
}

// accepted is the child: told is what timeline.Hold adds to the first transition.
func (k *talk) accepted(told bool) {
	if told {
		k.State(k.v, tcp.Listen, tcp.SynRecv, conntest.First(k.irs+1, k.iss+1))
	} else {
		k.State(k.v, tcp.Listen, tcp.SynRecv)
	}
	k.State(k.v, tcp.SynRecv, tcp.Established, conntest.First(k.irs+1, k.iss+1))
}

func (k *talk) aborts() {
	k.State(k.c, tcp.Established, tcp.Close, conntest.By(k.c.Task))
	k.State(k.v, tcp.Established, tcp.Close, conntest.Errno(104))
}

// whole is everything, with packets.
func (k *talk) whole() {
	for _, step := range []func(){k.opens, k.calls, k.called, k.answers, k.answered, k.up} {
		step()
	}
	k.accepted(false)
	k.aborts()
}

// silent is everything without packets.
func (k *talk) silent(told bool) {
	k.opens()
	k.up()
	k.accepted(told)
	k.aborts()
}

// numbers are the conversations of a story's events, in order.
func numbers(list []told) (n []uint64) {
	for _, w := range list {
		n = append(n, w.number)
	}
	return n
}

func wantNumbers(t *testing.T, list []told, want ...uint64) {
	t.Helper()
	if got := numbers(list); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("conversations %v, want %v", got, want)
	}
}

// tracked applies a story and says whom each socket has for its other end at last.
func tracked(t *testing.T, tab *conn.Table, s *conntest.Story) (list []told, peers map[uint64]uint64) {
	t.Helper()
	ends := map[uint64]*conn.Conn{}
	for _, ev := range s.Events {
		w := apply(t, tab, &conntest.Story{Events: []*tcp.Event{ev}})[0]
		if w.cookie != 0 {
			ends[w.cookie] = w.Conn
		}
		list = append(list, w)
	}
	peers = map[uint64]uint64{}
	for cookie, c := range ends {
		if c.Peer != nil {
			peers[cookie] = c.Peer.Cookie
		}
	}
	return list, peers
}

// joined wants the two sockets to be each other's other end.
func (k *talk) joined(t *testing.T, peers map[uint64]uint64) {
	t.Helper()
	if peers[k.c.Cookie] != k.v.Cookie || peers[k.v.Cookie] != k.c.Cookie {
		t.Errorf("sockets %d and %d: other ends %v", k.c.Cookie, k.v.Cookie, peers)
	}
}

func times(n int, number uint64) (list []uint64) {
	for range n {
		list = append(list, number)
	}
	return list
}

// TestJoinsBehindARouter: from the SYN on, both ends have one number.
func TestJoinsBehindARouter(t *testing.T) {
	for name, c := range map[string]struct {
		server tcp.Flow
		stamp  uint32
	}{
		"destination": {destination, 700}, "source": {source, 700}, "both": {both, 700},
		"destination, no stamps": {destination, 0}, "source, no stamps": {source, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tab := conn.New(conn.Options{})
			k := talking(conntest.New(), 1, c.server)
			k.stamp = c.stamp
			k.whole()
			list, peers := tracked(t, tab, k.Story)
			wantNumbers(t, list, times(10, 1)...)
			k.joined(t, peers)
			if tab.Numbered() != 1 {
				t.Errorf("%d conversations", tab.Numbered())
			}
		})
	}
}

// TestJoinsAtTheSynAck: no time stamps, and both ends translated. The SYN's number
// alone is no proof; that of both directions is.
func TestJoinsAtTheSynAck(t *testing.T) {
	tab := conn.New(conn.Options{})
	k := talking(conntest.New(), 1, both)
	k.stamp = 0
	k.whole()
	list, peers := tracked(t, tab, k.Story)
	wantNumbers(t, list, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1)
	k.joined(t, peers)
	if tab.Numbered() != 1 {
		t.Errorf("%d conversations", tab.Numbered())
	}
}

// TestJoinsWithoutPackets: by the kernel's own numbers alone.
func TestJoinsWithoutPackets(t *testing.T) {
	for _, told := range []bool{true, false} {
		tab := conn.New(conn.Options{})
		k := talking(conntest.New(), 1, both)
		k.silent(told)
		list, peers := tracked(t, tab, k.Story)
		want := []uint64{1, 1, 1, 1, 1, 1}
		if !told {
			want[2] = 2
		}
		wantNumbers(t, list, want...)
		k.joined(t, peers)
		if tab.Numbered() != 1 {
			t.Errorf("%d conversations", tab.Numbered())
		}
	}
}

// TestJoinsAHiddenSYN: the server's own firewall translates, and the SYN was not
// seen there: the SYN-ACK acknowledges its number and echoes its stamp.
func TestJoinsAHiddenSYN(t *testing.T) {
	tab := conn.New(conn.Options{})
	k := talking(conntest.New(), 1, both)
	k.opens()
	k.calls()
	k.answers()
	k.answered()
	list, _ := tracked(t, tab, k.Story)
	wantNumbers(t, list, 1, 1, 1, 1)
}

// TestJoinsTheSYNThatCameAgain, although its stamp has changed since.
func TestJoinsTheSYNThatCameAgain(t *testing.T) {
	tab := conn.New(conn.Options{})
	k := talking(conntest.New(), 1, both)
	k.opens()
	k.calls()
	k.stamp += 1000
	k.calls()
	k.called()
	k.called()
	list, _ := tracked(t, tab, k.Story)
	wantNumbers(t, list, 1, 1, 1, 1, 1)
}

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

// TestFastOpen: data on the SYN, and an answer before the handshake's end, shift
// what the kernel takes for the first numbers.
func TestFastOpen(t *testing.T) {
	k := talking(conntest.New(), 1, both)
	k.opens()
	k.calls()
	k.called()
	k.State(k.v, tcp.Listen, tcp.SynRecv)
	k.Sends(k.v, k.synAck())
	k.answered()
	k.State(k.c, tcp.SynSent, tcp.Established, conntest.First(k.iss+301, k.irs+1))
	k.State(k.v, tcp.SynRecv, tcp.Established, conntest.First(k.irs+501, k.iss+301))
	list, peers := tracked(t, conn.New(conn.Options{}), k.Story)
	wantNumbers(t, list, times(8, 1)...)
	k.joined(t, peers)
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

// TestRequestSocketWithACookie: whoever asks a request socket for its cookie (ss
// does) has the child inherit it.
func TestRequestSocketWithACookie(t *testing.T) {
	k := talking(conntest.New(), 1, destination)
	k.called()
	k.Sends(k.v, k.synAck(), conntest.Now(tcp.NewSynRecv))
	k.accepted(true)
	list, _ := tracked(t, conn.New(conn.Options{}), k.Story)
	wantNumbers(t, list, 1, 1, 1, 1)
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

// TestBothOpenAtOnce, through translation: each end's SYN reaches the other.
func TestBothOpenAtOnce(t *testing.T) {
	s := conntest.New()
	k := talking(s, 1, both)
	established := func(a *conntest.Socket, own, peers uint32) {
		s.State(a, tcp.SynSent, tcp.SynRecv)
		s.State(a, tcp.SynRecv, tcp.Established, conntest.First(own, peers))
	}
	s.State(k.c, tcp.Close, tcp.SynSent)
	s.State(k.v, tcp.Close, tcp.SynSent)
	established(k.c, k.iss+1, k.irs+1)
	established(k.v, k.irs+1, k.iss+1)
	tab := conn.New(conn.Options{})
	_, peers := tracked(t, tab, s)
	k.joined(t, peers)
	if tab.Numbered() != 1 {
		t.Errorf("%d conversations", tab.Numbered())
	}
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

// TestRouterSeesBothSides: with -i, what a router passes on is one conversation on
// both of its sides, whether an end is on this host or not.
func TestRouterSeesBothSides(t *testing.T) {
	for _, here := range []bool{true, false} {
		s := conntest.New()
		k := talking(s, 1, both)
		router := uint32(4026532003)
		in := &conntest.Socket{Netns: router, Flow: k.c.Flow.Reverse(), Device: "eth0"}
		out := &conntest.Socket{Netns: router, Flow: k.v.Flow.Reverse(), Device: "eth1"}
		if here {
			k.opens()
			k.calls()
		}
		s.Gets(in, k.syn())
		s.Sends(out, k.syn())
		if here {
			k.called()
			k.answers()
		}
		s.Gets(out, k.synAck())
		s.Sends(in, k.synAck())
		if here {
			k.answered()
			k.up()
			k.accepted(false)
		}
		tab := conn.New(conn.Options{})
		list, peers := tracked(t, tab, s)
		wantNumbers(t, list, times(len(list), 1)...)
		if here {
			k.joined(t, peers)
		}
		if tab.Numbered() != 1 {
			t.Errorf("%d conversations", tab.Numbered())
		}
	}
}

// TestSightingsOnTheWayAreNoOtherEnds: where packets alone are shown, and those on
// their way through a router too, the two sockets are each other's other ends.
func TestSightingsOnTheWayAreNoOtherEnds(t *testing.T) {
	for _, server := range []tcp.Flow{conntest.Flow(virtualAt, clientAt), both} {
		for _, sides := range []string{"in", "out", "in out"} {
			s := conntest.New()
			k := talking(s, 1, server)
			in := &conntest.Socket{Netns: 4026532003, Flow: k.c.Flow.Reverse(), Device: "eth0"}
			out := &conntest.Socket{Netns: 4026532003, Flow: k.v.Flow.Reverse(), Device: "eth1"}
			k.calls()
			if strings.Contains(sides, "in") {
				s.Gets(in, k.syn())
			}
			if strings.Contains(sides, "out") {
				s.Sends(out, k.syn())
			}
			k.called()
			k.answers()
			k.answered()
			s.Sends(k.v, conntest.Header{Flags: conntest.PA, Seq: k.irs + 1, Ack: k.iss + 1, Len: 10})
			list, peers := tracked(t, conn.New(conn.Options{}), s)
			wantNumbers(t, list, times(len(list), 1)...)
			k.joined(t, peers)
		}
	}
}

// TestSightingsInMidStream: the same where the trace begins later, without translation.
func TestSightingsInMidStream(t *testing.T) {
	s := conntest.New()
	k := talking(s, 1, conntest.Flow(virtualAt, clientAt))
	in := &conntest.Socket{Netns: 4026532003, Flow: k.v.Flow, Device: "eth0"}
	out := &conntest.Socket{Netns: 4026532003, Flow: k.c.Flow, Device: "eth1"}
	there := conntest.Header{Flags: conntest.PA, Seq: 1, Ack: 1, Len: 10}
	s.Sends(k.c, there)
	s.Gets(in, there)
	s.Sends(out, there)
	s.Gets(k.v, there)
	s.Sends(k.v, conntest.Header{Flags: conntest.PA, Seq: 1, Ack: 11, Len: 10})
	list, peers := tracked(t, conn.New(conn.Options{}), s)
	wantNumbers(t, list, times(len(list), 1)...)
	k.joined(t, peers)
}

// TestPortReuseBehindARouter: the same tuples again and again.
func TestPortReuseBehindARouter(t *testing.T) {
	for _, packets := range []bool{true, false} {
		tab := conn.New(conn.Options{})
		for round := range uint32(5) {
			k := talking(conntest.New(), round+1, both)
			if packets {
				k.whole()
			} else {
				k.silent(true)
			}
			list, peers := tracked(t, tab, k.Story)
			wantNumbers(t, list, times(len(list), uint64(round+1))...)
			k.joined(t, peers)
		}
	}
}
