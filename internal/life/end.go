package life

import (
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// End says how a connection ended.
type End uint8

// The ends. Of two FINs the first counts.
const (
	EndUnknown End = iota
	EndFINOwn
	EndFINPeer
	EndRSTSent
	EndRSTReceived
	EndTimedOut
	EndRefused
	EndUnreachable
	EndGaveUp
	EndOpen
	ends
)

var endWords = [ends]struct{ word, short, name, meaning string }{
	EndUnknown:     {"?", "?", "unknown", "not seen"},
	EndFINOwn:      {"FIN by us", "FIN us", "fin-local", "this end closed first; with TIME_WAIT, or where no process holds the socket any more, the life ends when the kernel puts a minisock in its place"},
	EndFINPeer:     {"FIN by peer", "FIN peer", "fin-remote", "the other end closed first"},
	EndRSTSent:     {"RST sent", "RST sent", "rst-sent", "this end aborted it: closed with bytes unread, SO_LINGER 0, data for a closed socket, ss -K, or never accepted and its listener closed"},
	EndRSTReceived: {"RST received", "RST rcvd", "rst-received", "the other end aborted it, or something on the way"},
	EndTimedOut:    {"timed out", "timeout", "timed-out", "retransmissions, keepalives or SYNs had no answer"},
	EndRefused:     {"refused", "refused", "refused", "a RST answered the SYN"},
	EndUnreachable: {"unreachable", "unreach", "unreachable", "ICMP, or the neighbour's silence, said so"},
	EndGaveUp:      {"gave up", "gave up", "gave-up", "closed here before it was established"},
	EndOpen:        {"still open", "open", "open", "when tcpstory ended (--open)"},
}

// String returns the word that tables use.
func (e End) String() string { return endWords[e].word }

// Short is the word where there is little room, at most eight characters.
func (e End) Short() string { return endWords[e].short }

// Name returns the stable name that JSON and CSV use.
func (e End) Name() string { return endWords[e].name }

// Meaning explains it in half a sentence.
func (e End) Meaning() string { return endWords[e].meaning }

// Ends are all of them, for help and documents.
func Ends() []End {
	all := make([]End, ends)
	for i := range all {
		all[i] = End(i)
	}
	return all
}

// Failed reports whether it is not how a connection should end.
func (e End) Failed() bool { return e >= EndRSTSent && e <= EndGaveUp }

// byError are the ends that sk_err alone tells.
var byError = map[unix.Errno]End{
	unix.ECONNREFUSED: EndRefused,
	unix.ECONNRESET:   EndRSTReceived,
	unix.EPIPE:        EndRSTReceived, // after the other end's FIN
	unix.ETIMEDOUT:    EndTimedOut,
	unix.ECONNABORTED: EndRSTSent,
	unix.EHOSTUNREACH: EndUnreachable,
	unix.ENETUNREACH:  EndUnreachable,
	unix.EHOSTDOWN:    EndUnreachable,
	unix.ENETDOWN:     EndUnreachable,
	unix.EACCES:       EndUnreachable, // administratively prohibited, ICMPv6
	unix.ENOPROTOOPT:  EndUnreachable, // protocol unreachable
	unix.EPROTO:       EndUnreachable,
}

// endOf tells how the life ended, from the state that it ended in and what the
// socket knows.
func endOf(ev *tcp.Event) End {
	l := ev.Life
	switch {
	case l.Flags.Has(tcp.LifeIsOpen):
		return EndOpen
	case l.Flags.Has(tcp.LifeHalf):
		return halfEnd(l.Flags)
	case l.Flags.Has(tcp.LifeMinisock):
		return EndFINOwn
	case ev.Errno != 0:
		return byError[unix.Errno(ev.Errno)]
	}
	switch ev.Old {
	case tcp.SynSent:
		return EndGaveUp
	case tcp.LastAck:
		if l.Unacked == 0 {
			return EndFINPeer
		}
		return EndRSTSent
	case tcp.Established, tcp.CloseWait, tcp.FinWait1, tcp.FinWait2:
		return EndRSTSent // without an error only an abort leads from here to CLOSE
	}
	return EndUnknown
}

// halfEnd is that of a half-open connection.
func halfEnd(f tcp.LifeFlags) End {
	switch {
	case f.Has(tcp.LifeReset):
		return EndRSTReceived
	case f.Has(tcp.LifeDoubt):
		return EndUnknown
	}
	return EndTimedOut
}
