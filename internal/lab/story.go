package lab

import (
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Path is the states of one socket in the order sock:inet_sock_set_state
// reports them, the state it starts from included. Empty: no event at all.
type Path []tcp.State

// Transition is one step of a path.
type Transition struct{ Old, New tcp.State }

// Transitions are the steps of the path.
func (p Path) Transitions() []Transition {
	var steps []Transition
	for i := 1; i < len(p); i++ {
		steps = append(steps, Transition{p[i-1], p[i]})
	}
	return steps
}

// Standing is what socket diagnosis shows on both sides at the moment that a
// scenario is about. StateUnknown: there is no such socket.
type Standing struct {
	Client, Server tcp.State
	Flow           tcp.Flow // the client's view; the remote side is the address it connected to
}

// Fact is something that a tracer must report besides states and packets.
type Fact struct {
	Host   string // whose namespace: Client, Server
	Kind   tcp.Kind
	Again  tcp.RetransmitKind // KindRetransmit
	Errno  unix.Errno         // KindSocketError
	Reason string             // KindSendReset, KindDrop, on kernels that give one (this name is 6.18's); "" any
}

// Story is what must be seen of one run, over either family.
type Story struct {
	// Client and Server are the paths of the two ends of the connection. The
	// server's is that of the socket which the listener's handshake makes. A
	// listener, where there is one, adds CLOSE→LISTEN first and LISTEN→CLOSE last.
	Client, Server Path
	Listener       bool
	// Standing holds at the moment that the scenario is about (Flow is not set).
	Standing Standing
	// Packets is what is on the wire, at the client's device and, if AtServer
	// is not set, at the server's too. Order between two devices is not told.
	Packets, AtServer Packets
	// ClientErrno and ServerErrno are sk_err when the path ends in CLOSE; 0 none.
	ClientErrno, ServerErrno unix.Errno
	// ClientErrno6, if set, replaces ClientErrno over IPv6.
	ClientErrno6 unix.Errno
	Facts        []Fact
	// Translated: the client connects to Virtual4 or Virtual6, and the server
	// accepts on its own address. AtClient says that the client's own firewall
	// translates, so that the wire never shows the virtual address.
	Translated, TranslatedAtClient bool
}

// ErrnoAt returns the error of the client's socket over a family.
func (s Story) ErrnoAt(f Family) unix.Errno {
	if f == IPv6 && s.ClientErrno6 != 0 {
		return s.ClientErrno6
	}
	return s.ClientErrno
}

// ListenerPath is what every listener goes through.
var ListenerPath = Path{tcp.Close, tcp.Listen, tcp.Close}

// Beginnings that many stories share.
var (
	clientOpens = Path{tcp.Close, tcp.SynSent, tcp.Established}
	serverOpens = Path{tcp.Listen, tcp.SynRecv, tcp.Established}
)

// The two ways of an orderly close.
var (
	closesFirst = Path{tcp.FinWait1, tcp.FinWait2, tcp.Close}
	closesLast  = Path{tcp.CloseWait, tcp.LastAck, tcp.Close}
)

// then is the path continued.
func (p Path) then(more ...tcp.State) Path {
	return append(append(Path(nil), p...), more...)
}

// wire is the story with what is on the wire at the client's device, and at the server's.
func (s Story) wire(client, server Packets) Story {
	s.Packets, s.AtServer = client, server
	return s
}
