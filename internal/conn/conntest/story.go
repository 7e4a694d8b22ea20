// Package conntest writes down event stories for tests: what the kernel side would
// tell of a connection, with frames that a packet printer can read.
package conntest

import (
	"net/netip"
	"time"

	"tcpstory/internal/tcp"
)

// Start is the time of a story's first event: 2026-11-23 12:00:00 UTC.
const Start = 1795435200 * int64(time.Second)

// Socket is one end of a connection in a story.
type Socket struct {
	Cookie   uint64
	Netns    uint32
	Flow     tcp.Flow
	Task     tcp.Task
	Device   string
	Loopback bool
}

// Story collects events. Every event is one Tick after the one before.
type Story struct {
	Events []*tcp.Event
	Tick   time.Duration
	now    int64
}

// New begins a story.
func New() *Story { return &Story{Tick: 20 * time.Microsecond, now: Start} }

// Wait lets time pass before the next event.
func (s *Story) Wait(d time.Duration) { s.now += int64(d) }

// Detail adds to an event.
type Detail func(*tcp.Event)

// By says that a process certainly acted.
func By(t tcp.Task) Detail { return func(ev *tcp.Event) { ev.ActsBy(t) } }

// Through says how the process of an event is known.
func Through(v tcp.Via) Detail { return func(ev *tcp.Event) { ev.Via = v } }

// First tells where the sequence numbers begin, behind the SYNs.
func First(own, peers uint32) Detail {
	return func(ev *tcp.Event) { ev.ISN, ev.PeerISN = own, peers }
}

// Errno sets the socket's error.
func Errno(n int32) Detail { return func(ev *tcp.Event) { ev.Errno = n } }

// Reason sets the kernel's reason.
func Reason(r string) Detail { return func(ev *tcp.Event) { ev.Reason = r } }

// Again sets the kind of a retransmission.
func Again(k tcp.RetransmitKind, n uint32) Detail {
	return func(ev *tcp.Event) { ev.Retransmit = tcp.Retransmit{Again: k, Count: n} }
}

// Now sets the socket's state in events that are no transitions.
func Now(st tcp.State) Detail { return func(ev *tcp.Event) { ev.New = st } }

// Segment tells of which segment a drop or a retransmission is, and which way it
// was going.
func Segment(dir tcp.Direction, f tcp.Flags, seq uint32, length int) Detail {
	return func(ev *tcp.Event) {
		ev.Packet.Dir = dir
		ev.Packet.IsTCP, ev.Packet.Flags, ev.Packet.Seq, ev.Packet.PayloadLen = true, f, seq, length
	}
}

// Wire gives a packet another tuple than the socket's.
func Wire(f tcp.Flow) Detail { return func(ev *tcp.Event) { ev.Packet.Flow = f } }

// Forgotten takes the cookie away, as request sockets have none.
func Forgotten(ev *tcp.Event) { ev.Cookie, ev.Flow = 0, tcp.Flow{} }

// Request makes a packet a request socket's, which has no cookie yet.
func Request(ev *tcp.Event) {
	Forgotten(ev)
	ev.New = tcp.NewSynRecv
}

// Left says which minisock the kernel has put in a closed socket's place, if any,
// and how long its timer runs.
func Left(st tcp.State, timer time.Duration) Detail {
	return func(ev *tcp.Event) {
		ev.Minisock = st
		if timer > 0 {
			Runs(timer)(ev)
		}
	}
}

// Tick is a jiffy in stories.
const Tick = 4 * time.Millisecond

// Runs says that a timer was armed just now, for some time.
func Runs(timer time.Duration) Detail {
	return func(ev *tcp.Event) { ev.Timer = tcp.Timer{Tick: Tick, Expires: uint32(timer / Tick)} }
}

// Add appends any event.
func (s *Story) Add(ev *tcp.Event, with ...Detail) *tcp.Event {
	for _, d := range with {
		d(ev)
	}
	ev.Seq, ev.Time = uint64(len(s.Events)+1), s.now
	if ev.Timer.Tick != 0 { // jiffies began at Start
		ev.Timer.Now = uint32((s.now - Start) / int64(Tick))
		ev.Timer.Expires += ev.Timer.Now
	}
	s.now += int64(s.Tick)
	s.Events = append(s.Events, ev)
	return ev
}

func (k *Socket) event(kind tcp.Kind) *tcp.Event {
	return &tcp.Event{Kind: kind, Cookie: k.Cookie, Netns: k.Netns, Flow: k.Flow}
}

// State appends a transition.
func (s *Story) State(k *Socket, from, to tcp.State, with ...Detail) {
	ev := k.event(tcp.KindState)
	ev.Old, ev.New = from, to
	s.Add(ev, with...)
}

// Kernel appends another event of the kernel about a socket.
func (s *Story) Kernel(k *Socket, kind tcp.Kind, with ...Detail) { s.Add(k.event(kind), with...) }

// Sends appends a packet on its way out of k; on loopback, its only sighting.
func (s *Story) Sends(k *Socket, h Header, with ...Detail) {
	ev := k.event(tcp.KindPacket)
	ev.Packet.Dir, ev.Packet.Flow = tcp.DirOut, k.Flow
	if k.Loopback {
		ev.Packet.Dir, ev.Packet.Loopback = tcp.DirIn, true
	}
	s.packet(ev, k, h, with)
}

// Gets appends a packet on its way in to k.
func (s *Story) Gets(k *Socket, h Header, with ...Detail) {
	ev := &tcp.Event{Kind: tcp.KindPacket, Netns: k.Netns}
	ev.Packet.Dir, ev.Packet.Flow = tcp.DirIn, k.Flow.Reverse()
	s.packet(ev, k, h, with)
}

func (s *Story) packet(ev *tcp.Event, k *Socket, h Header, with []Detail) {
	ev.Packet.Asked, ev.Packet.Device = true, k.Device
	s.Add(ev, with...)
	ev.Packet.Link = tcp.LinkEthernet
	ev.Packet.Frame = h.frame(ev.Packet.Flow)
	ev.Packet.Length = uint32(len(ev.Packet.Frame))
	ev.Packet.Decode()
}

// Task makes a process.
func Task(pid uint32, comm string) (t tcp.Task) {
	t.PID, t.TID = pid, pid
	copy(t.Comm[:], comm)
	return t
}

// Flow parses two addr:port texts; an empty one stays unknown.
func Flow(local, remote string) (f tcp.Flow) {
	if local != "" {
		f.Local = netip.MustParseAddrPort(local)
	}
	if remote != "" {
		f.Remote = netip.MustParseAddrPort(remote)
	}
	return f
}

func withPort(f tcp.Flow, port uint16) tcp.Flow {
	f.Local = netip.AddrPortFrom(f.Local.Addr(), port)
	return f
}
