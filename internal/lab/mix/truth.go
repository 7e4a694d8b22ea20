package mix

import "net/netip"

// Fate is what becomes of a connection.
type Fate uint8

// The fates.
const (
	ClientCloses Fate = iota
	ServerCloses
	HalfClose    // the client shuts down, the server sends more and closes
	ClientAborts // SO_LINGER 0
	ServerAborts
	Unread    // the client closes with bytes unread
	Untouched // the server accepts, the client aborts, the server closes later
	Refused
	GaveUp
	NeverAccepted
	NoAnswer // the SYNs' time is out
	Fates
)

// Truth is one end of a connection, as its process knows it. Times are
// CLOCK_MONOTONIC, ns.
type Truth struct {
	Local, Remote netip.AddrPort
	Fate          Fate
	Client        bool
	PID           int
	Comm          string
	TX, RX        int64
	Before        int64 // connect(), or accept() had not returned yet
	Begun         int64 // it had
	Closing       int64 // just before close(), or the failed connect()'s return was noticed
	Closed        int64 // just after
	Unreachable   bool  // NoAnswer: but an ICMP error; connect() has said so
}

// Ends are what a report may say of an end, by fate and by side: names that
// tcpstory life --json uses.
var Ends = [Fates][2]string{ // client, server
	ClientCloses:  {"fin-local", "fin-remote"},
	ServerCloses:  {"fin-remote", "fin-local"},
	HalfClose:     {"fin-local", "fin-remote"},
	ClientAborts:  {"rst-sent", "rst-received"},
	ServerAborts:  {"rst-received", "rst-sent"},
	Unread:        {"rst-sent", "rst-received"},
	Untouched:     {"rst-sent", "rst-received"},
	Refused:       {"refused", ""},
	GaveUp:        {"gave-up", ""},
	NeverAccepted: {"rst-received", "rst-sent"},
	NoAnswer:      {"timed-out", ""},
}
