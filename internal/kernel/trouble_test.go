package kernel_test

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// trouble is what must be told of a scenario in which packets are lost.
type trouble struct {
	drop  drop // every one that is lost
	again []again
}

// drop is what the kernel says of each lost packet.
type drop struct {
	host   string
	count  int
	dir    tcp.Direction
	flags  tcp.Flags
	length int
	state  tcp.State // of the socket, where one is known at that place
}

// again is one retransmission by the client.
type again struct {
	kind   tcp.RetransmitKind
	count  uint32
	flags  tcp.Flags
	length int
	state  tcp.State
	err    unix.Errno // of the attempt itself (6.17)
}

const data = tcp.PSH | tcp.ACK

var troubles = map[string]trouble{
	"retransmit": {
		drop{lab.Server, 2, tcp.DirIn, data, 100, tcp.Established},
		[]again{
			{kind: tcp.RetransmitRTO, count: 1, flags: data, length: 100, state: tcp.Established},
			{kind: tcp.RetransmitRTO, count: 2, flags: data, length: 100, state: tcp.Established},
		},
	},
	"tail-loss": {
		drop{lab.Server, 1, tcp.DirIn, data, 100, tcp.Established},
		[]again{{kind: tcp.RetransmitTLP, flags: data, length: 100, state: tcp.Established}},
	},
	"fast-retransmit": {
		drop{lab.Server, 1, tcp.DirIn, data, 100, tcp.Established},
		[]again{{kind: tcp.RetransmitFast, flags: data, length: 100, state: tcp.Established}},
	},
	"syn-sent": {
		drop{lab.Server, 3, tcp.DirIn, tcp.SYN, 0, tcp.StateUnknown},
		[]again{
			{kind: tcp.RetransmitSYN, count: 1, flags: tcp.SYN, state: tcp.SynSent},
			{kind: tcp.RetransmitSYN, count: 2, flags: tcp.SYN, state: tcp.SynSent},
		},
	},
	"local-output-drop": {
		drop{lab.Client, 3, tcp.DirOut, tcp.SYN, 0, tcp.SynSent},
		[]again{
			{kind: tcp.RetransmitSYN, count: 1, flags: tcp.SYN, state: tcp.SynSent, err: unix.EPERM},
			{kind: tcp.RetransmitSYN, count: 2, flags: tcp.SYN, state: tcp.SynSent, err: unix.EPERM},
		},
	},
}

// TestLossAndRetransmission: every packet that a firewall eats is told once, and
// so is every time that it is sent again, with its kind.
func TestLossAndRetransmission(t *testing.T) {
	for name, want := range troubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, family lab.Family) {
				s := actOut(t, name, family)
				s.retransmits(want.again)
				s.drops(want.drop)
			})
		})
	}
}

func (s *scene) retransmits(want []again) {
	s.t.Helper()
	var have []again
	for _, ev := range s.at(lab.Client, tcp.KindRetransmit) {
		s.isClients(&ev, ev.Flow)
		if ev.Cookie == 0 || ev.Packet.Dir != tcp.DirOut {
			s.t.Errorf("a retransmission of nobody: %+v", ev)
		}
		have = append(have, again{ev.Again, ev.Count, ev.Packet.Flags, ev.Packet.PayloadLen, ev.New, unix.Errno(-ev.Errno)})
	}
	if !slices.Equal(have, want) {
		s.t.Errorf("told %+v\nwant %+v", have, want)
	}
	if more := s.at(lab.Server, tcp.KindRetransmit); len(more) != 0 {
		s.t.Errorf("the server retransmits: %+v", more)
	}
}

func (s *scene) drops(want drop) {
	s.t.Helper()
	for _, h := range s.lab.Hosts() {
		told := s.at(h.Name(), tcp.KindDrop)
		if n := len(told); h.Name() != want.host && n != 0 || h.Name() == want.host && n != want.count {
			s.t.Errorf("%d drops on the %s: %+v", n, h.Name(), told)
		}
		for _, ev := range told {
			have := drop{h.Name(), want.count, ev.Packet.Dir, ev.Packet.Flags, ev.Packet.PayloadLen, ev.New}
			if have != want || ev.Reason != "NETFILTER_DROP" {
				s.t.Errorf("%s told %+v, want %+v", ev.Reason, have, want)
			}
			s.isClients(&ev, ev.Packet.Segment.Flow)
		}
	}
}

// isClients checks that a flow is the connection's, seen from the client.
func (s *scene) isClients(ev *tcp.Event, f tcp.Flow) {
	s.t.Helper()
	local, remote := s.lab.Host(lab.Client).Addr(s.family), s.lab.Host(lab.Server).Addr(s.family)
	if f.Local.Addr() != local || f.Remote.Addr() != remote || f.Remote.Port() != s.story.Port || f.Local.Port() == 0 {
		s.t.Errorf("a %v of another flow: %v", ev.Kind, f)
	}
	if ev.Packet.Dir == tcp.DirIn && ev.Flow != f.Reverse() {
		s.t.Errorf("a %v on the way in is of flow %v, the segment of %v", ev.Kind, ev.Flow, f)
	}
}

// TestSynAckAgain: the timer and every repeated SYN make the listener answer once
// more; each time is told, by the request's tuple.
func TestSynAckAgain(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		s := actOut(t, "syn-recv", family)
		told := s.at(lab.Server, tcp.KindSynAckAgain)
		for _, ev := range told {
			if ev.New != tcp.NewSynRecv || ev.Flow.Local.Port() != s.story.Port || ev.Flow.Remote.Addr() != s.lab.Host(lab.Client).Addr(family) {
				t.Errorf("told of %v in %v", ev.Flow, ev.New)
			}
		}
		sent := 0
		for _, ev := range s.at(lab.Server, tcp.KindPacket) {
			if ev.Packet.Dir == tcp.DirOut && ev.Packet.Flags.Has(tcp.SYN|tcp.ACK) {
				sent++
			}
		}
		if len(told) == 0 || sent != len(told)+1 {
			t.Errorf("%d SYN-ACKs left, %d were told as repeated", sent, len(told))
		}
	})
}

// TestResetOfNobody: a reset without a socket is told by the flow of this host,
// with the segment that it answers.
func TestResetOfNobody(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		s := actOut(t, "refused", family)
		told := s.at(lab.Server, tcp.KindSendReset)
		if len(told) != 1 {
			t.Fatalf("%d resets were told: %+v", len(told), told)
		}
		ev := told[0]
		if ev.Reason != "NO_SOCKET" || ev.Cookie != 0 || ev.Flow.Local.Port() != s.story.Port || ev.Packet.Flags != tcp.SYN || ev.Packet.Dir != tcp.DirIn {
			t.Errorf("told %+v", ev)
		}
		s.isClients(&ev, ev.Packet.Segment.Flow)
	})
}
