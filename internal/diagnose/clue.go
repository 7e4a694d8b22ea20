package diagnose

import (
	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// Sight says what kind of thing a Clue is.
type Sight uint8

// The sights. Those of a segment carry its numbers.
const (
	SightNone     Sight = iota
	Left                // a segment left this end's device
	Arrived             // a segment arrived at this end's device
	DroppedOut          // the kernel threw a segment away on its way out
	DroppedIn           // likewise on its way in
	Resent              // the kernel sent a segment again
	SynAckAgain         // a listener answered a SYN again
	ResetSent           // the kernel sent a RST
	ResetReceived       // the kernel accepted a RST
	Failed              // the socket got an error
	NotedError          // it noted one that is not fatal by itself
	ConnectFailed       // connect() failed before a SYN
	Moved               // a transition of the socket
	Complained          // an ICMP error that quotes the connection
	Existed             // the socket existed when the trace began
	Overflowed          // the counters of the namespace moved: Reason says which, Count by how much
	Missed              // Count events were lost by the trace
)

var sightNames = [...]string{
	"none", "left", "arrived", "dropped-out", "dropped-in", "resent", "synack-again", "reset-sent", "reset-received",
	"error", "soft-error", "connect-failed", "state", "icmp", "existed", "overflow", "lost",
}

// String returns the stable name that JSON output and the docs use.
func (s Sight) String() string { return nameOf(sightNames[:], int(s)) }

// sights are a set of Sight.
type sights uint32

func of(list ...Sight) (set sights) {
	for _, s := range list {
		set |= 1 << s
	}
	return set
}

func (set sights) has(s Sight) bool { return set&(1<<s) != 0 }

// Clue is something that was seen, the first of its kind, and how often and how
// lately the like of it was seen again.
type Clue struct {
	Sight     Sight
	Role      conn.Role // at which end
	Again     tcp.RetransmitKind
	Old, New  tcp.State
	Flags     tcp.Flags
	Window    uint16
	ICMP      ICMP
	Seq, Ack  uint32
	Len       uint32 // payload, bytes; of what came last
	Errno     int32
	Count     uint32
	Time      int64 // wall clock, ns since 1970: the first
	Last      int64 // the last
	Reason    string
	Device    string
	Translate bool // the wire shows another tuple than the socket's
}

// like reports whether b is the same again.
func (c *Clue) like(b *Clue) bool {
	return c.Sight == b.Sight && c.Flags == b.Flags && c.Again == b.Again && c.Errno == b.Errno && c.Old == b.Old && c.New == b.New &&
		(c.Window == 0) == (b.Window == 0) && c.ICMP == b.ICMP && c.Reason == b.Reason && c.Device == b.Device && (c.Len == 0) == (b.Len == 0)
}

// mostClues is how many kinds of things are kept for a connection: the first of
// each, with a count, and room for the end's own when there are more.
const mostClues = 20

// dossier is the evidence about a connection in which something is under way.
type dossier struct {
	clues [mostClues]Clue
	n     int
	lost  uint32 // how many found no room
	next  *dossier
}

// add takes a clue in. When there is no more room, the oldest but the first two
// make some: what a connection began with and what it ended with count.
func (d *dossier) add(c Clue) *Clue {
	for i := d.n - 1; i >= 0; i-- {
		if have := &d.clues[i]; have.like(&c) {
			have.Count += max(c.Count, 1)
			have.Last, have.Seq, have.Ack, have.Len, have.Window = c.Time, c.Seq, c.Ack, c.Len, c.Window
			return have
		}
	}
	if d.n == mostClues {
		copy(d.clues[2:], d.clues[3:])
		d.n--
		d.lost++
	}
	c.Last, c.Count = c.Time, max(c.Count, 1)
	d.clues[d.n] = c
	d.n++
	return &d.clues[d.n-1]
}

// ICMP is an ICMP error's type and code, and which of the two protocols.
type ICMP struct {
	V6         bool
	Type, Code uint8
}

// icmpKind says what an error means for a connection.
type icmpKind uint8

const (
	icmpOther icmpKind = iota
	icmpUnreachable
	icmpProhibited
	icmpPort // nobody listens, or a firewall's default REJECT
	icmpTooBig
)

type icmpWord struct {
	kind icmpKind
	text string
}

// icmpWords are the errors of RFC 792, 1122, 1812 and 4443 that TCP minds.
var icmpWords = map[ICMP]icmpWord{
	{false, 3, 0}:  {icmpUnreachable, "network unreachable"},
	{false, 3, 1}:  {icmpUnreachable, "host unreachable"},
	{false, 3, 2}:  {icmpUnreachable, "protocol unreachable"},
	{false, 3, 3}:  {icmpPort, "port unreachable"},
	{false, 3, 4}:  {icmpTooBig, "fragmentation needed"},
	{false, 3, 9}:  {icmpProhibited, "network administratively prohibited"},
	{false, 3, 10}: {icmpProhibited, "host administratively prohibited"},
	{false, 3, 13}: {icmpProhibited, "administratively prohibited"},
	{true, 1, 0}:   {icmpUnreachable, "no route"},
	{true, 1, 1}:   {icmpProhibited, "administratively prohibited"},
	{true, 1, 2}:   {icmpUnreachable, "beyond scope of source address"},
	{true, 1, 3}:   {icmpUnreachable, "address unreachable"},
	{true, 1, 4}:   {icmpPort, "port unreachable"},
	{true, 1, 5}:   {icmpProhibited, "source address failed policy"},
	{true, 1, 6}:   {icmpUnreachable, "reject route"},
	{true, 2, 0}:   {icmpTooBig, "packet too big"},
}

// String names the error as people do.
func (i ICMP) String() string {
	if w, ok := icmpWords[i]; ok {
		return w.text
	}
	return "error"
}
