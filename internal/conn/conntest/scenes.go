package conntest

import (
	"time"

	"tcpstory/internal/tcp"
)

// The cast. The kernel leaves the server's process unknown until it acts.
var (
	NC    = Task(1234, "nc")
	Nginx = Task(812, "nginx")
)

// Hosts returns a client and a server in network namespaces of their own,
// joined by veth.
func Hosts(port uint16) (client, server *Socket) {
	f := withPort(Flow("10.77.0.1:1", "10.77.0.2:80"), port)
	c := &Socket{Cookie: uint64(port)<<8 + 1, Netns: 4026532001, Flow: f, Task: NC, Device: "veth0"}
	s := &Socket{Cookie: uint64(port)<<8 + 2, Netns: 4026532002, Flow: c.Flow.Reverse(), Task: Nginx, Device: "eth0"}
	return c, s
}

// SameHost returns the two ends of a loopback connection.
func SameHost(port uint16) (client, server *Socket) {
	f := withPort(Flow("127.0.0.1:1", "127.0.0.1:80"), port)
	c := &Socket{Cookie: uint64(port)<<8 + 1, Netns: 4026531840, Flow: f, Task: NC, Device: "lo", Loopback: true}
	s := &Socket{Cookie: uint64(port)<<8 + 2, Netns: c.Netns, Flow: c.Flow.Reverse(), Task: Nginx, Device: "lo", Loopback: true}
	return c, s
}

// crosses is a packet from one end to the other: seen once on loopback, else at
// both ends.
func (s *Story) crosses(from, to *Socket, h Header, with ...Detail) {
	s.Sends(from, h, with...)
	if !from.Loopback {
		s.Gets(to, h)
	}
}

// Handshake opens the connection.
func (s *Story) Handshake(c, v *Socket) {
	s.State(c, tcp.Close, tcp.SynSent, By(c.Task))
	s.crosses(c, v, Header{Flags: S, Seq: 1000, Window: 64240, Options: SynOptions})
	s.crosses(v, c, Header{Flags: SA, Seq: 5000, Ack: 1001, Window: 65160, Options: SynOptions}, Request)
	s.State(c, tcp.SynSent, tcp.Established, First(1001, 5001))
	s.crosses(c, v, Header{Flags: A, Seq: 1001, Ack: 5001, Window: 502, Options: Stamp})
	s.State(v, tcp.Listen, tcp.SynRecv)
	s.State(v, tcp.SynRecv, tcp.Established, First(5001, 1001))
}

// Exchange sends 200 bytes each way.
func (s *Story) Exchange(c, v *Socket) {
	s.crosses(c, v, Header{Flags: PA, Seq: 1001, Ack: 5001, Window: 502, Options: Stamp, Len: 200})
	s.crosses(v, c, Header{Flags: A, Seq: 5001, Ack: 1201, Window: 508, Options: Stamp})
	s.crosses(v, c, Header{Flags: PA, Seq: 5001, Ack: 1201, Window: 508, Options: Stamp, Len: 200})
	s.crosses(c, v, Header{Flags: A, Seq: 1201, Ack: 5201, Window: 501, Options: Stamp})
}

// Close is the four-way close, client first.
func (s *Story) Close(c, v *Socket) {
	s.State(c, tcp.Established, tcp.FinWait1, By(c.Task))
	s.crosses(c, v, Header{Flags: FA, Seq: 1201, Ack: 5201, Window: 501, Options: Stamp})
	s.State(v, tcp.Established, tcp.CloseWait)
	s.crosses(v, c, Header{Flags: A, Seq: 5201, Ack: 1202, Window: 508, Options: Stamp})
	s.State(c, tcp.FinWait1, tcp.FinWait2)
	s.State(v, tcp.CloseWait, tcp.LastAck, By(v.Task))
	s.crosses(v, c, Header{Flags: FA, Seq: 5201, Ack: 1202, Window: 508, Options: Stamp})
	s.crosses(c, v, Header{Flags: A, Seq: 1202, Ack: 5202, Window: 501, Options: Stamp}, Forgotten)
	s.State(c, tcp.FinWait2, tcp.Close, Left(tcp.TimeWait, time.Minute))
	s.State(v, tcp.LastAck, tcp.Close)
}

// Whole is a connection from beginning to end.
func Whole(c, v *Socket) *Story {
	s := New()
	s.Handshake(c, v)
	s.Wait(time.Millisecond)
	s.Exchange(c, v)
	s.Wait(1500 * time.Millisecond)
	s.Close(c, v)
	return s
}

// Orphan is a connection whose client has closed and forgets it before the server
// closes too; the server's FIN comes twice.
func Orphan(c, v *Socket) *Story {
	s := New()
	fin := Header{Flags: FA, Seq: 5201, Ack: 1202, Window: 508, Options: Stamp}
	s.State(c, tcp.Established, tcp.FinWait1, By(c.Task))
	s.crosses(c, v, Header{Flags: FA, Seq: 1201, Ack: 5201, Window: 501, Options: Stamp})
	s.State(v, tcp.Established, tcp.CloseWait)
	s.crosses(v, c, Header{Flags: A, Seq: 5201, Ack: 1202, Window: 508, Options: Stamp})
	s.State(c, tcp.FinWait1, tcp.FinWait2)
	s.State(c, tcp.FinWait2, tcp.Close, Left(tcp.FinWait2, time.Minute))
	s.Wait(3 * time.Second)
	s.State(v, tcp.CloseWait, tcp.LastAck, By(v.Task))
	for range 2 {
		s.crosses(v, c, fin)
		s.crosses(c, v, Header{Flags: A, Seq: 1202, Ack: 5202, Window: 501, Options: Stamp}, Forgotten)
	}
	s.State(v, tcp.LastAck, tcp.Close)
	return s
}

// GivenUp is a handshake whose third ACK never comes, till the server's request
// socket is tired of it (tcp_synack_retries=1), and a while after that.
func GivenUp(c, v *Socket) *Story {
	s := New()
	synAck := Header{Flags: SA, Seq: 7000, Ack: 3001, Window: 65160, Options: SynOptions}
	there := &Socket{Netns: v.Netns, Flow: v.Flow}
	s.Gets(v, Header{Flags: S, Seq: 3000, Window: 64240, Options: SynOptions})
	s.Sends(v, synAck, Request)
	s.Wait(time.Second)
	s.Sends(v, synAck, Request)
	s.Kernel(there, tcp.KindSynAckAgain, Again(0, 1), Now(tcp.NewSynRecv), Runs(2*time.Second))
	s.Wait(3 * time.Second)
	s.Gets(v, Header{Flags: R, Seq: 3001})
	return s
}

// Lasting are TIME_WAITs: one to its end, one till its ports are used again, and
// one for which the kernel has no room.
func Lasting(c, v *Socket) *Story {
	s := New()
	hands := func(k *Socket, left tcp.State) {
		s.State(k, tcp.FinWait1, tcp.FinWait2)
		s.State(k, tcp.FinWait2, tcp.Close, Left(left, time.Minute))
	}
	other, third := *v, *c
	other.Cookie, other.Flow = c.Cookie+10, withPort(c.Flow, 1)
	third.Cookie, third.Flow = c.Cookie+20, withPort(c.Flow, 2)
	hands(c, tcp.TimeWait)
	hands(&other, tcp.TimeWait)
	hands(&third, tcp.Close)
	s.Wait(20 * time.Second)
	again := *c
	again.Cookie += 30
	s.State(&again, tcp.Close, tcp.SynSent, By(c.Task))
	s.Wait(time.Minute)
	s.State(&again, tcp.SynSent, tcp.Close, Errno(110))
	return s
}

// Refused is a SYN to a port where nobody listens.
func Refused(c, v *Socket) *Story {
	s := New()
	s.State(c, tcp.Close, tcp.SynSent, By(c.Task))
	s.crosses(c, v, Header{Flags: S, Seq: 1000, Window: 64240, Options: SynOptions})
	s.Kernel(&Socket{Netns: v.Netns, Flow: v.Flow}, tcp.KindSendReset, Reason("NO_SOCKET"))
	s.crosses(v, c, Header{Flags: RA, Ack: 1001}, Forgotten)
	s.Kernel(c, tcp.KindReceiveReset, Now(tcp.SynSent))
	s.State(c, tcp.SynSent, tcp.Close, Errno(111))
	s.Kernel(c, tcp.KindSocketError, Errno(111), Now(tcp.Close))
	return s
}

// BlackHole is a SYN that the server's firewall drops, until the client gives up.
func BlackHole(c, v *Socket) *Story {
	s := New()
	syn := Header{Flags: S, Seq: 1000, Window: 64240, Options: SynOptions}
	there := &Socket{Netns: v.Netns, Flow: v.Flow}
	s.State(c, tcp.Close, tcp.SynSent, By(c.Task))
	for n := uint32(0); n < 3; n++ {
		if n > 0 {
			s.Wait(1024 * time.Millisecond)
			s.Kernel(c, tcp.KindRetransmit, Again(tcp.RetransmitSYN, n), Now(tcp.SynSent), Segment(tcp.DirOut, S, 1000, 0))
		}
		s.crosses(c, v, syn)
		s.Kernel(there, tcp.KindDrop, Reason("NETFILTER_DROP"), Segment(tcp.DirIn, S, 1000, 0))
	}
	s.Wait(2048 * time.Millisecond)
	s.State(c, tcp.SynSent, tcp.Close, Errno(110))
	s.Kernel(c, tcp.KindSocketError, Errno(110), Now(tcp.Close))
	return s
}

// Aborted is a connection that the server closes with unread data.
func Aborted(c, v *Socket) *Story {
	s := New()
	s.Handshake(c, v)
	s.Wait(50 * time.Millisecond)
	s.State(v, tcp.Established, tcp.Close, By(v.Task))
	s.Kernel(v, tcp.KindSendReset, Reason("TCP_ABORT_ON_CLOSE"), Now(tcp.Close))
	s.crosses(v, c, Header{Flags: RA, Seq: 5001, Ack: 1001, Window: 508})
	s.Kernel(c, tcp.KindReceiveReset, Now(tcp.Established))
	s.State(c, tcp.Established, tcp.Close, Errno(104))
	s.Kernel(c, tcp.KindSocketError, Errno(104), Now(tcp.Close))
	return s
}

// Unanswered is a FIN that gets lost: a tail loss probe, then time-outs.
func Unanswered(c, v *Socket) *Story {
	s := New()
	fin := Header{Flags: FA, Seq: 1201, Ack: 5201, Window: 501, Options: Stamp}
	s.State(c, tcp.Established, tcp.FinWait1, By(c.Task))
	s.Sends(c, fin)
	for n, wait := range []time.Duration{200, 210, 440} {
		s.Wait(wait * time.Millisecond)
		again := Again(tcp.RetransmitTLP, 0)
		if n > 0 {
			again = Again(tcp.RetransmitRTO, uint32(n))
		}
		s.Kernel(c, tcp.KindRetransmit, again, Now(tcp.FinWait1), Segment(tcp.DirOut, FA, 1201, 0))
		s.Sends(c, fin)
	}
	s.Kernel(c, tcp.KindRetransmit, Again(tcp.RetransmitFast, 0), Now(tcp.FinWait1), Segment(tcp.DirOut, FA, 1201, 0), Errno(-16))
	return s
}

// Translated is a connection to an address that the client's host rewrites.
func Translated(c *Socket, wire tcp.Flow) *Story {
	s := New()
	back := wire.Reverse()
	s.State(c, tcp.Close, tcp.SynSent, By(c.Task))
	s.Sends(c, Header{Flags: S, Seq: 1000, Window: 64240, Options: SynOptions}, Wire(wire))
	s.Gets(c, Header{Flags: SA, Seq: 5000, Ack: 1001, Window: 65160, Options: SynOptions}, Wire(back))
	s.State(c, tcp.SynSent, tcp.Established, First(1001, 5001))
	s.Sends(c, Header{Flags: A, Seq: 1001, Ack: 5001, Window: 502, Options: Stamp}, Wire(wire))
	return s
}
