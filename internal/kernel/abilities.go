package kernel

// ability is something that a hook can do on newer kernels only.
type ability struct {
	name    string
	program string // the hook's
	has     func(*features) bool
	asked   func(*Config) bool // its lack is worth a note at start
	what    string
	lack    string // a sentence of its own
	since   string
}

// abilities are what the running kernel's BTF decides beyond the hooks, in the
// order of the notes.
var abilities = []ability{
	{name: "payload of packets out", program: traceProgPacketOut, since: "6.12",
		has:   func(f *features) bool { return f.dynptr },
		asked: func(c *Config) bool { return c.Packets && c.looksAtPayload() },
		what:  "filter expressions that ask for payload",
		lack:  "tracing programs cannot read paged data before 6.12: where the filter asks for payload, packets out are not decided (counted)"},
	{name: "reasons of drops", program: traceProgDrop, since: "5.17",
		has: func(f *features) bool { return f.dropReason }, asked: wantsStates,
		what: "why a segment was dropped",
		lack: "kfree_skb gives no reason before 5.17: drops are not told from ordinary frees and are left out"},
	{name: "receiver of drops", program: traceProgDrop, since: "6.11",
		has: func(f *features) bool { return f.dropSock }, asked: wantsStates,
		what: "drops without a reason, by their receiver",
		lack: "kfree_skb does not name the receiving socket before 6.11: drops without a reason (NOT_SPECIFIED) are left out"},
	{name: "reasons of resets", program: traceProgSendReset, since: "6.10",
		has: func(f *features) bool { return f.resetReason }, asked: wantsStates,
		what: "why a reset was sent, and resets without a socket",
		lack: "tcp_send_reset gives no reason, and is silent without a socket, before 6.10"},
	{name: "failed retransmissions", program: traceProgRetransmit, since: "6.17",
		has: func(f *features) bool { return f.retransmitResult }, asked: never,
		what: "retransmissions that could not be sent",
		lack: "tcp_retransmit_skb does not tell of retransmissions that failed before 6.17"},
	{name: "socket cookies", program: traceProgSetState, since: "5.12",
		has: func(f *features) bool { return f.cookieHelper }, asked: wantsStates,
		what: "one number for a socket, never used again",
		lack: "no socket cookies before 5.12: sockets are told apart by address, which the kernel reuses"},
}

func wantsStates(c *Config) bool { return c.States }
func never(*Config) bool         { return false }

// pointless: without a reason no drop is told at all, whoever was to receive it.
func (a *ability) pointless(f *features) bool {
	return a.name == "receiver of drops" && !f.dropReason
}
