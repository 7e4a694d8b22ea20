package kernel

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// hook is one program of bpf/ and the tracepoint it sits on.
type hook struct {
	program    string
	tracepoint string // without its subsystem, as in btf_trace_<tracepoint>
	packets    bool   // part of the packet view; else of the socket view
	lack       string // what is missing without it
}

// hooks is every tracing program, in the order of attachment: packets first,
// so that no transition is seen without the packet that caused it.
var hooks = []hook{
	{traceProgPacketIn, "netif_receive_skb", true, "packets in are not seen"},
	{traceProgPacketOut, "net_dev_start_xmit", true, "packets out are not seen"},
	{traceProgDrop, "kfree_skb", false, "drops are not seen"},
	{traceProgSocketError, "inet_sk_error_report", false, "socket errors are not seen (the tracepoint came with 5.14)"},
	{traceProgReceiveReset, "tcp_receive_reset", false, "resets received are not seen"},
	{traceProgSendReset, "tcp_send_reset", false, "resets sent are not seen"},
	{traceProgRetransmitSynack, "tcp_retransmit_synack", false, "repeated SYN-ACKs are not seen"},
	{traceProgRetransmit, "tcp_retransmit_skb", false, "retransmissions are not seen"},
	{traceProgDestroys, "tcp_destroy_sock", false, "who closes a socket that a reset has ended is not seen"},
	{traceProgReads, "tcp_rcv_space_adjust", false, "who reads is not seen"},
	{traceProgWrites, "tcp_sendmsg_locked", false, ""},
	{traceProgWritesAny, "sock_send_length", false, "who writes is not seen (the tracepoint came with 6.3)"},
	{traceProgSetState, stateTracepoint, false, "state transitions are not seen"},
	{traceProgSetStateTwin, stateTracepoint, false, ""},
}

// stateTracepoint is the one that the socket view cannot do without.
const stateTracepoint = "inet_sock_set_state"

// features is what the running kernel's BTF tells about its tracepoints.
type features struct {
	spec                 *btf.Spec
	cookieHelper         bool
	dynptr               bool
	dropReason, dropSock bool
	resetReason          bool
	retransmitResult     bool
}

// ErrNoBTF means that the kernel does not describe its own types.
var ErrNoBTF = errors.New("the kernel has no BTF (/sys/kernel/btf/vmlinux is missing): it needs CONFIG_DEBUG_INFO_BTF=y, as all Debian kernels from 5.10 on have")

func probeFeatures() (*features, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrNoBTF, err)
	}
	f := &features{spec: spec}
	drop := f.arguments("kfree_skb")
	f.dropReason, f.dropSock = drop >= 3, drop >= 4
	f.resetReason = f.arguments("tcp_send_reset") >= 3
	f.retransmitResult = f.arguments("tcp_retransmit_skb") >= 3
	f.cookieHelper = f.hasFunc("bpf_get_socket_ptr_cookie")
	f.dynptr = f.hasFunc("bpf_dynptr_from_skb")
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

// notes says in plain words what this kernel does not tell of what was asked.
func (f *features) notes(c *Config, dev *device) []string {
	var out []string
	for _, h := range hooks {
		if h.lack != "" && c.wants(h, dev) && f.arguments(h.tracepoint) < 0 {
			out = append(out, fmt.Sprintf("no tracepoint %s: %s", h.tracepoint, h.lack))
		}
	}
	if !f.dynptr && c.Packets && c.looksAtPayload() {
		out = append(out, "tracing programs cannot read paged data before 6.12: where the filter asks for payload, packets out are not decided (counted)")
	}
	if !c.States {
		return out
	}
	if !f.dropReason {
		out = append(out, "kfree_skb gives no reason before 5.17: drops are not told from ordinary frees and are left out")
	}
	if f.dropReason && !f.dropSock {
		out = append(out, "kfree_skb does not name the receiving socket before 6.11: drops without a reason (NOT_SPECIFIED) are left out")
	}
	if !f.resetReason {
		out = append(out, "tcp_send_reset gives no reason, and is silent without a socket, before 6.10")
	}
	if !f.cookieHelper {
		out = append(out, "no socket cookies before 5.12: sockets are told apart by address, which the kernel reuses")
	}
	return out
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
