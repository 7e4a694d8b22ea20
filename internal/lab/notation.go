package lab

import (
	"fmt"
	"regexp"
	"sync"

	"tcpstory/internal/tcp"
)

// Packets is a notation for a sequence of packets: a regular expression over
// words. ">" and "<" say where the packet goes (to the server, to the client)
// and what follows are the flags as tcpdump spells them; "icmp" in their place
// is an ICMP error about the connection. Spaces mean nothing:
//
//	>S <S. >.               a handshake
//	>S (>S)+                a SYN, retransmitted at least once
//	>F. <. (>F. (<.)?)+     a FIN retransmitted at least once, some of them answered
type Packets string

// nothing is no packet at all, where there might be some; talked is a handshake, a
// request and an answer.
const (
	nothing Packets = "()"
	talked  Packets = ">S <S. >. >P. <. <P. >."
)

// word is one packet in the notation.
var word = regexp.MustCompile(`[<>](?:icmp|none|[FSRPUEWe.]+)`)

// compiled keeps the patterns that were asked for.
var compiled sync.Map // Packets to *regexp.Regexp

func (p Packets) pattern() (*regexp.Regexp, error) {
	if re, ok := compiled.Load(p); ok {
		return re.(*regexp.Regexp), nil
	}
	noSpace := regexp.MustCompile(`\s+`).ReplaceAllString(string(p), "")
	quoted := word.ReplaceAllStringFunc(noSpace, func(w string) string {
		return "(?:" + regexp.QuoteMeta(w) + " )"
	})
	re, err := regexp.Compile("^" + quoted + "$")
	if err != nil {
		return nil, fmt.Errorf("packets %q: %w", p, err)
	}
	compiled.Store(p, re)
	return re, nil
}

// Match reports whether seen, a sequence built by AppendPacket, is told by p.
func (p Packets) Match(seen []byte) (bool, error) {
	re, err := p.pattern()
	if err != nil {
		return false, err
	}
	return re.Match(seen), nil
}

// AppendPacket appends one packet to a sequence for Match.
func AppendPacket(seen []byte, toServer bool, flags tcp.Flags) []byte {
	seen = append(seen, way(toServer))
	seen, _ = flags.AppendText(seen)
	return append(seen, ' ')
}

// AppendICMP appends an ICMP error about the connection.
func AppendICMP(seen []byte, toServer bool) []byte {
	return append(append(seen, way(toServer)), "icmp "...)
}

func way(toServer bool) byte {
	if toServer {
		return '>'
	}
	return '<'
}
