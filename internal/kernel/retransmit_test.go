package kernel_test

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// again is one retransmission as it must be told.
type again struct {
	kind   tcp.RetransmitKind
	count  uint32
	flags  tcp.Flags
	length int
	state  tcp.State
	failed bool // the attempt itself (6.17)
}

// retransmissions are the client's in each scenario.
var retransmissions = map[string][]again{
	"retransmit": {
		{kind: tcp.RetransmitRTO, count: 1, flags: tcp.PSH | tcp.ACK, length: 100, state: tcp.Established},
		{kind: tcp.RetransmitRTO, count: 2, flags: tcp.PSH | tcp.ACK, length: 100, state: tcp.Established},
	},
	"tail-loss": {
		{kind: tcp.RetransmitTLP, flags: tcp.PSH | tcp.ACK, length: 100, state: tcp.Established},
	},
	"fast-retransmit": {
		{kind: tcp.RetransmitFast, flags: tcp.PSH | tcp.ACK, length: 100, state: tcp.Established},
	},
	"syn-sent": {
		{kind: tcp.RetransmitSYN, count: 1, flags: tcp.SYN, state: tcp.SynSent},
		{kind: tcp.RetransmitSYN, count: 2, flags: tcp.SYN, state: tcp.SynSent},
	},
	"local-output-drop": {
		{kind: tcp.RetransmitSYN, count: 1, flags: tcp.SYN, state: tcp.SynSent, failed: true},
		{kind: tcp.RetransmitSYN, count: 2, flags: tcp.SYN, state: tcp.SynSent, failed: true},
	},
}

func TestRetransmissions(t *testing.T) {
	for name, want := range retransmissions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, family lab.Family) {
				s := actOut(t, name, family)
				var have []again
				for _, ev := range s.at(lab.Client, tcp.KindRetransmit) {
					have = append(have, s.again(&ev))
				}
				if !slices.Equal(have, want) {
					t.Errorf("told %+v\nwant %+v", have, want)
				}
				if more := s.at(lab.Server, tcp.KindRetransmit); len(more) != 0 {
					t.Errorf("the server retransmits: %+v", more)
				}
			})
		})
	}
}

// again takes an event apart, after it has looked at what is the same in all.
func (s *scene) again(ev *tcp.Event) again {
	s.t.Helper()
	remote := s.lab.Host(lab.Server).Addr(s.family)
	if ev.Cookie == 0 || ev.Flow.Remote.Addr() != remote || ev.Flow.Remote.Port() != s.story.Port || ev.Flow.Local.Port() == 0 {
		s.t.Errorf("a retransmission of nobody: cookie %d, flow %v", ev.Cookie, ev.Flow)
	}
	if ev.Packet.Dir != tcp.DirOut || ev.Packet.Segment.Flow != ev.Flow {
		s.t.Errorf("a retransmission goes %v, flow %v", ev.Packet.Dir, ev.Packet.Segment.Flow)
	}
	return again{ev.Again, ev.Count, ev.Packet.Flags, ev.Packet.PayloadLen, ev.New, ev.Errno < 0}
}

// TestFailedAttempt: 6.17 tells what came of an attempt; netfilter's answer is
// EPERM.
func TestFailedAttempt(t *testing.T) {
	s := actOut(t, "local-output-drop", lab.IPv4)
	for _, ev := range s.at(lab.Client, tcp.KindRetransmit) {
		if unix.Errno(-ev.Errno) != unix.EPERM {
			t.Errorf("the attempt ended with %d, want %d", ev.Errno, -int(unix.EPERM))
		}
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
