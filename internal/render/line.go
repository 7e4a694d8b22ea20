package render

import (
	"tcpstory/internal/tcp"
)

// LineOptions are the tcpdump flags that shape a packet line. Addresses and
// ports are always numbers: tcpdump's -n.
type LineOptions struct {
	Time     TimeFormat // -t … -ttttt
	Absolute bool       // -S: sequence numbers as they are
	Quiet    bool       // -q
	Verbose  int        // how many -v
	Columns  bool       // -i any: interface and direction first; frames that carry a cooked v2 header always have them
	Link     bool       // -e
	Number   bool       // -#
}

// maxSnapLength is tcpdump's largest credible packet (MAXIMUM_SNAPLEN).
const maxSnapLength = 262144

// LinePrinter prints packets as tcpdump 4.99 does with -n, byte for byte for
// TCP over IPv4 and IPv6, ICMP, ICMPv6's common types, ARP and UDP. It stops
// where application data would begin, and gives protocols that are none of
// this tool's business a short line of their own; it never dumps in hex what
// it does not know. It keeps state from line to line (relative sequence
// numbers, the previous time, the count) and is not safe for concurrent use.
type LinePrinter struct {
	opts  LineOptions
	clock lineClock
	count uint64
	d     dissection
}

// NewLinePrinter returns a printer whose times are in the local zone.
func NewLinePrinter(opts LineOptions) *LinePrinter {
	lp := &LinePrinter{opts: opts, clock: newLineClock(opts.Time)}
	lp.d.opts = &lp.opts
	lp.d.seqs = newSeqTracker()
	return lp
}

// Append appends the packet of ev as one line, with -v sometimes more than
// one, and the final newline. It appends printable ASCII, newlines and tabs
// only, whatever the packet holds.
func (lp *LinePrinter) Append(dst []byte, ev *tcp.Event) []byte {
	p := &ev.Packet
	lp.count++
	if lp.opts.Number {
		dst = appendPadded(dst, lp.count, 5)
		dst = append(dst, "  "...)
	}
	if !credible(p) {
		return appendIncredible(dst, p)
	}
	lp.d.seqs.place = ev.Netns
	dst = lp.clock.appendTime(dst, ev.Time)
	return append(lp.dissect(dst, p), '\n')
}

// AppendTime appends the time column with the blank behind it, as Append
// does, so that other events of the stream can share it: under -ttt it counts
// from the line before, whoever printed that. ns is since 1970, UTC.
func (lp *LinePrinter) AppendTime(dst []byte, ns int64) []byte {
	return lp.clock.appendTime(dst, ns)
}

func (lp *LinePrinter) dissect(dst []byte, p *tcp.Packet) []byte {
	d := &lp.d
	d.begin(dst, p.Frame)
	if lp.opts.Columns || p.Link == tcp.LinkSLL2 {
		d.cooked(p)
	} else {
		d.link(p)
	}
	return d.finish()
}

func credible(p *tcp.Packet) bool {
	n := uint32(len(p.Frame))
	return n > 0 && n <= p.Length && p.Length <= maxSnapLength
}

// appendIncredible says which lengths cannot be, instead of decoding.
func appendIncredible(dst []byte, p *tcp.Packet) []byte {
	captured := uint64(len(p.Frame))
	sep := "[Invalid header:"
	if captured == 0 {
		dst = append(dst, "[Invalid header: caplen==0"...)
		sep = ","
	}
	complain := func(what string, v uint64, than string, limit uint64) {
		dst = append(dst, sep...)
		dst = append(dst, what...)
		dst = appendUint(dst, v)
		dst = append(dst, than...)
		dst = appendUint(dst, limit)
		sep = ","
	}
	if p.Length == 0 {
		dst = append(append(dst, sep...), " len==0"...)
		sep = ","
	} else if uint64(p.Length) < captured {
		complain(" len(", uint64(p.Length), ") < caplen(", captured)
		dst = append(dst, ')')
	}
	if captured > maxSnapLength {
		complain(" caplen(", captured, ") > ", maxSnapLength)
	}
	if p.Length > maxSnapLength {
		complain(" len(", uint64(p.Length), ") > ", maxSnapLength)
	}
	return append(dst, "]\n"...)
}
