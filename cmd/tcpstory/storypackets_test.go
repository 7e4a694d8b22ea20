package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// translations are the stories whose wire is not what the sockets see.
var translations = map[string]struct {
	translated string // the host whose packets are not its socket's tuple
	joined     bool   // both ends have one number
	hidden     string // a packet that is not seen where it arrives
	early      int    // at most so many of the host's packets come before the wire's tuple is known to be its socket's
}{
	// The client's own firewall translates. The socket is known by its cookie on
	// the way out; what the wire then shows also finds the answers, and the
	// server's end, whose socket has just that tuple.
	"dnat-client": {translated: lab.Client, joined: true},
	// A router translates: neither end's packets differ from its socket, and
	// nothing that either host knows says that they belong together. Only the
	// router's conntrack does. Two numbers, honestly.
	"dnat-router": {},
	// The server's own firewall translates. Its first SYN arrives for an address
	// that nobody has yet answered for, and counts as passed on. Until the
	// server's socket sends something itself, packets are joined to the client by
	// its tuple, and the new socket has a number of its own.
	"dnat-server": {translated: lab.Server, joined: true, hidden: ">S", early: 3},
}

// word is one packet as lab.Packets spells it.
func (tell *telling) word(ev *happening) string {
	if ev.ICMPType != nil {
		return string(lab.AppendICMP(nil, ev.QuotedToward != tell.Port))[:len("<icmp")]
	}
	if ev.DstPort == tell.Port {
		return ">" + ev.Flags
	}
	return "<" + ev.Flags
}

// words are a host's packets as lab.Packets spells them.
func (tell *telling) words(host string) string {
	var b strings.Builder
	for _, ev := range tell.at(host, tcp.KindPacket) {
		b.WriteString(tell.word(&ev) + " ")
	}
	return b.String()
}

var oneWord = regexp.MustCompile(`[<>][^\s()|<>*?{+]+`)

// fewer is the notation with every packet optional: what matches it, and not
// the notation itself, lacks packets and has none too many.
func fewer(p lab.Packets) lab.Packets {
	return lab.Packets(oneWord.ReplaceAllString(string(p), "($0)?"))
}

// packets: what each end sees is what the story says.
func (v *verdict) packets() {
	atServer := v.of.Story.AtServer
	if atServer == "" {
		atServer = v.of.Story.Packets
	}
	if hidden := translations[v.of.Name].hidden; hidden != "" {
		atServer = lab.Packets(strings.Replace(string(atServer), hidden, "", 1))
	}
	v.sequence(lab.Client, v.of.Story.Packets)
	v.sequence(lab.Server, atServer)
}

func (v *verdict) sequence(host string, want lab.Packets) {
	have := v.of.words(host)
	exact, err := want.Match([]byte(have))
	less, err2 := fewer(want).Match([]byte(have))
	switch {
	case err != nil || err2 != nil:
		v.errs("%v, %v", err, err2)
	case exact:
	case less:
		v.lacks("packets at the %s: %s, want %s", host, have, want)
	default:
		v.errs("packets at the %s: %s, want %s", host, have, want)
	}
}

// sightings: every packet is seen once where it leaves and once where it
// arrives, in this order.
func (v *verdict) sightings() {
	hidden := translations[v.of.Name].hidden
	left := map[string][]uint64{}
	for _, ev := range v.of.events {
		if ev.Kind != tcp.KindPacket.String() {
			continue
		}
		word := v.of.word(&ev)
		sends := (v.of.host(&ev) == lab.Client) == (word[0] == '>')
		if way := map[bool]string{true: "Out", false: "In"}[sends]; ev.Direction != way || ev.Outgoing != sends {
			v.errs("%s at the %s went %s (outgoing %v)", word, v.of.host(&ev), ev.Direction, ev.Outgoing)
		}
		which := fmt.Sprint(word, ev.TCPSeq, ev.TCPAck, ev.Length)
		switch {
		case sends && word != hidden:
			left[which] = append(left[which], ev.Seq)
		case !sends && len(left[which]) == 0:
			v.lacks("%s arrived (%d) and did not leave", word, ev.Seq)
		case !sends:
			left[which] = left[which][1:]
		}
	}
	for which, seqs := range left {
		if len(seqs) > 0 {
			v.lacks("%s left (%d) and did not arrive", which, seqs)
		}
	}
}

// conversations: all that an end tells has one number, and both ends have the
// same; the listener has one of its own.
func (v *verdict) conversations() {
	t := translations[v.of.Name]
	joined := !v.of.Story.Translated || t.joined
	numbers := map[string][]uint64{}
	for _, ev := range v.of.events {
		end := v.of.host(&ev)
		if ev.Role == "listener" {
			end = ev.Role
		}
		opening := ev.Old == tcp.Listen.String() || ev.Old == tcp.SynRecv.String()
		if t.early > 0 && opening && ev.Conn != 0 {
			continue
		}
		if !slices.Contains(numbers[end], ev.Conn) {
			numbers[end] = append(numbers[end], ev.Conn)
		}
	}
	for end, list := range numbers {
		if len(list) != 1 || list[0] == 0 {
			v.errs("the %s has the numbers %d", end, list)
		}
	}
	c, s := numbers[lab.Client], numbers[lab.Server]
	if len(s) > 0 && slices.Equal(c, s) != joined || slices.Equal(numbers["listener"], c) {
		v.errs("the numbers are %v, joined: want %v", numbers, joined)
	}
}

// translation: translated says where the wire's tuple is not the socket's, and
// the addresses say it too.
func (v *verdict) translation() {
	t := translations[v.of.Name]
	server := lab.Virtual4
	if v.of.family == lab.IPv6 {
		server = lab.Virtual6
	}
	early := 0
	for _, ev := range v.of.events {
		if ev.Kind != tcp.KindPacket.String() || ev.ICMPType != nil {
			continue
		}
		want := v.of.host(&ev) == t.translated
		if want && !ev.Translated && early < t.early {
			early++
			want = false
		}
		if ev.Translated != want {
			v.errs("packet %d is translated: %v, want %v", ev.Seq, ev.Translated, want)
		}
		here, there := ev.SrcAddr, ev.DstAddr
		if !ev.Outgoing {
			here, there = there, here
		}
		if same := here == ev.LocalAddr && there == ev.RemoteAddr; same == want {
			v.errs("packet %d: wire %s %s, socket %s %s", ev.Seq, here, there, ev.LocalAddr, ev.RemoteAddr)
		}
		if v.of.Story.Translated && v.of.host(&ev) == lab.Client && ev.RemoteAddr != server.String() {
			v.errs("packet %d: the client's socket is connected to %s, want %s", ev.Seq, ev.RemoteAddr, server)
		}
	}
}
