package life

import (
	"time"

	"tcpstory/internal/tcp"
)

// Unknown is a length or a count that nothing tells.
const Unknown = -1

// Direction says who opened the connection.
type Direction uint8

// The directions.
const (
	DirUnknown Direction = iota
	DirOut
	DirIn
)

// Name returns the stable name that JSON and CSV use.
func (d Direction) Name() string { return [...]string{"unknown", "out", "in"}[d] }

// Span is how long a socket was in a state.
type Span struct {
	State tcp.State
	For   time.Duration
}

// Line is a connection's life. What is Unknown (or zero, where that says so) is
// not known.
type Line struct {
	Time   int64 // of the end, wall clock, ns
	Cookie uint64
	Netns  uint32
	Cgroup uint64
	Flow   tcp.Flow
	Task   tcp.Task
	Via    tcp.Via
	Nobody bool // no process has ever had it: it was never accepted

	Direction   Direction
	Inferred    bool // Direction is, from the counters
	Established bool
	Older       bool // than tcpstory: nobody saw it begin

	TX, RX      int64         // payload: TX what the other end has acknowledged, RX what came in order
	Duration    time.Duration // of the socket, handshake included
	NoHandshake bool          // the handshake is not in it: nothing measured it
	Connect     time.Duration // the handshake
	FirstByte   time.Duration // from the beginning until the process read its first bytes
	Idle        time.Duration // since the last data either way

	RTTMin, SRTT      uint32 // microseconds; 0 no sample
	Retransmits       int64  // segments
	BytesRetrans      int64
	SegsIn, SegsOut   int64
	MSS, Cwnd         uint32
	States            [maxSpans]Span // in their order; StateUnknown ends them
	End               End
	Errno             int32
	Last              tcp.State // that it ended in, or is in
	Half              bool      // no connection came of it (yet), only a SYN and SYN-ACKs: it ended with a RST, or when the last one was given up
	AskOwner, AskEnd  bool      // more may come: see Desk
	Chosen, HasCounts bool
}

const maxSpans = 4

// Fill makes l the line of a KindLife event.
func (l *Line) Fill(ev *tcp.Event) {
	f := ev.Life.Flags
	*l = Line{} // and then each field: a literal would be copied
	l.Time, l.Cookie, l.Netns, l.Cgroup = ev.Time, ev.Cookie, ev.Netns, ev.Cgroup
	l.Flow, l.Task, l.Via = ev.Flow, ev.Task, ev.Via
	l.Established, l.Older, l.NoHandshake = f.Has(tcp.LifeWasOpen), ev.Life.Began == 0, f.Has(tcp.LifeGuessed)
	l.RTTMin, l.SRTT, l.MSS, l.Cwnd = ev.Life.RTTMin, ev.Counters.SRTT, ev.Life.MSS, ev.Life.Cwnd
	l.Retransmits, l.BytesRetrans = int64(ev.Counters.Retransmits), int64(ev.Life.BytesRetrans)
	l.SegsIn, l.SegsOut = int64(ev.Counters.SegsIn), int64(ev.Counters.SegsOut)
	l.End, l.Errno, l.Last, l.Idle = endOf(ev), ev.Errno, ev.Old, Unknown
	l.AskOwner, l.AskEnd = f.Has(tcp.LifeOwnerComes), f.Has(tcp.LifeResetComes)
	l.Chosen, l.HasCounts = f.Has(tcp.LifeChosen), true
	l.Nobody = f.Has(tcp.LifeIn) && !f.Has(tcp.LifeHadFile) && !l.Task.Known()
	if l.Established {
		l.Idle = ev.Life.Idle
	}
	l.count(ev)
	if f.Has(tcp.LifeHalf) { // a request socket: nobody's, and it counts SYN-ACKs only
		l.Half, l.Nobody, l.Last = true, true, tcp.SynRecv
		l.SegsIn, l.SegsOut, l.BytesRetrans = Unknown, Unknown, 0
	}
	l.measure(ev.Life)
	l.spans(ev)
}

// count tells the payload from the sequence space: bytes_acked has the own SYN in
// it where that was acknowledged to this very socket, a child's was to its request
// socket; and the own FIN. bytes_received has the other end's FIN.
func (l *Line) count(ev *tcp.Event) {
	c, f := ev.Counters, ev.Life.Flags
	l.RX = int64(c.BytesReceived)
	if f.Has(tcp.LifePeerFIN) && l.RX > 0 {
		l.RX--
	}
	l.TX = int64(c.BytesAcked)
	if f.Has(tcp.LifeOwnFIN) && ev.Life.Unacked == 0 {
		l.TX--
	}
	switch {
	case f.Has(tcp.LifeOut):
		l.Direction = DirOut
		l.TX = max(l.TX-1, 0) // its SYN, where that was acknowledged
	case f.Has(tcp.LifeIn):
		l.Direction = DirIn
	default:
		l.inferDirection(ev.Life)
	}
}

// inferDirection is for what nobody saw begin. With all acknowledged, what was
// sent less what was sent again is the payload; whoever sent the SYN has one more.
func (l *Line) inferDirection(life *tcp.Life) {
	l.Inferred = true
	if life.Unacked != 0 {
		l.TX = Unknown
		return
	}
	payload := int64(life.BytesSent - life.BytesRetrans)
	switch l.TX - payload {
	case 0:
		l.Direction = DirIn
	case 1:
		l.Direction = DirOut
	}
	l.TX = payload
}

func (l *Line) measure(life *tcp.Life) {
	l.Duration, l.Connect, l.FirstByte = Unknown, Unknown, Unknown
	if life.Began == 0 {
		return
	}
	l.Duration = time.Duration(l.Time - life.Began)
	if life.Established != 0 && !l.NoHandshake {
		l.Connect = time.Duration(life.Established - life.Began)
	}
	if life.FirstRead != 0 {
		l.FirstByte = time.Duration(life.FirstRead - life.Began)
	}
}

// spans are told by when states began; what it ended in was the last.
func (l *Line) spans(ev *tcp.Event) {
	first, shut := tcp.SynRecv, tcp.CloseWait
	if ev.Life.Flags.Has(tcp.LifeOut) {
		first = tcp.SynSent
	}
	if ev.Life.Flags.Has(tcp.LifeFINFirst) {
		shut = tcp.FinWait1
	}
	begins := [maxSpans]struct {
		state tcp.State
		at    int64
	}{{first, ev.Life.Began}, {tcp.Established, ev.Life.Established}, {shut, ev.Life.Shut}, {l.Last, ev.Life.ShutToo}}
	n := 0
	for i, b := range begins {
		if b.at == 0 {
			continue
		}
		until := l.Time
		for _, later := range begins[i+1:] {
			if later.at != 0 {
				until = later.at
				break
			}
		}
		l.States[n] = Span{b.state, time.Duration(until - b.at)}
		n++
	}
}
