package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// translations are, for the stories whose wire is not what the sockets see, the
// hosts whose packets are not their socket's tuple. A router's translation shows at
// neither: only sequence numbers tell that the two ends belong together.
var translations = map[string][]string{
	"dnat-client":   {lab.Client},
	"dnat-server":   {lab.Server},
	"dnat-loopback": {lab.Client, lab.Server}, // each is seen as it is sent: the other's view
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
	left := map[string][]uint64{}
	for _, ev := range v.of.events {
		if ev.Kind != tcp.KindPacket.String() {
			continue
		}
		word := v.of.word(&ev)
		sends := (v.of.host(&ev) == lab.Client) == (word[0] == '>')
		if ev.Loopback != v.of.alone() || ev.Loopback && !(sends && ev.Outgoing && ev.Direction == "In") {
			v.errs("%s at the %s went %s (outgoing %v, loopback %v)", word, v.of.host(&ev), ev.Direction, ev.Outgoing, ev.Loopback)
		}
		if ev.Loopback {
			continue
		}
		if way := map[bool]string{true: "Out", false: "In"}[sends]; ev.Direction != way || ev.Outgoing != sends {
			v.errs("%s at the %s went %s (outgoing %v)", word, v.of.host(&ev), ev.Direction, ev.Outgoing)
		}
		which := fmt.Sprint(word, ev.TCPSeq, ev.TCPAck, ev.Length)
		switch {
		case sends:
			left[which] = append(left[which], ev.Seq)
		case len(left[which]) == 0:
			v.lacks("%s arrived (%d) and did not leave", word, ev.Seq)
		default:
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
	numbers := map[string][]uint64{}
	for _, ev := range v.of.events {
		end := v.of.host(&ev)
		if ev.Role == "listener" {
			end = ev.Role
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
	if len(s) > 0 && !slices.Equal(c, s) || slices.Equal(numbers["listener"], c) {
		v.errs("the numbers are %v", numbers)
	}
}

// translation: translated says where the wire's tuple is not the socket's, and
// the addresses say it too.
func (v *verdict) translation() {
	server := lab.Virtual4
	if v.of.family == lab.IPv6 {
		server = lab.Virtual6
	}
	for _, ev := range v.of.events {
		if ev.Kind != tcp.KindPacket.String() || ev.ICMPType != nil {
			continue
		}
		want := slices.Contains(translations[v.of.Name], v.of.host(&ev))
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
