package tcp

import "time"

// Socket is a TCP socket as it stood at one moment, as the kernel's socket
// diagnosis tells it, or, with Asked false, as a recording left it.
type Socket struct {
	Netns  uint32 // inode of its network namespace; 0 unknown
	Cookie uint64 // 0 unknown
	Flow   Flow   // IPv4-mapped addresses are unmapped; a listener has no remote port
	State  State  // a request socket is in NewSynRecv, a minisock in TimeWait or FinWait2

	Minisock bool   // a timewait minisock stands for a socket that is gone
	Asked    bool   // the kernel was asked: what follows up to Tries holds
	Device   uint32 // index of the device that it is bound to; 0 none
	Inode    uint32 // of the socket's file; 0: it has none, see Unheld
	UID      uint32 // who made it
	RecvQ    uint32 // bytes received and not read; listener: connections that wait for accept()
	SendQ    uint32 // bytes sent or to be sent and not acknowledged; listener: how many may wait
	Clock    Clock
	Due      time.Duration // of the timer; 0: overdue, or there is none
	Tries    uint32        // repetitions in a row, or unanswered probes

	Cgroup     uint64 // id of the cgroup (v2) that it was made in (5.9); 0 unknown
	Memory     *SocketMemory
	Info       *Info
	Congestion string // algorithm; "" unknown, or none

	Age      time.Duration // in its state; meaningful unless AgeKnown is AgeUnknown
	AgeKnown AgeGround

	Holders []Holder // processes that have it open; see Unheld
	Sought  bool     // Holders were looked for

	Namespace *Place // what Netns is called; nil no name known
	Home      *Place // what Cgroup is called, and which container it is; nil likewise
}

// Clock says which timer of a socket runs.
type Clock uint8

// The timers, in the numbering of linux/inet_diag.h (idiag_timer).
const (
	ClockOff        Clock = iota
	ClockRetransmit       // RTO, tail loss probe, reordering; of a request socket its own
	ClockKeepalive        // keepalive, or an orphan's FIN_WAIT2
	ClockTimeWait
	ClockPersist // zero window probe
)

var clockNames = [...]string{"off", "rto", "keepalive", "timewait", "persist"}

// String returns the stable name that tables and JSON use.
func (c Clock) String() string {
	if int(c) < len(clockNames) {
		return clockNames[c]
	}
	return "?"
}

// AgeGround says how an Age is known.
type AgeGround uint8

// The grounds.
const (
	AgeUnknown  AgeGround = iota
	AgeTimer              // by the state's timer, which began with it or was started again
	AgeAtLeast            // the timer has expired: at least so long
	AgeInferred           // by the timer, taken to have begun at what it is set to as a rule; or by what was recorded around it
	AgeRecorded           // the transition was recorded
)

var ageNames = [...]string{"unknown", "timer", "at least", "inferred", "recorded"}

// String returns the stable name that JSON output and the docs use.
func (g AgeGround) String() string {
	if int(g) < len(ageNames) {
		return ageNames[g]
	}
	return ageNames[0]
}

// Holder is a process with a file descriptor that is the socket.
type Holder struct {
	Task
	FD  int // -1 unknown
	Via Via // how it is known
}

// Unheld says why a socket has no Holders, as far as that can be told.
type Unheld uint8

// The reasons.
const (
	HolderUnknown Unheld = iota // some process holds it that was not found, or the kernel itself
	Held
	NotAccepted // it waits in a listener's queue
	Orphan      // its processes have closed it
	NoSocket    // a request socket or a minisock, which no process can hold
)

var unheldNames = [...]string{"unknown", "held", "not accepted", "orphan", "none"}

// String returns the stable name that tables, JSON and the docs use.
func (u Unheld) String() string {
	if int(u) < len(unheldNames) {
		return unheldNames[u]
	}
	return unheldNames[0]
}

// Unheld tells whether somebody holds the socket, or why nobody does. A state that
// only a process's close() or shutdown() leads to, without a file, is an orphan's.
func (s *Socket) Unheld() Unheld {
	switch {
	case len(s.Holders) > 0:
		return Held
	case s.Minisock || s.State == NewSynRecv:
		return NoSocket
	case !s.Asked || s.Inode != 0:
		return HolderUnknown
	}
	switch s.State {
	case Established, CloseWait, SynRecv:
		return NotAccepted
	case FinWait1, FinWait2, Closing, LastAck:
		return Orphan
	}
	return HolderUnknown
}

// SocketMemory is what its buffers take, bytes (struct sk_meminfo), and its drops.
type SocketMemory struct {
	Read, ReadMax, Write, WriteMax uint32
	Queued, Ahead, Option, Backlog uint32
	Drops                          uint32 // segments thrown away; listener: SYNs and connections that it refused
}

// Info is what the kernel counts for a connection (struct tcp_info). Times that it
// has no sample of are 0.
type Info struct {
	Congestion        CongestionState
	Options           InfoOptions
	SendScale         uint8 // window scales, where Options has InfoWindowScale
	ReceiveScale      uint8
	Backoff           uint8
	RTO, ATO          time.Duration
	RTT, RTTVar       time.Duration // smoothed
	MinRTT            time.Duration
	ReceiveRTT        time.Duration
	LastSent          time.Duration // since data were sent; as old as the socket where none were
	LastReceived      time.Duration // since data were received, likewise
	LastAck           time.Duration // since an acknowledgement was received
	SendMSS, AdvMSS   uint32
	ReceiveMSS, PMTU  uint32
	Window            uint32 // congestion window, segments
	SlowStart         uint32 // its slow start threshold; 0: none yet
	ReceiveSpace      uint32
	PeerWindow        uint32 // receive window that the other end offers, bytes (5.4)
	OwnWindow         uint32 // that this end offers (6.2); 0 unknown
	Unacked, Sacked   uint32 // segments on their way
	Lost, Outstanding uint32 // segments taken for lost; sent again and not acknowledged
	Reordering        uint32
	Retransmits       uint32 // segments sent again
	SegsOut, SegsIn   uint32
	DataOut, DataIn   uint32 // segments with data
	NotSent           uint32 // bytes in SendQ that were not sent
	BytesSent         uint64 // data, sent again or not
	BytesAcked        uint64 // SYN and FIN count, too
	BytesReceived     uint64 // the FIN counts, too
	BytesAgain        uint64 // data sent again
	PacingRate        uint64 // bytes per second; 0 not limited
	DeliveryRate      uint64 // bytes per second
	AppLimited        bool   // DeliveryRate is of a time when there was too little to send
	Busy              time.Duration
	WindowLimited     time.Duration // of Busy, limited by the other end's window
	BufferLimited     time.Duration // … and by the send buffer
}

// InfoOptions are what both ends have agreed on (TCPI_OPT_*).
type InfoOptions uint8

// The options, by their bits.
const (
	InfoTimestamps InfoOptions = 1 << iota
	InfoSACK
	InfoWindowScale
	InfoECN
	InfoECNSeen
	InfoSynData
)

var infoOptionNames = [...]string{"ts", "sack", "wscale", "ecn", "ecnseen", "syndata"}

// Names returns the options' names as ss has them.
func (o InfoOptions) Names() (names []string) {
	for i, name := range infoOptionNames {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// CongestionState is the state of the sender's loss recovery (enum tcp_ca_state).
type CongestionState uint8

var congestionNames = [...]string{"open", "disorder", "cwr", "recovery", "loss"}

// String returns the stable name that JSON output and the docs use.
func (c CongestionState) String() string {
	if int(c) < len(congestionNames) {
		return congestionNames[c]
	}
	return "?"
}
