package render

// JSONField documents one member of the JSON objects. Names are stable: they may
// be joined by new ones, but neither renamed nor given another meaning.
type JSONField struct {
	Name, Type, Text string
}

// field numbers a member; jsonKeys holds its spelling.
type field int

// The members, in the order in which they are written.
const (
	fSeq field = iota
	fTime
	fTimeNs
	fKind
	fConn
	fRole
	fCookie
	fNetns
	fNetnsName
	fLocalAddr
	fLocalPort
	fRemoteAddr
	fRemotePort
	fPeerCookie
	fOldState
	fNewState
	fInStateUs
	fInStateInferred
	fInferredState
	fInferred
	fInferredFrom
	fState
	fPid
	fTid
	fComm
	fOwnerPid
	fOwnerComm
	fOwnerVia
	fOpenerPid
	fOpenerComm
	fCgroup
	fCgroupPath
	fContainer
	fContainerName
	fRuntime
	fOlder
	fSinceNs
	fOpenedNs
	fBytesAcked
	fBytesReceived
	fSegsOut
	fSegsIn
	fRetransmits
	fSrttUs
	fBacklog
	fMaxBacklog
	fErrno
	fError
	fSoft
	fNoSYN
	fRetransmit
	fRetransmitCount
	fReason
	fDevice
	fIfindex
	fDirection
	fOutgoing
	fLoopback
	fVlan
	fSrcAddr
	fSrcPort
	fDstAddr
	fDstPort
	fTranslated
	fProtocol
	fWireLength
	fCapturedLength
	fFlags
	fTCPSeq
	fTCPAck
	fWindow
	fHeaderLength
	fLength
	fMss
	fWscale
	fSackOk
	fTsVal
	fTsEcr
	fSack
	fICMPType
	fICMPCode
	fQuotedSrcAddr
	fQuotedSrcPort
	fQuotedDstAddr
	fQuotedDstPort
	fCause
	fLost
	fHook
	fTrace
	fEvent
)

// JSONFields are all members that an object may have. A member is left out where
// it does not apply or is not known.
var JSONFields = [...]JSONField{
	fSeq:             {"seq", "integer", "number of the event in the one order of the source; internal events leave holes, lost ones do not; left out for what is inferred"},
	fTime:            {"time", "string", "wall clock, RFC 3339 with nanoseconds, UTC"},
	fTimeNs:          {"time_ns", "integer", "the same in nanoseconds since 1970-01-01 UTC"},
	fKind:            {"kind", "string", "state, packet, retransmit, retransmit-synack, send-reset, receive-reset, drop, socket-error, owner, socket, connect-failed or gap; trace: the first line, which says what was asked for; hidden: nothing that is shown, but later events stand on it"},
	fConn:            {"conn", "integer", "number of the conversation, from 1; both ends on this host share it"},
	fRole:            {"role", "string", "which end this is: client, server or listener"},
	fCookie:          {"cookie", "integer", "kernel socket cookie of this end; without one, no socket is known that this belongs to"},
	fNetns:           {"netns", "integer", "inode number of the network namespace"},
	fNetnsName:       {"netns_name", "string", "its name, where it has one (ip-netns(8), a container runtime's mount)"},
	fLocalAddr:       {"local_addr", "string", "this end's address, as the socket has it"},
	fLocalPort:       {"local_port", "integer", "this end's port"},
	fRemoteAddr:      {"remote_addr", "string", "the other end's address, as the socket has it"},
	fRemotePort:      {"remote_port", "integer", "the other end's port"},
	fPeerCookie:      {"peer_cookie", "integer", "cookie of the other end, when it is a socket of this host"},
	fOldState:        {"old_state", "string", "state that the socket leaves"},
	fNewState:        {"new_state", "string", "state that it enters"},
	fInStateUs:       {"in_state_us", "number", "microseconds spent in old_state; for SYN_RECV after LISTEN, which the kernel traces only at the handshake's end, only with in_state_inferred"},
	fInStateInferred: {"in_state_inferred", "boolean", "in_state_us counts from the first SYN-ACK on, with which the half-open connection was inferred"},
	fInferredState:   {"inferred_state", "string", "what the kernel keeps of the connection after this →CLOSE, and does not trace: TIME_WAIT, or FIN_WAIT2 of a socket that nobody holds any more; CLOSE: TIME_WAIT was due, and there was no room for it (net.ipv4.tcp_max_tw_buckets)"},
	fInferred:        {"inferred", "boolean", "no tracepoint tells of this transition: it follows from what was seen"},
	fInferredFrom:    {"inferred_from", "string", "namely from: SYN-ACK, SYN-ACK again, FIN, timer (its time is over), no SYN-ACK (the timer fired, and none was sent again), RST, RST sent, reuse (another connection has taken the tuple)"},
	fState:           {"state", "string", "state of the socket, in events that are no transition"},
	fPid:             {"pid", "integer", "process that did it, where that is certain"},
	fTid:             {"tid", "integer", "its thread"},
	fComm:            {"comm", "string", "its name, the thread group leader's; bytes that are not UTF-8 become U+FFFD"},
	fOwnerPid:        {"owner_pid", "integer", "the socket's user: the process that acted on it last, or that holds it open"},
	fOwnerComm:       {"owner_comm", "string", "its name"},
	fOwnerVia:        {"owner_via", "string", "how that is known: connect, listen, read, write, close (or shutdown), held (one of its file descriptors is the socket)"},
	fOpenerPid:       {"opener_pid", "integer", "the first process known of the socket, where it is another"},
	fOpenerComm:      {"opener_comm", "string", "its name"},
	fCgroup:          {"cgroup", "integer", "id of the cgroup (v2) that the socket was made in"},
	fCgroupPath:      {"cgroup_path", "string", "its path in the hierarchy"},
	fContainer:       {"container", "string", "id of the container, from that path"},
	fContainerName:   {"container_name", "string", "its name, where the runtime's files tell it"},
	fRuntime:         {"runtime", "string", "the container runtime"},
	fOlder:           {"older", "boolean", "the socket existed before the trace began"},
	fSinceNs:         {"since_ns", "integer", "kind socket, in an incident of the flight recorder: when it came to that state, where that is known, nanoseconds since 1970-01-01 UTC; time is that, too"},
	fOpenedNs:        {"opened_ns", "integer", "kind socket, likewise: when it was opened, where the recorder has seen that"},
	fBytesAcked:      {"bytes_acked", "integer", "the kernel's count of what the other end has acknowledged; SYN and FIN count, too"},
	fBytesReceived:   {"bytes_received", "integer", "its count of what was received in order; the FIN counts, too"},
	fSegsOut:         {"segs_out", "integer", "segments sent"},
	fSegsIn:          {"segs_in", "integer", "segments received"},
	fRetransmits:     {"retransmits", "integer", "segments sent again"},
	fSrttUs:          {"srtt_us", "integer", "smoothed round-trip time in microseconds"},
	fBacklog:         {"backlog", "integer", "listener: connections that wait to be accepted"},
	fMaxBacklog:      {"max_backlog", "integer", "listener: how many may"},
	fErrno:           {"errno", "integer", "error of the socket; for a retransmission, of the attempt; for connect-failed, what connect() returned"},
	fError:           {"error", "string", "name of errno"},
	fSoft:            {"soft", "boolean", "errno is a soft error (sk_err_soft): noted, and counts only if the connection fails anyway"},
	fNoSYN:           {"no_syn", "boolean", "inferred: connect() gave up before a SYN left, for want of a free port as a rule; the socket left SYN_SENT without an error and without a port"},
	fRetransmit:      {"retransmit", "string", "SYN, RTO, fast, TLP, loss-recovery or unknown"},
	fRetransmitCount: {"retransmit_count", "integer", "time-outs in a row; for a SYN-ACK, how many times it was sent again"},
	fReason:          {"reason", "string", "the kernel's reason for a reset or a drop"},
	fDevice:          {"device", "string", "name of the network device"},
	fIfindex:         {"ifindex", "integer", "its number"},
	fDirection:       {"direction", "string", "as the device saw it: In, Out, B (broadcast), M (multicast), P (to somebody else); on loopback each packet shows once, as In. Other kinds: which way the segment was going that they are about"},
	fOutgoing:        {"outgoing", "boolean", "this end sent the packet"},
	fLoopback:        {"loopback", "boolean", "seen on a loopback device: both ends are this one sighting"},
	fVlan:            {"vlan", "array of integers", "VLAN ids, the outer one first"},
	fSrcAddr:         {"src_addr", "string", "source address on the wire"},
	fSrcPort:         {"src_port", "integer", "source port on the wire"},
	fDstAddr:         {"dst_addr", "string", "destination address on the wire"},
	fDstPort:         {"dst_port", "integer", "destination port on the wire"},
	fTranslated:      {"translated", "boolean", "address translation: the tuple on the wire is not the socket's"},
	fProtocol:        {"protocol", "integer", "IP protocol number"},
	fWireLength:      {"wire_length", "integer", "bytes on the wire with the link-layer header"},
	fCapturedLength:  {"captured_length", "integer", "bytes captured"},
	fFlags:           {"flags", "string", "TCP flags as tcpdump spells them"},
	fTCPSeq:          {"tcp_seq", "integer", "absolute sequence number"},
	fTCPAck:          {"tcp_ack", "integer", "absolute acknowledgement number"},
	fWindow:          {"window", "integer", "window as in the header, not scaled"},
	fHeaderLength:    {"header_length", "integer", "bytes of TCP header"},
	fLength:          {"length", "integer", "bytes of TCP payload"},
	fMss:             {"mss", "integer", "option: maximum segment size"},
	fWscale:          {"wscale", "integer", "option: window scale"},
	fSackOk:          {"sack_ok", "boolean", "option: SACK permitted"},
	fTsVal:           {"ts_val", "integer", "option: timestamp value"},
	fTsEcr:           {"ts_ecr", "integer", "option: timestamp echo reply"},
	fSack:            {"sack", "array of [from, to]", "option: SACK blocks, absolute"},
	fICMPType:        {"icmp_type", "integer", "type of an ICMP or ICMPv6 message"},
	fICMPCode:        {"icmp_code", "integer", "its code"},
	fQuotedSrcAddr:   {"quoted_src_addr", "string", "ICMP error: source address of the TCP header that it quotes"},
	fQuotedSrcPort:   {"quoted_src_port", "integer", "its source port"},
	fQuotedDstAddr:   {"quoted_dst_addr", "string", "its destination address"},
	fQuotedDstPort:   {"quoted_dst_port", "integer", "its destination port"},
	fCause:           {"cause", "string", "why events are missing: ring-full, recursion or filter-undecided (the latter two: at most so many)"},
	fLost:            {"lost", "integer", "how many are missing just before this"},
	fHook:            {"hook", "string", "the program that missed them, where known"},
	fTrace:           {"trace", "object", "what was asked for, and where"},
	fEvent:           {"event", "object", "the event as it came, from which -r makes all of this again (RECORDING.md lists its members); left out for what is inferred, which follows again"},
}

// jsonKeys are the members' names, ready to append.
var jsonKeys = func() (keys [len(JSONFields)]string) {
	for i, f := range JSONFields {
		keys[i] = `"` + f.Name + `":`
	}
	return keys
}()
