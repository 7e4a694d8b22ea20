package conn

import (
	"net/netip"

	"tcpstory/internal/tcp"
)

// Role says which end of a conversation a socket is.
type Role uint8

// The roles. A connection that was open before the trace began has RoleUnknown.
const (
	RoleUnknown  Role = iota
	RoleClient        // it opened the connection: SYN_SENT, or it sent the SYN
	RoleServer        // it was opened to: LISTEN→SYN_RECV, or it sent the SYN-ACK
	RoleListener      // it listens; it has no other end
)

var roleNames = [...]string{"unknown", "client", "server", "listener"}

// String returns the stable name that JSON output and the docs use.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return roleNames[0]
}

func (r Role) opposite() Role {
	switch r {
	case RoleClient:
		return RoleServer
	case RoleServer:
		return RoleClient
	}
	return RoleUnknown
}

// Conn is one end of a conversation: a socket of this host, or, where no socket
// has shown itself yet (Cookie is 0 and Socket is false), what its packets tell.
//
// A Conn belongs to its Table: it is read only, and used again for another
// connection some time after it has ended. Hold on to it no longer than to the
// Step that it came with.
type Conn struct {
	// Number is what people call the conversation: 1, 2, 3 … in the order of
	// appearance; both ends on this host share it. 0: never selected.
	Number    uint64
	Cookie    uint64 // kernel socket cookie; 0 unknown
	Netns     uint32 // inode of the network namespace; 0 unknown
	stamp     uint32 // time stamp (TSval) on the SYN that it sent last; 0 none
	Flow      tcp.Flow
	Role      Role
	Socket    bool       // a kernel event vouched for the socket
	State     tcp.State  // as of the last transition, inferred ones included; StateUnknown before the first
	Via       tcp.Via    // how Task is known
	Older     bool       // it existed before what this table was told of begins
	Witnessed bool       // … but the trace has seen it begin: see OlderThanTrace
	Since     int64      // when State was entered, nanoseconds since 1970; 0 unknown
	Opened    int64      // first event of this end
	Closed    int64      // when the socket went to CLOSE; 0: it has not
	Task      tcp.Task   // its user: the last process that acted on the socket, or that holds it open
	Opener    tcp.Task   // the first process known of it,
	Met       int64      // and since when that is known
	Cgroup    uint64     // id of the cgroup that the socket was made in; 0 unknown
	Namespace *tcp.Place // what Netns is called; nil or empty: no name known
	Home      *tcp.Place // what Cgroup is called, and which container it is; nil or empty likewise
	Peer      *Conn      // the other end, when it is a socket of this host too
	Alias     tcp.Flow   // the tuple on the wire where address translation changes it; else zero

	out, in fin // the FINs that this end sent and received

	small // the request socket, or the timewait minisock, that stands for this end

	unsent  bool // it ended in SYN_SENT without an error, and connect()'s own was not told yet
	settled bool // the kernel has told iss and irs
	guessed bool // it is the caller, and its Peer is not certain
	verdict verdict

	iss, irs start // where the numbers of what it sends, and receives, begin
	suitor   *Conn // who was reached by a SYN with its number, and may be its other end

	tuple node // Flow's place in the index
	wire  node // Alias's place
	last  int64
	list  *list
	prev  *Conn
	next  *Conn
}

// verdict caches what the filter says about a complete tuple.
type verdict uint8

const (
	undecided verdict = iota
	selected
	passedOver
)

// fin follows one direction's FIN: the sequence number behind it and whether
// the receiver's acknowledgement of it was seen.
type fin struct {
	end         uint32
	sent, acked bool
}

// send takes note of a segment in this direction.
func (f *fin) send(s *tcp.Segment) {
	if s.Flags.Has(tcp.FIN) {
		f.end, f.sent = s.Seq+uint32(s.PayloadLen)+1, true
	}
}

// ack takes note of a segment in the other direction.
func (f *fin) ack(s *tcp.Segment) {
	if f.sent && s.Flags.Has(tcp.ACK) && int32(s.Ack-f.end) >= 0 {
		f.acked = true
	}
}

// sends and receives follow the FINs of both directions.
func (c *Conn) sends(s *tcp.Segment)    { c.out.send(s); c.in.ack(s) }
func (c *Conn) receives(s *tcp.Segment) { c.in.send(s); c.out.ack(s) }

// OlderThanTrace reports a socket that nobody has seen begin: it existed before the
// trace did. What a flight recorder has seen begin is only older than the part of the
// past that its file holds.
func (c *Conn) OlderThanTrace() bool { return c.Older && !c.Witnessed }

// gone reports whether the socket has ended: c is only kept for late packets.
func (c *Conn) gone() bool { return c.Closed != 0 }

// OtherView returns the tuple that the other end has, from its side, and whether
// it is another than c's: then addresses are translated between the two.
func (c *Conn) OtherView() (f tcp.Flow, differs bool) {
	if c.Peer == nil || !complete(c.Flow) || !complete(c.Peer.Flow) {
		return f, false
	}
	return c.Peer.Flow, c.Peer.Flow != c.Flow.Reverse()
}

// learnRole takes a role as a fact; the first one stands.
func (c *Conn) learnRole(r Role) {
	if c.Role != RoleUnknown || r == RoleUnknown {
		return
	}
	c.Role = r
	if c.Peer != nil && c.Peer.Role == RoleUnknown {
		c.Peer.Role = r.opposite()
	}
}

// complete reports whether both ends of f are known.
func complete(f tcp.Flow) bool { return known(f.Local) && known(f.Remote) }

func known(a netip.AddrPort) bool {
	return a.Port() != 0 && a.Addr().IsValid() && !a.Addr().IsUnspecified()
}
