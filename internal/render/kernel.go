package render

import (
	"strconv"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// LineForm documents how a kind of event reads as a line.
type LineForm struct {
	Kind       tcp.Kind
	Form, Text string
}

// LineForms are the forms of kernel events in Lines. Each stands behind
// "TIME TCP LOCAL > REMOTE: ", where LOCAL is always this socket's end, and
// before the process, if it is known: ", pid N (COMM)" is the one that certainly
// did it, ", owner N (COMM)" the socket's user: who acted on it last, or holds it open.
// Unknown is "?". At the end may stand ", in NAME", the container or network
// namespace where the socket lives, and ", older", when the socket existed before
// the trace began. SEGMENT is "Flags [..], seq N[:END], length N", its numbers
// absolute.
var LineForms = [...]LineForm{
	{tcp.KindState, "State OLD -> NEW[ after N.NNN ms[ from the SYN-ACK on (inferred)]][, error NAME][, no SYN sent (inferred)][, REMAINS (inferred)][ (inferred: GROUND)]", "a transition, how long the socket was in OLD, and the socket's error; no SYN sent: connect() gave up before, for want of a free port as a rule; REMAINS is what the kernel keeps of a closed connection, GROUND what a transition follows from that no tracepoint tells of"},
	{tcp.KindRetransmit, "Retransmit SYN|RTO|fast|TLP|loss-recovery|unknown[ N][, failed NAME][, SEGMENT]", "a segment is sent again, or could not be; N time-outs in a row"},
	{tcp.KindSynAckAgain, "Retransmit SYN-ACK[ N]", "a listener answers a SYN for the N-th time again: its timer fired, or the SYN was repeated"},
	{tcp.KindSendReset, "Reset sent[, reason NAME]", "a RST leaves, and the kernel's reason"},
	{tcp.KindReceiveReset, "Reset received", "a RST was accepted"},
	{tcp.KindDrop, "Drop[ REASON][, incoming|, outgoing][, SEGMENT]", "the kernel threw a segment away"},
	{tcp.KindSocketError, "Error NAME|0[ (soft)]", "the socket reports an error to its owner; a soft one is noted, and counts only if the connection fails anyway"},
	{tcp.KindConnectFailed, "Connect failed NAME before a SYN", "connect() returned this error, and no SYN was sent: no route, or one that prohibits it, or no free port"},
	{tcp.KindOwner, "Owner read|write|close|held", "this process is the socket's user from here on: it has read or written, closes, or one of its file descriptors is the socket"},
	{tcp.KindSocket, "Existed in STATE[ (inferred)][ from here on][, client|, server][, opened N.NNN ms before[ by N (COMM)]]", "in an incident of the flight recorder: how a socket stood when what memory had of it begins; the time is since when, where that is known; (inferred): half open, or a timewait minisock"},
	{tcp.KindGap, "*** [up to ]N events lost here: CAUSE[, PROGRAM] ***", "events are missing just before; stands behind the time alone"},
}

// kernelFacts append what LineForms describe.
var kernelFacts = [...]func([]byte, *conn.Step) []byte{
	tcp.KindState:        stateFact,
	tcp.KindRetransmit:   retransmitFact,
	tcp.KindSynAckAgain:  synAckFact,
	tcp.KindSendReset:    sendResetFact,
	tcp.KindReceiveReset: func(dst []byte, _ *conn.Step) []byte { return append(dst, "Reset received"...) },
	tcp.KindDrop:         dropFact,
	tcp.KindSocketError:  errorFact,
	tcp.KindConnectFailed: func(dst []byte, s *conn.Step) []byte {
		return append(appendErrno(append(dst, "Connect failed "...), s.Event.Errno), " before a SYN"...)
	},
	tcp.KindOwner: func(dst []byte, s *conn.Step) []byte {
		return append(append(dst, "Owner "...), s.Event.Via.String()...)
	},
	tcp.KindSocket: existedFact,
}

// AppendKernel appends what is no packet as Lines shows it, without time and
// newline.
func AppendKernel(dst []byte, s *conn.Step) []byte {
	if s.Event.Kind == tcp.KindGap {
		return appendGap(dst, &s.Event.Gap)
	}
	return AppendFact(AppendEnds(dst, s), s)
}

// AppendEnds appends whose a kernel event is: what stands before AppendFact.
func AppendEnds(dst []byte, s *conn.Step) []byte {
	listener := listens(s)
	dst = append(dst, "TCP "...)
	dst = appendEnd(dst, s.Flow.Local, listener)
	dst = append(dst, " > "...)
	dst = appendEnd(dst, s.Flow.Remote, listener)
	return append(dst, ": "...)
}

// AppendFact appends a kernel event without the ends of its connection.
func AppendFact(dst []byte, s *conn.Step) []byte {
	k := s.Event.Kind
	if int(k) >= len(kernelFacts) || kernelFacts[k] == nil {
		return append(dst, k.String()...)
	}
	dst = kernelFacts[k](dst, s)
	return appendWhere(appendProcess(dst, s), s)
}

// appendWhere appends where the socket lives, and that it is an older one.
func appendWhere(dst []byte, s *conn.Step) []byte {
	if s.Conn == nil {
		return dst
	}
	if where := whereabouts(s.Conn); where != "" {
		dst = appendASCII(append(dst, ", in "...), where)
	}
	if s.Conn.OlderThanTrace() {
		dst = append(dst, ", older"...)
	}
	return dst
}

func existedFact(dst []byte, s *conn.Step) []byte {
	dst = append(append(dst, "Existed in "...), stateOf(s.Event).String()...)
	c := s.Conn
	if c == nil {
		return dst
	}
	if c.IsSmall() {
		dst = append(dst, " (inferred)"...)
	}
	if c.Since != 0 {
		dst = append(dst, " from here on"...)
	}
	if c.Role == conn.RoleClient || c.Role == conn.RoleServer {
		dst = append(append(dst, ", "...), c.Role.String()...)
	}
	if !c.Witnessed {
		return dst
	}
	dst = append(appendMillis(append(dst, ", opened "...), time.Duration(max(0, s.Event.Time-c.Opened))), " ms before"...)
	if c.Opener.Known() {
		dst = appendTask(append(dst, " by "...), &c.Opener)
	}
	return dst
}

func stateFact(dst []byte, s *conn.Step) []byte {
	ev := s.Event
	dst = append(append(dst, "State "...), ev.Old.String()...)
	dst = append(append(dst, " -> "...), ev.New.String()...)
	if s.InStateKnown {
		dst = appendMillis(append(dst, " after "...), s.InState)
		dst = append(dst, " ms"...)
		if s.HalfOpen {
			dst = append(dst, " from the SYN-ACK on (inferred)"...)
		}
	}
	if ev.Errno != 0 {
		dst = appendErrno(append(dst, ", error "...), ev.Errno)
	}
	if s.Unsent {
		dst = append(dst, ", no SYN sent (inferred)"...)
	}
	if word := remains(s); word != "" {
		dst = append(append(append(dst, ", "...), word...), " (inferred)"...)
	}
	if ev.Inferred {
		dst = append(append(append(dst, " (inferred: "...), s.From.String()...), ')')
	}
	return dst
}

func retransmitFact(dst []byte, s *conn.Step) []byte {
	ev := s.Event
	dst = append(append(dst, "Retransmit "...), ev.Again.String()...)
	dst = appendCount(dst, ev.Count)
	if ev.Errno != 0 {
		dst = appendErrno(append(dst, ", failed "...), ev.Errno)
	}
	return appendSegment(dst, ev)
}

func synAckFact(dst []byte, s *conn.Step) []byte {
	return appendCount(append(dst, "Retransmit SYN-ACK"...), s.Event.Count)
}

func sendResetFact(dst []byte, s *conn.Step) []byte {
	dst = append(dst, "Reset sent"...)
	if s.Event.Reason != "" {
		dst = appendASCII(append(dst, ", reason "...), s.Event.Reason)
	}
	return dst
}

func dropFact(dst []byte, s *conn.Step) []byte {
	dst = append(dst, "Drop"...)
	if s.Event.Reason != "" {
		dst = appendASCII(append(dst, ' '), s.Event.Reason)
	}
	switch s.Event.Packet.Dir {
	case tcp.DirIn:
		dst = append(dst, ", incoming"...)
	case tcp.DirOut:
		dst = append(dst, ", outgoing"...)
	}
	return appendSegment(dst, s.Event)
}

func errorFact(dst []byte, s *conn.Step) []byte {
	dst = appendErrno(append(dst, "Error "...), s.Event.Errno)
	if s.Event.Soft {
		dst = append(dst, " (soft)"...)
	}
	return dst
}

func appendCount(dst []byte, n uint32) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendUint(append(dst, ' '), uint64(n), 10)
}

// appendSegment appends what is known of the segment that a kernel event is
// about.
func appendSegment(dst []byte, ev *tcp.Event) []byte {
	p := &ev.Packet
	if !p.IsTCP {
		return dst
	}
	dst, _ = p.Flags.AppendText(append(dst, ", Flags ["...))
	dst = strconv.AppendUint(append(dst, "], seq "...), uint64(p.Seq), 10)
	if p.PayloadLen > 0 {
		dst = strconv.AppendUint(append(dst, ':'), uint64(p.Seq+uint32(p.PayloadLen)), 10)
	}
	return strconv.AppendInt(append(dst, ", length "...), int64(p.PayloadLen), 10)
}

func appendProcess(dst []byte, s *conn.Step) []byte {
	if t := &s.Event.Task; t.Known() && s.Event.Kind != tcp.KindSocket { // who holds a socket does nothing to it
		return appendTask(append(dst, ", pid "...), t)
	}
	if t := owner(s); t != nil {
		return appendTask(append(dst, ", owner "...), t)
	}
	if s.Event.Kind == tcp.KindState && !s.Event.Inferred {
		return append(dst, ", pid ?"...)
	}
	return dst
}

func appendTask(dst []byte, t *tcp.Task) []byte {
	dst = strconv.AppendUint(dst, uint64(t.PID), 10)
	dst = appendASCII(append(dst, " ("...), t.Name())
	return append(dst, ')')
}
