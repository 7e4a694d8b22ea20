package kernel

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// hook is one program of bpf/ and the place in the kernel that it sits on.
type hook struct {
	program  string
	site     site
	at       string // a tracepoint without its subsystem, as in btf_trace_<at>; a function; what is walked over
	optional bool   // the kernel may refuse the program without harm to the rest: see programs.go
	part     part
	args     int    // the fewest arguments of the tracepoint that it can do with
	instead  string // the program that makes this one needless
	what     string // what it tells, and what it costs where that is more than its own event
	lack     string // what is missing without it; "": another program stands in
	since    string // the kernel that brought the place; "": all that we support
}

// site is the kind of place.
type site uint8

const (
	onTracepoint site = iota // tp_btf
	onExit                   // fexit: when the function returns
	onWalk                   // iter: when the loader reads (walk.go)
)

// part is the view that needs a hook.
type part uint8

const (
	partSockets part = iota // states and what goes with them
	partPackets
	partOwners // whose socket it is; belongs to the socket view
	partLives  // a record a connection; a view of its own
)

// hooks is every tracing program, in the order of attachment: packets first,
// so that no transition is seen without the packet that caused it. Notes, doctor
// and tests read it.
var hooks = []hook{
	{program: traceProgPacketIn, at: "netif_receive_skb", part: partPackets,
		what: "packets in", lack: "packets in are not seen"},
	{program: traceProgPacketOut, at: "net_dev_start_xmit", part: partPackets,
		what: "packets out, and the local port of a SYN_SENT", lack: "packets out are not seen"},
	{program: traceProgSetState, at: stateTracepoint,
		what: "state transitions; who connects, listens, closes", lack: "state transitions are not seen"},
	{program: traceProgSetStateTwin, at: stateTracepoint,
		what: "transitions that interrupt another one", lack: "transitions that interrupt another one are lost, and counted"},
	{program: traceProgDrop, at: "kfree_skb", args: 3,
		what: "segments that this host drops, and why", lack: "drops are not seen", since: "5.17"},
	{program: traceProgSocketError, at: "inet_sk_error_report",
		what: "socket errors", lack: "socket errors are not seen", since: "5.14"},
	{program: traceProgReceiveReset, at: "tcp_receive_reset",
		what: "resets received", lack: "resets received are not seen"},
	{program: traceProgSendReset, at: "tcp_send_reset",
		what: "resets sent", lack: "resets sent are not seen"},
	{program: traceProgRetransmitSynack, at: "tcp_retransmit_synack",
		what: "repeated SYN-ACKs", lack: "repeated SYN-ACKs are not seen"},
	{program: traceProgRetransmit, at: "tcp_retransmit_skb",
		what: "retransmissions", lack: "retransmissions are not seen"},
	{program: traceProgDestroys, at: "tcp_destroy_sock", part: partOwners,
		what: "who closes a socket that has ended before", lack: "who closes a socket that a reset has ended is not seen"},
	{program: traceProgReads, at: "tcp_rcv_space_adjust", part: partOwners,
		what: "who reads (once known: a comparison a read)", lack: "who reads is not seen"},
	{program: traceProgWrites, at: "tcp_sendmsg_locked", part: partOwners, since: "6.16",
		what: "who writes (once known: a comparison a write)"},
	{program: traceProgWritesAny, at: "sock_send_length", part: partOwners, instead: traceProgWrites,
		what: "who writes (runs for every protocol)", lack: "who writes is not seen", since: "6.3"},
	{program: traceProgWalkSockets, at: "tcp", site: onWalk, optional: true,
		what: "sockets that exist at start", lack: "connections older than the trace are not known before they act"},
	{program: traceProgWalkFiles, at: "task_file", site: onWalk, optional: true, part: partOwners,
		what: "who holds a socket (a walk over all open files)", lack: "who holds a socket that nobody reads or writes is not seen"},
	{program: traceProgConnect4Failed, at: "tcp_v4_connect", site: onExit, optional: true,
		what: "connects over IPv4 that fail before a SYN", lack: "connects over IPv4 that fail for want of a route are not seen"},
	{program: traceProgConnect6Failed, at: "tcp_v6_connect", site: onExit, optional: true,
		what: "connects over IPv6 that fail before a SYN", lack: "connects over IPv6 that fail for want of a route are not seen"},
	{program: traceProgLifeDestroys, at: "tcp_destroy_sock", part: partLives,
		what: "who closes a socket that has ended before", lack: "who closes a socket that a reset has ended is not seen"},
	{program: traceProgLifeReads, at: "tcp_rcv_space_adjust", part: partLives,
		what: "who reads, and when first", lack: "who reads, and when first, is not seen"},
	{program: traceProgLifeSendReset, at: "tcp_send_reset", part: partLives,
		what: "resets that answer data behind a close", lack: "resets that answer data behind a close are told as the other end's"},
	{program: traceProgLifeState, at: stateTracepoint, part: partLives,
		what: "lives: a record for each connection at its end", lack: "connections' ends are not seen"},
	{program: traceProgLifeSynack, at: "tcp_retransmit_synack", part: partLives,
		what: "half-open connections whose SYN-ACK is sent again", lack: "half-open connections that come to nothing are not seen"},
	{program: traceProgLifeDrops, at: "kfree_skb", optional: true, part: partLives,
		what: "half-open connections that are reset", lack: "how a half-open connection ends is not told: it may have been reset"},
	{program: traceProgLifeOpen, at: "tcp", site: onWalk, optional: true, part: partLives,
		what: "connections that are open still (life --open)", lack: "life --open has nothing to show"},
	{program: traceProgLifeStateTwin, at: stateTracepoint, part: partLives,
		what: "transitions that interrupt another one", lack: "transitions that interrupt another one are lost, and counted"},
}

// hookOf finds a program's hook; nil: it has none (the packet socket's filter).
func hookOf(program string) *hook {
	for i := range hooks {
		if hooks[i].program == program {
			return &hooks[i]
		}
	}
	return nil
}

// name is what notes and lists call the hook.
func (h *hook) name() string {
	switch {
	case h.site == onExit:
		return "exit of " + h.at
	case h.site == onWalk:
		return "iter/" + h.at
	case h.program == traceProgSetStateTwin, h.program == traceProgLifeStateTwin:
		return h.at + " (twin)"
	}
	return h.at
}

// stateTracepoint is the one that the socket view cannot do without.
const stateTracepoint = "inet_sock_set_state"

// features is what the running kernel's BTF tells about its tracepoints.
type features struct {
	types                *btf.Cache
	spec                 *btf.Spec
	cookieHelper         bool
	dynptr               bool
	rdonlyCast           bool
	socketStorage        bool
	dropReason, dropSock bool
	resetReason          bool
	retransmitResult     bool
}

// ErrNoBTF means that the kernel does not describe its own types.
var ErrNoBTF = errors.New("the kernel has no BTF (/sys/kernel/btf/vmlinux is missing): it needs CONFIG_DEBUG_INFO_BTF=y, as all Debian kernels from 5.10 on have")

func probeFeatures() (*features, error) {
	types := btf.NewCache()
	spec, err := types.Kernel()
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrNoBTF, err)
	}
	f := &features{types: types, spec: spec}
	drop := f.arguments("kfree_skb")
	f.dropReason, f.dropSock = drop >= 3, drop >= 4
	f.resetReason = f.arguments("tcp_send_reset") >= 3
	f.retransmitResult = f.arguments("tcp_retransmit_skb") >= 3
	f.cookieHelper = f.hasFunc("bpf_get_socket_ptr_cookie")
	f.dynptr = f.hasFunc("bpf_dynptr_from_skb")
	f.socketStorage = f.hasFunc("bpf_sk_storage_get_tracing")
	f.rdonlyCast = f.hasFunc("bpf_rdonly_cast")
	return f, nil
}

func (f *features) hasFunc(name string) bool {
	var fn *btf.Func
	return f.spec.TypeByName(name, &fn) == nil
}

// arguments counts a tracepoint's arguments; -1: there is no such tracepoint.
func (f *features) arguments(tracepoint string) int {
	var td *btf.Typedef
	if f.spec.TypeByName("btf_trace_"+tracepoint, &td) != nil {
		return -1
	}
	ptr, ok := td.Type.(*btf.Pointer)
	if !ok {
		return -1
	}
	proto, ok := ptr.Target.(*btf.FuncProto)
	if !ok {
		return -1
	}
	return len(proto.Params) - 1 // the first is the probe's own data
}

// has says whether the running kernel offers the place that the hook needs.
func (f *features) has(h *hook) bool {
	switch h.site {
	case onExit:
		return f.hasFunc(h.at)
	case onWalk:
		return f.hasFunc("bpf_iter_" + h.at)
	}
	return f.arguments(h.at) >= h.args
}

// notes says in plain words what this kernel does not tell of what was asked.
// Optional hooks are left to doctor and -v: they would be said at every start.
func (f *features) notes(c *Config, dev *device) []string {
	var out []string
	for i := range hooks {
		h := &hooks[i]
		if h.lack != "" && !h.optional && c.wants(h, dev) && f.arguments(h.at) < 0 {
			out = append(out, fmt.Sprintf("no tracepoint %s: %s%s", h.at, h.lack, came(h.since)))
		}
	}
	for i := range abilities {
		a := &abilities[i]
		if a.asked(c) && !a.has(f) && !a.pointless(f) {
			out = append(out, a.lack)
		}
	}
	return out
}

func came(since string) string {
	if since == "" {
		return ""
	}
	return " (the tracepoint came with " + since + ")"
}

// names reads an enum of the running kernel: value to name without prefix.
// Reason enums are renumbered between releases, so no table of ours can serve.
func (f *features) names(enum string, prefixes ...string) map[uint32]string {
	var e *btf.Enum
	if f.spec.TypeByName(enum, &e) != nil {
		return nil
	}
	out := make(map[uint32]string, len(e.Values))
	for _, v := range e.Values {
		name := v.Name
		for _, p := range prefixes {
			name = strings.TrimPrefix(name, p)
		}
		out[uint32(v.Value)] = name
	}
	return out
}

// ordinary are the drop reasons that are no loss: the skb was consumed, thrown
// away with its queue, never meant for us, or its bytes were there already.
var ordinary = []string{
	"SKB_NOT_DROPPED_YET", "SKB_CONSUMED", "QUEUE_PURGE", "OTHERHOST",
	"TCP_OFOMERGE", "TCP_OLD_DATA", "TCP_OLD_ACK", "TCP_RESET", "PACKET_SOCK_ERROR",
	"DUP_FRAG",
}

// isOrdinary: where the kernel reports resets without a socket (6.10), the
// refused segment that caused one is no story of its own.
func (f *features) isOrdinary(name string) bool {
	return slices.Contains(ordinary, name) || name == "NO_SOCKET" && f.resetReason
}
