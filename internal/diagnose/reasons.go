package diagnose

import "tcpstory/internal/tcp"

// dropWord is what a drop reason of the kernel's means, and what to look at then.
type dropWord struct {
	says, next string
	host       bool // the host threw it away before a socket saw it
	unfit      bool // the socket did not take it: RFC 9293's unacceptable segment
	beyond     bool // … and a closed window is enough for that: some probe it with a byte that is new
}

// dropWords are the reasons that are trouble for a connection that is open, by 6.18's
// names. Those that are not here are the course of things (an old copy, a full queue
// that has a rule of its own). Before 5.17 there are none, and
// before 6.11 those of a socket come without a namespace.
var dropWords = map[string]dropWord{
	"NETFILTER_DROP": {host: true},
	"TC_INGRESS":     {host: true, next: "tc filter show dev DEVICE ingress; bpftool net"},
	"XDP":            {host: true, next: "ip link show DEVICE; bpftool net"},
	"XFRM_POLICY":    {host: true, next: "ip xfrm policy; ip xfrm state; nstat -az XfrmIn*"},
	"SOCKET_FILTER":  {host: true, next: "the program's own socket filter (SO_ATTACH_FILTER, a cgroup's eBPF program): bpftool cgroup tree"},
	"IP_RPFILTER": {host: true, says: "the way back to their sender is another",
		next: "ip route get SENDER: is it the device that it came by? net.ipv4.conf.*.rp_filter (2 is loose); ip rule"},
	"IP_CSUM":  {host: true, says: "their IP header's checksum is wrong", next: spoiled},
	"TCP_CSUM": {host: true, says: "their checksum is wrong", next: spoiled},

	"TCP_RFC7323_PAWS":         {unfit: true, says: "their timestamps are older than what came before"},
	"TCP_RFC7323_TSECR":        {unfit: true, says: "they echo timestamps that were never sent"},
	"TCP_INVALID_SEQUENCE":     {unfit: true, beyond: true, says: "their sequence numbers lie beyond the window"},
	"TCP_INVALID_END_SEQUENCE": {unfit: true, beyond: true, says: "they reach beyond the window"},
	"TCP_ACK_UNSENT_DATA":      {unfit: true, says: "they acknowledge what was never sent"},
}

const spoiled = "what on the way changes segments (NAT, tunnel, a failing card or cable); nstat -az TcpInCsumErrors; ethtool -k (offloads)"

// reason is a drop reason as it stands in a finding's text.
func reason(s string) string {
	if s == "" {
		return "the kernel gives no reason"
	}
	if w := dropWords[s]; w.says != "" {
		return s + ": " + w.says
	}
	return s
}

// noStream are flags of segments that are more than a stretch of the stream.
const noStream = tcp.SYN | tcp.FIN | tcp.RST

// lacked counts a segment with data that was thrown away though this end lacks it still:
// one that it has is a copy, which may come to anything.
func (e *Engine) lacked(r *record, c *Clue) {
	if c.Sight != DroppedIn || c.Len == 0 || c.Flags&noStream != 0 || !r.born || !r.in.known || int32(c.Seq+c.Len-r.in.acked) <= 0 {
		return
	}
	switch w := dropWords[c.Reason]; {
	case w.beyond && r.in.zero != 0:
	case w.unfit:
		e.unsays(r, c.Seq+c.Len)
		r.saw.untaken++
		r.saw.untakenAt, r.saw.untakenWhy = c.Time, c.Reason
	case c.Reason == "":
		r.saw.unexplained++
	}
}

// unsays takes back what a segment that ends there has changed when it arrived: its numbers
// are nobody's of this connection.
func (e *Engine) unsays(r *record, end uint32) {
	b, s := &r.before, &r.in
	if s.next != end || b.end != end || s.next == b.next {
		return
	}
	if r.replies != 0 && b.replies == 0 && r.teaches {
		delete(e.answering, r.address())
	}
	s.next, s.last, s.said, s.asked, s.pace, s.aside, s.more = b.next, b.last, b.said, b.asked, b.pace, b.aside, b.more
	r.turn, r.settled, r.slow, r.replies, r.waited = b.turn, b.settled, b.slow, b.replies, b.waited
}

// droppedIn counts the drops of segments with data whose reason is so.
func (x *exam) droppedIn(is func(dropWord) bool) (n uint32, why string) {
	x.clue(func(c *Clue) bool {
		if c.Sight == DroppedIn && c.Flags&noStream == 0 && c.Len > 0 && is(dropWords[c.Reason]) {
			n += c.Count
			why = c.Reason
		}
		return false
	})
	return n, why
}
