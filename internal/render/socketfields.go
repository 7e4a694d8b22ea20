package render

import (
	"math"
	"net/netip"
	"time"

	"tcpstory/internal/tcp"
)

// SocketField is a member of now's JSON objects, and a column of its CSV.
type SocketField struct {
	Name, Type, Text string
	value            func(*tcp.Socket) any // see appendValue; nil: unknown, or there is no such thing
}

// untrusted is text that others have written.
type untrusted string

// SocketFields is the table that JSON, CSV and the docs read.
var SocketFields = []SocketField{
	{"netns", "integer", "inode number of the network namespace", func(s *tcp.Socket) any { return known(s.Netns) }},
	{"netns_name", "string", "its name, where it has one", func(s *tcp.Socket) any { return untrusted(place(s.Namespace).Name) }},
	{"cookie", "integer", "kernel socket cookie: as in trace", func(s *tcp.Socket) any { return known(s.Cookie) }},
	{"state", "string", "the kernel's state; NEW_SYN_RECV is a half-open connection, BOUND_INACTIVE (6.8) a socket that is bound and not connected", func(s *tcp.Socket) any { return s.State.String() }},
	{"minisock", "boolean", "a timewait minisock stands for the socket: TIME_WAIT, or an orphan's FIN_WAIT2", func(s *tcp.Socket) any { return when(s.Minisock) }},
	{"age_us", "number", "microseconds in the state, as far as that is known", func(s *tcp.Socket) any { return told(s.AgeKnown != tcp.AgeUnknown, s.Age) }},
	{"age_from", "string", "how that is known: timer (which began with the state, or was started again by a segment), at least (the timer is over), inferred (from the timer and what it is set to as a rule, or from what was recorded), recorded (the transition was)", func(s *tcp.Socket) any { return told(s.AgeKnown != tcp.AgeUnknown, s.AgeKnown.String()) }},
	{"local_addr", "string", "this end's address", func(s *tcp.Socket) any { return address(s.Flow.Local) }},
	{"local_port", "integer", "its port", func(s *tcp.Socket) any { return known(s.Flow.Local.Port()) }},
	{"remote_addr", "string", "the other end's address; a listener has none", func(s *tcp.Socket) any { return told(s.Flow.Remote.Port() != 0, address(s.Flow.Remote)) }},
	{"remote_port", "integer", "its port", func(s *tcp.Socket) any { return known(s.Flow.Remote.Port()) }},
	{"ifindex", "integer", "the device that the socket is bound to", func(s *tcp.Socket) any { return known(s.Device) }},
	{"processes", "array of objects", "who has it open: pid, comm, and fd, or via where it is from a recording (see owner_via); in CSV comm/pid/fd", func(s *tcp.Socket) any { return told(len(s.Holders) > 0, s.Holders) }},
	{"held", "string", "held; or why nobody holds it: not accepted, orphan, none (no process can); or unknown", func(s *tcp.Socket) any { return told(s.Sought, s.Unheld().String()) }},
	{"uid", "integer", "user who made it", func(s *tcp.Socket) any { return told(s.Asked && s.Unheld() != tcp.NoSocket, s.UID) }},
	{"inode", "integer", "inode number of the socket's file: what /proc/PID/fd shows", func(s *tcp.Socket) any { return known(s.Inode) }},
	{"cgroup", "integer", "id of the cgroup (v2) that the socket was made in", func(s *tcp.Socket) any { return known(s.Cgroup) }},
	{"cgroup_path", "string", "its path in the hierarchy", func(s *tcp.Socket) any { return untrusted(place(s.Home).Path) }},
	{"container", "string", "id of the container, from that path", func(s *tcp.Socket) any { return untrusted(place(s.Home).Container) }},
	{"container_name", "string", "its name, where the runtime's files tell it", func(s *tcp.Socket) any { return untrusted(place(s.Home).Name) }},
	{"runtime", "string", "the container runtime", func(s *tcp.Socket) any { return untrusted(place(s.Home).Runtime) }},
	{"recv_q", "integer", "bytes received that the process has not read", func(s *tcp.Socket) any { return told(isConnection(s), s.RecvQ) }},
	{"send_q", "integer", "bytes written that the other end has not acknowledged", func(s *tcp.Socket) any { return told(isConnection(s), s.SendQ) }},
	{"backlog", "integer", "listener: connections that wait to be accepted", func(s *tcp.Socket) any { return told(isListener(s), s.RecvQ) }},
	{"max_backlog", "integer", "listener: how many may", func(s *tcp.Socket) any { return told(isListener(s), s.SendQ) }},
	{"drops", "integer", "segments that the socket threw away; of a listener, SYNs and connections that it refused", func(s *tcp.Socket) any { return told(s.Memory != nil, memoryOf(s).Drops) }},
	{"timer", "string", "the timer that runs: rto (or loss probe), keepalive (or an orphan's FIN_WAIT2), timewait, persist (zero window probe)", func(s *tcp.Socket) any { return told(s.Clock != tcp.ClockOff, s.Clock.String()) }},
	{"timer_ms", "integer", "milliseconds until it is due; 0: overdue", func(s *tcp.Socket) any { return told(s.Clock != tcp.ClockOff, millis(s.Due)) }},
	{"tries", "integer", "repetitions in a row, or probes without an answer", func(s *tcp.Socket) any { return told(s.Clock != tcp.ClockOff && !s.Minisock, s.Tries) }},
	{"read_memory", "integer", "bytes that the receive buffer takes", func(s *tcp.Socket) any { return told(s.Memory != nil, memoryOf(s).Read) }},
	{"read_memory_max", "integer", "how many it may", func(s *tcp.Socket) any { return told(s.Memory != nil, memoryOf(s).ReadMax) }},
	{"write_memory", "integer", "bytes that what was sent and not acknowledged takes", func(s *tcp.Socket) any { return told(s.Memory != nil, memoryOf(s).Queued) }},
	{"write_memory_max", "integer", "how many it may", func(s *tcp.Socket) any { return told(s.Memory != nil, memoryOf(s).WriteMax) }},
	{"options", "string", "what both ends have agreed on: ts, sack, wscale, ecn, ecnseen, syndata", func(s *tcp.Socket) any { return infoOf(s, func(i *tcp.Info) any { return optionWords(i.Options) }) }},
	{"wscale_send", "integer", "window scale of the other end", func(s *tcp.Socket) any {
		return infoOf(s, func(i *tcp.Info) any { return told(i.Options&tcp.InfoWindowScale != 0, i.SendScale) })
	}},
	{"wscale_receive", "integer", "window scale of this end", func(s *tcp.Socket) any {
		return infoOf(s, func(i *tcp.Info) any { return told(i.Options&tcp.InfoWindowScale != 0, i.ReceiveScale) })
	}},
	{"congestion", "string", "congestion control algorithm", func(s *tcp.Socket) any { return told(!isListener(s), s.Congestion) }},
	{"recovery", "string", "state of loss recovery: open, disorder, cwr, recovery, loss", func(s *tcp.Socket) any { return infoOf(s, func(i *tcp.Info) any { return i.Congestion.String() }) }},
	{"srtt_us", "integer", "smoothed round-trip time in microseconds", micros(func(i *tcp.Info) time.Duration { return i.RTT })},
	{"rttvar_us", "integer", "its mean deviation", func(s *tcp.Socket) any {
		return infoOf(s, func(i *tcp.Info) any { return told(i.RTT > 0, usOf(i.RTTVar)) })
	}},
	{"min_rtt_us", "integer", "the shortest seen of late", micros(func(i *tcp.Info) time.Duration { return i.MinRTT })},
	{"receive_rtt_us", "integer", "round-trip time as the receiver estimates it", micros(func(i *tcp.Info) time.Duration { return i.ReceiveRTT })},
	{"rto_us", "integer", "retransmission time-out", micros(func(i *tcp.Info) time.Duration { return i.RTO })},
	{"ato_us", "integer", "delayed acknowledgement's time-out", micros(func(i *tcp.Info) time.Duration { return i.ATO })},
	{"backoff", "integer", "how often the time-out was doubled", count(func(i *tcp.Info) uint64 { return uint64(i.Backoff) })},
	{"mss", "integer", "segment size that is sent, bytes", number(func(i *tcp.Info) uint64 { return uint64(i.SendMSS) })},
	{"adv_mss", "integer", "segment size that this end has announced", number(func(i *tcp.Info) uint64 { return uint64(i.AdvMSS) })},
	{"receive_mss", "integer", "segment size that is received, an estimate", number(func(i *tcp.Info) uint64 { return uint64(i.ReceiveMSS) })},
	{"pmtu", "integer", "path MTU, bytes", number(func(i *tcp.Info) uint64 { return uint64(i.PMTU) })},
	{"cwnd", "integer", "congestion window, segments", number(func(i *tcp.Info) uint64 { return uint64(i.Window) })},
	{"ssthresh", "integer", "slow start threshold, once there is one", number(func(i *tcp.Info) uint64 { return uint64(i.SlowStart) })},
	{"peer_window", "integer", "window that the other end offers, bytes", count(func(i *tcp.Info) uint64 { return uint64(i.PeerWindow) })},
	{"own_window", "integer", "window that this end offers (6.2)", number(func(i *tcp.Info) uint64 { return uint64(i.OwnWindow) })},
	{"receive_space", "integer", "receive buffer's tuning, bytes", number(func(i *tcp.Info) uint64 { return uint64(i.ReceiveSpace) })},
	{"unacked", "integer", "segments on their way", count(func(i *tcp.Info) uint64 { return uint64(i.Unacked) })},
	{"sacked", "integer", "of these, how many the other end has out of order", count(func(i *tcp.Info) uint64 { return uint64(i.Sacked) })},
	{"lost", "integer", "of these, how many are taken for lost", count(func(i *tcp.Info) uint64 { return uint64(i.Lost) })},
	{"retransmits_out", "integer", "of these, how many were sent again", count(func(i *tcp.Info) uint64 { return uint64(i.Outstanding) })},
	{"retransmits", "integer", "segments sent again, ever", count(func(i *tcp.Info) uint64 { return uint64(i.Retransmits) })},
	{"not_sent", "integer", "bytes of send_q that were not sent yet", count(func(i *tcp.Info) uint64 { return uint64(i.NotSent) })},
	{"bytes_sent", "integer", "bytes of data sent, repetitions included", count(func(i *tcp.Info) uint64 { return i.BytesSent })},
	{"bytes_retransmitted", "integer", "of these, repetitions", count(func(i *tcp.Info) uint64 { return i.BytesAgain })},
	{"bytes_acked", "integer", "bytes that the other end has acknowledged; SYN and FIN count, too", count(func(i *tcp.Info) uint64 { return i.BytesAcked })},
	{"bytes_received", "integer", "bytes received in order; the FIN counts, too", count(func(i *tcp.Info) uint64 { return i.BytesReceived })},
	{"segs_out", "integer", "segments sent", count(func(i *tcp.Info) uint64 { return uint64(i.SegsOut) })},
	{"segs_in", "integer", "segments received", count(func(i *tcp.Info) uint64 { return uint64(i.SegsIn) })},
	{"data_segs_out", "integer", "of these, with data", count(func(i *tcp.Info) uint64 { return uint64(i.DataOut) })},
	{"data_segs_in", "integer", "likewise", count(func(i *tcp.Info) uint64 { return uint64(i.DataIn) })},
	{"last_sent_ms", "integer", "milliseconds since data were sent, or since the connection's beginning", since(func(i *tcp.Info) time.Duration { return i.LastSent })},
	{"last_received_ms", "integer", "milliseconds since data were received, likewise", since(func(i *tcp.Info) time.Duration { return i.LastReceived })},
	{"last_ack_ms", "integer", "milliseconds since an acknowledgement was received", since(func(i *tcp.Info) time.Duration { return i.LastAck })},
	{"pacing_rate", "integer", "bytes a second at most", number(func(i *tcp.Info) uint64 { return i.PacingRate })},
	{"delivery_rate", "integer", "bytes a second, as last measured", number(func(i *tcp.Info) uint64 { return i.DeliveryRate })},
	{"app_limited", "boolean", "delivery_rate is of a time when there was too little to send", func(s *tcp.Socket) any { return infoOf(s, func(i *tcp.Info) any { return when(i.AppLimited) }) }},
	{"busy_us", "integer", "microseconds in which there was something to send", micros(func(i *tcp.Info) time.Duration { return i.Busy })},
	{"window_limited_us", "integer", "of these, held up by the other end's window", micros(func(i *tcp.Info) time.Duration { return i.WindowLimited })},
	{"buffer_limited_us", "integer", "of these, held up by the send buffer", micros(func(i *tcp.Info) time.Duration { return i.BufferLimited })},
}

// known is v, or nil where 0 means unknown.
func known[T uint16 | uint32 | uint64](v T) any { return told(v != 0, uint64(v)) }

// told is v if it is known.
func told(known bool, v any) any {
	if !known {
		return nil
	}
	return v
}

// when is true, or nothing.
func when(v bool) any { return told(v, true) }

func millis(d time.Duration) uint64 { return uint64(d / time.Millisecond) }
func usOf(d time.Duration) uint64   { return uint64(d / time.Microsecond) }

func address(a netip.AddrPort) any {
	return told(a.Addr().IsValid(), a.Addr().WithZone(""))
}

// place is what is known of a place.
func place(p *tcp.Place) tcp.Place {
	if p == nil {
		return tcp.Place{}
	}
	return *p
}

func memoryOf(s *tcp.Socket) tcp.SocketMemory {
	if s.Memory == nil {
		return tcp.SocketMemory{}
	}
	return *s.Memory
}

func isListener(s *tcp.Socket) bool { return s.Asked && s.State == tcp.Listen }

// isConnection reports a full socket with queues of its own.
func isConnection(s *tcp.Socket) bool {
	return s.Asked && s.State != tcp.Listen && s.Unheld() != tcp.NoSocket
}

// infoOf asks a connection's counts; of a listener they are its queue's.
func infoOf(s *tcp.Socket, value func(*tcp.Info) any) any {
	if s.Info == nil || s.State == tcp.Listen {
		return nil
	}
	return value(s.Info)
}

// micros is a time that 0 says there is no sample of.
func micros(value func(*tcp.Info) time.Duration) func(*tcp.Socket) any {
	return func(s *tcp.Socket) any {
		return infoOf(s, func(i *tcp.Info) any { return known(usOf(value(i))) })
	}
}

// count is a number that may be 0, number one for which that means unknown.
func count(value func(*tcp.Info) uint64) func(*tcp.Socket) any {
	return func(s *tcp.Socket) any { return infoOf(s, func(i *tcp.Info) any { return value(i) }) }
}

func number(value func(*tcp.Info) uint64) func(*tcp.Socket) any {
	return func(s *tcp.Socket) any { return infoOf(s, func(i *tcp.Info) any { return known(value(i)) }) }
}

// since is a time that the kernel tells in jiffies from the socket's beginning on.
// What never happened is told by a number that its clock has wrapped around.
func since(value func(*tcp.Info) time.Duration) func(*tcp.Socket) any {
	return func(s *tcp.Socket) any {
		return infoOf(s, func(i *tcp.Info) any {
			d := value(i)
			return told(d < math.MaxInt32*time.Millisecond, millis(d))
		})
	}
}
