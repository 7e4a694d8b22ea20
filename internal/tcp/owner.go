package tcp

// Via says how the process of an event is known.
type Via uint8

// The ways, each in the process's own context (VIA_* of bpf/event.h).
const (
	ViaUnknown Via = iota
	ViaConnect
	ViaListen
	ViaRead
	ViaWrite
	ViaClose // close() or shutdown(), or exit with the socket open
	ViaHeld  // one of its file descriptors names the socket; it need not have acted
)

var viaNames = [...]string{"unknown", "connect", "listen", "read", "write", "close", "held"}

// String returns the stable name that JSON output and the docs use.
func (v Via) String() string {
	if int(v) < len(viaNames) {
		return viaNames[v]
	}
	return viaNames[0]
}

// viaOf is the act behind a transition that a process makes itself.
func viaOf(to State) Via {
	switch to {
	case SynSent:
		return ViaConnect
	case Listen:
		return ViaListen
	}
	return ViaClose
}

// ActsBy names the process that made the transition ev.
func (ev *Event) ActsBy(t Task) {
	ev.Task = t
	if t.Known() && ev.Kind == KindState {
		ev.Via = viaOf(ev.New)
	}
}

// Counters are the kernel's own counts for a socket (struct tcp_sock), as they
// stood at the event. BytesAcked counts SYN and FIN too, BytesReceived the FIN.
type Counters struct {
	BytesAcked, BytesReceived uint64
	SegsOut, SegsIn           uint32
	Retransmits               uint32 // segments
	SRTT                      uint32 // smoothed round-trip time, microseconds; 0 no sample
	Backlog, MaxBacklog       uint32 // listener: connections that wait for accept(), and how many may
}

// Place gives a name to a network namespace (Event.Netns) or to a cgroup
// (Event.Cgroup), whichever the event carries. The strings are untrusted.
type Place struct {
	Name      string // of the namespace; of the container, where the runtime's files tell it
	Path      string // of the cgroup, from the root of the hierarchy
	Container string // its whole id
	Runtime   string // docker, podman …
}

// Stack is what counters of a namespace's network stack (nstat(8), TcpExt) have
// moved by since they were told last, and how many ports connect() may choose from.
type Stack struct {
	ListenOverflows uint64 // connections that found no room in a listener's queue
	ReqQFullDrop    uint64 // SYNs that found no room among half-open connections
	ReqQFullCookies uint64 // and were answered by a SYN cookie
	LocalPorts      uint32 // net.ipv4.ip_local_port_range; 0 unknown
}
