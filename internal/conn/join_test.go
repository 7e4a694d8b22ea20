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
