package diagnose_test

import (
	"strings"
	"testing"
	"time"

	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

const icmpUnreachable, icmpProhibited = 1, 13 // RFC 792, 1812: codes of type 3

// openingMisses are those of a client's attempt that meets with something: it hangs
// for a while, or its program gives up soon.
var openingMisses = func() (list []nearMiss) {
	for _, m := range []struct {
		rule  string
		meets func(*scene)
	}{
		{"syn-unanswered", (*scene).calls},
		{"syn-blocked-locally", func(s *scene) { s.fails(tcp.DirOut, conntest.S, "NETFILTER_DROP") }},
		{"neighbour-unresolved", func(s *scene) { s.fails(tcp.DirOut, conntest.S, "NEIGH_FAILED") }},
		{"synack-dropped-locally", func(s *scene) {
			s.calls()
			s.Gets(s.c, conntest.Header{Flags: conntest.SA, Seq: 5000, Ack: 1001, Window: 65160, Options: conntest.SynOptions})
			s.fails(tcp.DirIn, conntest.SA, "NETFILTER_DROP")
		}},
		{"prohibited", func(s *scene) { s.calls(); s.complains(icmpProhibited) }},
		{"unreachable", func(s *scene) { s.calls(); s.complains(icmpUnreachable) }},
	} {
		list = append(list, nearMiss{m.rule, "in this state", nil, func(percent int) *scene {
			return attempt(m.meets, 1, scaled(limits.After, percent))
		}}, nearMiss{m.rule, "given up", nil, func(percent int) *scene {
			return attempt(m.meets, pick(percent, givenUp), time.Second)
		}})
	}
	return list
}()

// givenUp is how many SYNs a program must have waited for that gives up by itself.
const givenUp = 2

// attempt is a connect() of n SYNs in some time, which its program then gives up.
func attempt(meets func(*scene), n uint32, lasting time.Duration) *scene {
	c, v := conntest.Hosts(40000)
	s := &scene{Story: conntest.New(), c: c, v: v}
	s.State(c, tcp.Close, tcp.SynSent, conntest.By(c.Task))
	for range n {
		meets(s)
		s.Wait(lasting / time.Duration(n))
	}
	s.State(c, tcp.SynSent, tcp.Close, conntest.By(c.Task))
	return s
}

// calls is a SYN that leaves the client.
func (s *scene) calls() {
	s.Sends(s.c, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
}

// fails is a segment of the handshake that the client's kernel throws away.
func (s *scene) fails(dir tcp.Direction, f tcp.Flags, reason string) {
	s.Kernel(s.c, tcp.KindDrop, conntest.Reason(reason), conntest.Segment(dir, f, 1000, 0))
}

// complains is an ICMP error about the client's SYN.
func (s *scene) complains(code byte) {
	frame := conntest.Unreachable("10.77.0.254:0", s.c.Flow, conntest.Header{Flags: conntest.S, Seq: 1000})
	const codeAt = 14 + 20 + 1
	frame[codeAt] = code
	ev := s.Add(&tcp.Event{Kind: tcp.KindPacket, Netns: s.c.Netns})
	ev.Packet.Asked, ev.Packet.Dir, ev.Packet.Device, ev.Packet.Link = true, tcp.DirIn, s.c.Device, tcp.LinkEthernet
	ev.Packet.Frame, ev.Packet.Length = frame, uint32(len(frame))
	ev.Packet.Decode()
}

// listeningMisses are those of what a server's host does with SYNs, and of what comes
// of its answers.
var listeningMisses = []nearMiss{
	{"syn-dropped-locally", "SYN", nil, func(percent int) *scene { // a later one comes through
		s := reception(1, scaled(limits.After, percent), func(s *scene) {
			s.Kernel(s.v, tcp.KindDrop, conntest.Reason("NETFILTER_DROP"), conntest.Segment(tcp.DirIn, conntest.S, 1000, 0))
		})
		s.arrives()
		s.welcomes()
		return s.gone()
	}},
	{"accept-queue-full", "or one", nil, func(percent int) *scene {
		return reception(1, scaled(limits.After, percent), counts(tcp.Stack{ListenOverflows: 1})).gone()
	}},
	{"accept-queue-full", "that nobody", nil, func(percent int) *scene {
		return deserted(pick(percent, limits.Syns), tcp.Stack{ListenOverflows: 1})
	}},
	{"syn-queue-full", "or one", nil, func(percent int) *scene {
		return reception(1, scaled(limits.After, percent), counts(tcp.Stack{ReqQFullDrop: 1})).gone()
	}},
	{"syn-queue-full", "that nobody", nil, func(percent int) *scene {
		return deserted(pick(percent, limits.Syns), tcp.Stack{ReqQFullDrop: 1})
	}},
	{"synack-unanswered", "half open", nil, func(percent int) *scene {
		s := reception(1, time.Second, (*scene).welcomes)
		s.welcomesAgain()
		s.Wait(scaled(limits.After, percent) - time.Second)
		return s.gone()
	}},
	{"synack-unanswered", "SYN-ACKs", nil, func(percent int) *scene {
		s := reception(1, time.Second, (*scene).welcomes)
		if pick(percent, 2) == 2 {
			s.welcomesAgain()
		}
		s.Wait(2 * limits.After)
		s.moves(tcp.Stack{})
		return s
	}},
}

// reception is n SYNs in some time at the server's host, and what its kernel does with them.
func reception(n uint32, lasting time.Duration, does func(*scene)) *scene {
	c, v := conntest.Hosts(40000)
	v.Cookie = 0 // no socket
	s := &scene{Story: conntest.New(), c: c, v: v, see: []uint32{v.Netns}}
	s.moves(tcp.Stack{})
	for range n {
		s.arrives()
		does(s)
		s.Wait(lasting / time.Duration(n))
	}
	return s
}

// arrives is the client's SYN at the server's device.
func (s *scene) arrives() {
	s.Gets(s.v, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
}

// gone is a client that ends its attempt by a RST, and a while after that.
func (s *scene) gone() *scene {
	s.Gets(s.v, conntest.Header{Flags: conntest.R, Seq: 1001})
	s.Wait(limits.After)
	s.moves(tcp.Stack{})
	return s
}

// deserted is a client, seen too, that gives up after n SYNs of which a counter tells.
func deserted(n uint32, each tcp.Stack) *scene {
	s := attempt(func(s *scene) {
		s.calls()
		s.arrives()
		s.moves(each)
	}, n, time.Second)
	s.v.Cookie, s.see = 0, []uint32{s.c.Netns, s.v.Netns}
	return s
}

// welcomes is a SYN-ACK of the server's kernel.
func (s *scene) welcomes() {
	s.Sends(s.v, conntest.Header{Flags: conntest.SA, Seq: 7000, Ack: 1001, Window: 65160, Options: conntest.SynOptions}, conntest.Request)
}

// welcomesAgain is the request socket's timer, which sends the SYN-ACK once more.
func (s *scene) welcomesAgain() {
	s.welcomes()
	s.Kernel(&conntest.Socket{Netns: s.v.Netns, Flow: s.v.Flow}, tcp.KindSynAckAgain, conntest.Again(0, 1), conntest.Now(tcp.NewSynRecv), conntest.Runs(limits.After))
}

// moves tells by how much the counters of the server's host have moved.
func (s *scene) moves(by tcp.Stack) {
	s.Add(&tcp.Event{Kind: tcp.KindCounters, Netns: s.v.Netns, Stack: &by})
}

func counts(by tcp.Stack) func(*scene) { return func(s *scene) { s.moves(by) } }

// TestCookiesLast: SYN cookies leave no socket; how long they were unanswered is known
// all the same.
func TestCookiesLast(t *testing.T) {
	s := reception(3, limits.After, func(s *scene) {
		s.Sends(s.v, conntest.Header{Flags: conntest.SA, Seq: 7000, Ack: 1001, Window: 65160, Options: conntest.SynOptions}, conntest.Forgotten)
	})
	list := saidOf(t, s.Story, s.v.Netns)
	certain(t, list, "synack-unanswered", diagnose.Sure)
	if len(list) == 1 && !strings.HasPrefix(list[0].text, "3 SYN-ACKs left in 3.0 s") {
		t.Errorf("said was %q", list[0].text)
	}
}
