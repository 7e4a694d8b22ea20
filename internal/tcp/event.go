package tcp

import (
	"net/netip"
	"time"
)

// Kind says which of the closed set of facts an Event carries.
type Kind uint8

// The facts. The comment names the kernel tracepoint each comes from.
const (
	KindNone          Kind = iota
	KindState              // sock:inet_sock_set_state
	KindPacket             // net:net_dev_start_xmit, net:netif_receive_skb, a packet socket or a file
	KindRetransmit         // tcp:tcp_retransmit_skb
	KindSynAckAgain        // tcp:tcp_retransmit_synack
	KindSendReset          // tcp:tcp_send_reset
	KindReceiveReset       // tcp:tcp_receive_reset
	KindDrop               // skb:kfree_skb
	KindSocketError        // sock:inet_sk_error_report
	KindGap                // something was lost here: see Gap
	KindPort               // internal: a SYN_SENT socket's local port became known; never shown
	KindOwner              // a process acted on the socket that was not known as its user: tcp:tcp_rcv_space_adjust, tcp:tcp_sendmsg_locked, or the file table
	KindSocket             // a socket that existed when the trace began: iter/tcp
	KindConnectFailed      // connect() failed before a SYN could leave: exit of tcp_v4_connect, tcp_v6_connect
	KindPlace              // internal: what a namespace or cgroup is called; never shown
	KindKnown              // internal: what was known when another file of a recording began; never shown
	KindLife               // a connection's whole life, told at its end: see Life; only where nothing else is asked for
	KindCounters           // internal: counters of a namespace's network stack have moved: its /proc/net/netstat; never shown
)

var kindNames = [...]string{
	KindNone: "none", KindState: "state", KindPacket: "packet",
	KindRetransmit: "retransmit", KindSynAckAgain: "retransmit-synack",
	KindSendReset: "send-reset", KindReceiveReset: "receive-reset",
	KindDrop: "drop", KindSocketError: "socket-error", KindGap: "gap", KindPort: "port",
	KindOwner: "owner", KindSocket: "socket", KindConnectFailed: "connect-failed", KindPlace: "place",
	KindKnown: "known", KindLife: "life", KindCounters: "counters",
}

// String returns the stable name that JSON output and the docs use.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[KindNone]
}

// Flow is a connection as one socket sees it. IPv4-mapped addresses are
// unmapped. A zero port or an invalid address is unknown.
type Flow struct {
	Local, Remote netip.AddrPort
}

// Reverse returns the peer's view of the flow.
func (f Flow) Reverse() Flow { return Flow{Local: f.Remote, Remote: f.Local} }

// Task is the process in whose context something happened. PID is the thread
// group's id; zero means unknown. Comm is NUL-padded and untrusted: it may hold
// any byte but NUL, terminal escapes included.
type Task struct {
	PID, TID uint32
	Comm     [16]byte
}

// Known reports whether the task is known.
func (t *Task) Known() bool { return t.PID != 0 }

// Name returns Comm up to its first NUL. The bytes are untrusted.
func (t *Task) Name() []byte {
	for i, c := range t.Comm {
		if c == 0 {
			return t.Comm[:i]
		}
	}
	return t.Comm[:]
}

// Event is one fact with its place and time. A source fills the same Event
// again and again: whoever keeps one copies it, Packet.Frame included.
type Event struct {
	Seq    uint64 // 1, 2, 3 … in the source's one order (the ring's)
	Time   int64  // wall clock, nanoseconds since 1970-01-01 UTC
	Kind   Kind
	Cookie uint64 // kernel socket cookie (never reused while the host is up); 0 unknown
	Netns  uint32 // inode of the network namespace; 0 unknown
	Flow   Flow   // the socket's own tuple; for resets and drops without a socket, this host's view

	Old, New    State  // KindState: the transition; other kinds: New is the socket's state, or unknown
	Minisock    State  // KindState to CLOSE, KindSocket in TimeWait: the timewait minisock that took over is in TimeWait or FinWait2; Close: TIME_WAIT was due and there was no room for it; unknown: there is none
	Timer       Timer  // of the minisock; KindSynAckAgain, KindSocket in NewSynRecv: of the request socket
	Expects     uint32 // with Minisock: the sequence number that it expects next
	RFC1337     bool   // with Minisock: a RST does not end TIME_WAIT (net.ipv4.tcp_rfc1337)
	Task        Task   // who did it, when that is certain; else zero
	Via         Via    // how Task is known, when it is
	Cgroup      uint64 // id of the cgroup (v2) that the socket was made in; 0 unknown
	ISN         uint32 // KindState to ESTABLISHED: first sequence number behind the own SYN, and PeerISN behind the other end's; 0 unknown
	PeerISN     uint32
	Starting    bool          // the sockets that existed were still being looked at: one that is first met now, and not by its birth, is older
	Inferred    bool          // KindState: the kernel does not trace this transition; it follows from what was seen
	Errno       int32         // KindState, KindSocketError: sk_err; KindRetransmit: result of the attempt (6.17+), < 0 failed; KindConnectFailed: the error
	UserTimeout time.Duration // KindState to CLOSE with ETIMEDOUT: TCP_USER_TIMEOUT of the socket; 0: none, or the kernel side does not say
	Soft        bool          // KindSocketError: Errno is sk_err_soft, noted but not fatal by itself

	Reason string // KindSendReset, KindDrop: the kernel's reason without its prefix; "" where it gives none
	Retransmit
	Gap
	Counters *Counters // KindSocket, KindLife; nil else. Valid until the next event
	Life     *Life     // KindLife; nil else. Valid until the next event
	Place    *Place    // KindPlace; nil else
	Known    *Known    // KindKnown, maybe KindSocket; nil else
	Stack    *Stack    // KindCounters; nil else
	Packet   Packet    // KindPacket; for KindDrop, KindRetransmit: Packet.Segment's Seq, Flags, PayloadLen where known
}

// Decode decodes the packet of a KindPacket event. A source that names the
// sending socket by its cookie leaves Flow out where it is what the wire shows.
func (ev *Event) Decode() {
	if ev.Kind != KindPacket {
		return
	}
	ev.Packet.Decode()
	if ev.Cookie != 0 && !ev.Flow.Local.IsValid() {
		ev.Flow = ev.Packet.Segment.Flow
	}
}

// RetransmitKind says why the kernel sent a segment again.
type RetransmitKind uint8

// How a retransmission came about; internal/kernel tells it from the socket.
const (
	RetransmitUnknown    RetransmitKind = iota
	RetransmitSYN                       // connection attempt: RTO in SYN_SENT
	RetransmitRTO                       // time-out; Count says the how-manieth in a row
	RetransmitFast                      // fast recovery (duplicate ACKs, SACK or RACK)
	RetransmitTLP                       // tail loss probe
	RetransmitLossRepair                // clocked by ACKs after a time-out (CA_Loss)
)

var retransmitNames = [...]string{"unknown", "SYN", "RTO", "fast", "TLP", "loss-recovery"}

// String returns the stable name that JSON output and the docs use.
func (k RetransmitKind) String() string {
	if int(k) < len(retransmitNames) {
		return retransmitNames[k]
	}
	return retransmitNames[0]
}

// Retransmit is what KindRetransmit and KindSynAckAgain add.
type Retransmit struct {
	Again RetransmitKind
	Count uint32 // RTO, SYN: consecutive time-outs (icsk_retransmits); SYN-ACK, KindSocket in NewSynRecv: how many times it was sent again, this one included; 0 unknown
}

// Gap is what KindGap adds: Lost records are missing just before this event.
type Gap struct {
	Cause GapCause
	Lost  uint64
	Hook  string // the program that lost them, where that is known
}

// GapCause says how records were lost.
type GapCause uint8

// The causes.
const (
	GapNone      GapCause = iota
	GapRingFull           // bpf_ringbuf_output found no room: the reader was too slow
	GapRecursion          // the kernel skipped a program that interrupted itself (recursion_misses)
	GapUndecided          // the filter asked for bytes that could not be fetched
)

var gapNames = [...]string{"none", "ring-full", "recursion", "filter-undecided"}

// String returns the stable name that JSON output and the docs use.
func (g GapCause) String() string {
	if int(g) < len(gapNames) {
		return gapNames[g]
	}
	return gapNames[0]
}
