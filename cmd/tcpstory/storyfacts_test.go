package main

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tcpstory/internal/kernel/ordertest"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// besides are facts that the kernel tells and a story, which is about something
// else, does not mention.
var besides = map[string][]lab.Fact{
	// Disconnecting leaves ECONNRESET in the socket, and reports it.
	"abort": {{Host: lab.Client, Kind: tcp.KindSocketError, Errno: unix.ECONNRESET}},
	// The cut-off server's FIN finds nobody any more.
	"keepalive-death":  {{Host: lab.Client, Kind: tcp.KindSendReset, Reason: "NO_SOCKET"}},
	"icmp-unreachable": {{Host: lab.Client, Kind: tcp.KindSocketError, Errno: unix.EHOSTUNREACH}},
	"icmp-prohibited":  {{Host: lab.Client, Kind: tcp.KindSocketError, Errno: unix.EHOSTUNREACH}},
}

// facts: resets and errors are those of the story, as often and with the same
// reason, and there are no others.
func (v *verdict) facts() {
	for _, host := range []string{lab.Client, lab.Server} {
		have := v.of.at(host, tcp.KindSendReset, tcp.KindReceiveReset, tcp.KindSocketError)
		for _, f := range slices.Concat(v.of.Story.Facts, besides[v.of.Name]) {
			if f.Host != host || f.Kind == tcp.KindDrop || f.Kind == tcp.KindRetransmit || f.Kind == tcp.KindSynAckAgain {
				continue
			}
			f.Errno = socketErrno(v.of.Story, f, v.of.family)
			i := slices.IndexFunc(have, func(ev happening) bool { return isFact(&ev, f) })
			if i < 0 {
				v.lacks("%s %s %v at the %s", f.Kind, f.Reason, f.Errno, host)
				continue
			}
			have = slices.Delete(have, i, i+1)
		}
		for _, ev := range have {
			v.errs("%s %s %d at the %s", ev.Kind, ev.Reason, ev.Errno, host)
		}
	}
}

// socketErrno is a fact's error: the client's own differs from family to family.
func socketErrno(s lab.Story, f lab.Fact, family lab.Family) unix.Errno {
	if f.Kind == tcp.KindSocketError && f.Host == lab.Client && s.ClientErrno != 0 {
		return s.ErrnoAt(family)
	}
	return f.Errno
}

func isFact(ev *happening, f lab.Fact) bool {
	return ev.Kind == f.Kind.String() && (f.Reason == "" || ev.Reason == f.Reason) && ev.Errno == int(f.Errno) && !ev.Soft
}

// victims says which arriving packets a story's firewall drops: those words at
// the host, but for so many; or so many only.
var victims = map[string]struct {
	host         string
	words        []string
	spared, only int
}{
	"syn-sent":         {host: lab.Server, words: []string{">S"}},
	"syn-recv":         {host: lab.Client, words: []string{"<S."}},
	"fin-wait1":        {host: lab.Client, words: []string{"<F."}, spared: 1},
	"last-ack":         {host: lab.Client, words: []string{"<."}, spared: 1},
	"keepalive-death":  {host: lab.Server, words: []string{">.", ">R."}, spared: 1},
	"retransmit":       {host: lab.Server, words: []string{">P."}, only: 2},
	"fast-retransmit":  {host: lab.Server, words: []string{">P."}, only: 1},
	"tail-loss":        {host: lab.Server, words: []string{">P."}, only: 1},
	"icmp-unreachable": {host: lab.Server, words: []string{">S"}},
	"icmp-prohibited":  {host: lab.Server, words: []string{">S"}},
}

// drops: each packet that a firewall drops is told, after its arrival, with the
// kernel's reason and its direction; nothing else is.
func (v *verdict) drops() {
	rule := victims[v.of.Name]
	arrived := v.of.at(rule.host, tcp.KindPacket)
	arrived = slices.DeleteFunc(arrived, func(ev happening) bool { return !slices.Contains(rule.words, v.of.word(&ev)) })
	want, way := len(arrived)-rule.spared, tcp.DirIn
	if rule.only > 0 {
		want = rule.only
	}
	if v.of.Name == "local-output-drop" { // they never leave
		rule.host, way = lab.Client, tcp.DirOut
		want = 1 + len(v.of.at(lab.Client, tcp.KindRetransmit))
	}
	n := 0
	for _, ev := range v.of.events {
		if ev.Kind != tcp.KindDrop.String() {
			continue
		}
		n++
		if v.of.host(&ev) != rule.host || ev.Reason != "NETFILTER_DROP" || ev.Direction != way.String() {
			v.errs("drop %d at the %s: %s %s", ev.Seq, v.of.host(&ev), ev.Reason, ev.Direction)
		}
		if way == tcp.DirIn && !slices.ContainsFunc(arrived, func(p happening) bool { return p.Seq < ev.Seq && sameSegment(&p, &ev) }) {
			v.lacks("%s was dropped (%d), but did not arrive", ev.Flags, ev.Seq)
		}
	}
	v.counts("drops", n, max(0, want))
}

func sameSegment(a, b *happening) bool {
	return a.TCPSeq == b.TCPSeq && a.Length == b.Length && a.Flags == b.Flags
}

// finKinds are what a retransmission may be called where the story says no more: a
// FIN is probed for as a tail, then timed out.
var finKinds = []string{tcp.RetransmitTLP.String(), tcp.RetransmitRTO.String()}

// retransmissions: every segment that leaves again is told as such, and nothing
// else is. An attempt that failed is told with its error, and nothing leaves.
func (v *verdict) retransmissions() {
	for _, host := range []string{lab.Client, lab.Server} {
		again := v.again(host)
		for _, ev := range v.of.at(host, tcp.KindRetransmit) {
			v.called(&ev)
			if ev.Errno != 0 {
				continue
			}
			i := slices.IndexFunc(again, func(p happening) bool { return sameSegment(&p, &ev) })
			if i < 0 {
				v.lacks("%s is told as retransmitted (%d), but did not leave again", ev.Flags, ev.Seq)
				continue
			}
			again = slices.Delete(again, i, i+1)
		}
		synAcks := len(slices.DeleteFunc(again, func(p happening) bool { return p.Flags != "S." }))
		v.counts("SYN-ACKs again", len(v.of.at(host, tcp.KindSynAckAgain)), synAcks)
		v.counts("retransmissions at the "+host, len(v.of.at(host, tcp.KindRetransmit)), v.attempts(host))
	}
	for _, f := range v.of.Story.Facts {
		if f.Kind == tcp.KindRetransmit || f.Kind == tcp.KindSynAckAgain {
			if len(v.of.at(f.Host, f.Kind)) == 0 {
				v.lacks("%s at the %s", f.Kind, f.Host)
			}
		}
	}
}

// again are the packets that left a host a second time, or oftener.
func (v *verdict) again(host string) (list []happening) {
	seen := map[string]bool{}
	for _, ev := range v.of.at(host, tcp.KindPacket) {
		if !ev.Outgoing || ev.ICMPType != nil || ev.Length == 0 && !strings.ContainsAny(ev.Flags, "SF") {
			continue
		}
		which := fmt.Sprint(ev.Flags, ev.TCPSeq, ev.Length)
		if seen[which] {
			list = append(list, ev)
		}
		seen[which] = true
	}
	return list
}

// attempts is how many retransmissions there were: those that left, and where
// the firewall catches them before, the two that synCount leaves.
func (v *verdict) attempts(host string) (n int) {
	for _, ev := range v.again(host) {
		if ev.Flags != "S." {
			n++
		}
	}
	for _, ev := range v.of.at(host, tcp.KindRetransmit) {
		// The link may hold the packet still when its timer comes ("closing").
		if ev.Errno != 0 {
			n++
		}
	}
	return n
}

// called: the kind of a retransmission is what the story says, or follows from
// the segment; time-outs are counted.
func (v *verdict) called(ev *happening) {
	want := finKinds
	switch {
	case ev.Flags == "S":
		want = []string{tcp.RetransmitSYN.String()}
	case ev.Length > 0:
		want = nil
		for _, f := range v.of.Story.Facts {
			if f.Kind == tcp.KindRetransmit && f.Host == v.of.host(ev) {
				want = append(want, f.Again.String())
			}
		}
	}
	if !slices.Contains(want, ev.Again) {
		v.errs("retransmission %d is called %s, want one of %q", ev.Seq, ev.Again, want)
	}
	count := 0
	if timed := []string{tcp.RetransmitSYN.String(), tcp.RetransmitRTO.String()}; slices.Contains(timed, ev.Again) {
		count = 1 + v.timeouts(ev)
	}
	if ev.Count != count {
		v.errs("retransmission %d (%s) has count %d, want %d", ev.Seq, ev.Again, ev.Count, count)
	}
	if outcome := outcomes[v.of.Name]; ev.Errno != int(outcome) && (outcome != unix.EBUSY || ev.Errno != 0) {
		v.errs("retransmission %d ended with %d, want %d", ev.Seq, ev.Errno, outcome)
	}
}

// outcomes are what attempts to retransmit may fail with: the firewall's answer,
// or the link that holds the packet still (then it may also succeed).
var outcomes = map[string]unix.Errno{"local-output-drop": unix.EPERM, "closing": unix.EBUSY}

// timeouts is how many of the same kind came before on the host. One that found
// its packet still on the link does not count.
func (v *verdict) timeouts(ev *happening) (n int) {
	for _, before := range v.of.at(v.of.host(ev), tcp.KindRetransmit) {
		if before.Seq < ev.Seq && before.Again == ev.Again && before.Errno != int(unix.EBUSY) {
			n++
		}
	}
	return n
}

// order holds every transition against the table of doc/ORDER.md.
func (v *verdict) order() {
	rules, err := ordertest.ReadTable("../../doc/ORDER.md")
	if err != nil {
		v.errs("%v", err)
	}
	for _, ev := range v.of.events {
		for _, r := range rules {
			if ev.Kind == tcp.KindState.String() && !ev.IsInferred && r.New.String() == ev.New &&
				(r.Old == tcp.StateUnknown || r.Old.String() == ev.Old) && v.causes(&ev, r.Cause) {
				v.obeys(&ev, r)
			}
		}
	}
}

// causes reports whether a transition has a rule's cause.
func (v *verdict) causes(ev *happening, c ordertest.Cause) bool {
	held := v.of.Name == "fin-wait2" // the server only shut down
	switch c {
	case ordertest.CauseAny:
		return true
	case ordertest.CauseHeld:
		return held
	case ordertest.CauseOrphan:
		return !held
	case ordertest.CauseAbort:
		return ev.Old == tcp.Established.String() && ev.Errno == 0
	}
	return unix.ErrnoName(unix.Errno(ev.Errno)) == string(c)
}

// obeys: the first such packet stands where the rule says. What a held link
// keeps is on the wire later than the table, which is about the kernel's own
// order, can tell.
func (v *verdict) obeys(ev *happening, r ordertest.Rule) {
	if v.of.Name == "closing" && r.Packet.Out && r.Before {
		return
	}
	fin := uint32(0)
	for _, p := range v.of.at(v.of.host(ev), tcp.KindPacket) {
		if p.Outgoing != r.Packet.Out && strings.Contains(p.Flags, "F") {
			fin = p.TCPSeq + uint32(p.Length) + 1
		}
		if p.Outgoing != r.Packet.Out || !isSign(&p, r.Packet.Sign, fin) {
			continue
		}
		if before := p.Seq < ev.Seq; before != r.Before {
			v.errs("%s: the packet is %d, the transition %d", r.Text, p.Seq, ev.Seq)
		}
		return
	}
	if unsent := v.of.Story.Packets == ""; !r.Maybe && !unsent {
		v.lacks("%s: no such packet", r.Text)
	}
}

// isSign recognises a rule's packet; fin is what an ACK of the other way's FIN
// says, 0 if that was not sent yet.
func isSign(p *happening, sign ordertest.Sign, fin uint32) bool {
	switch sign {
	case ordertest.SignSYN:
		return p.Flags == "S"
	case ordertest.SignSYNACK:
		return p.Flags == "S."
	case ordertest.SignThird:
		return p.Flags == "." && p.Length == 0
	case ordertest.SignFIN:
		return strings.Contains(p.Flags, "F")
	case ordertest.SignFINAck:
		return fin != 0 && strings.Contains(p.Flags, ".") && int32(p.TCPAck-fin) >= 0
	case ordertest.SignReset:
		return strings.Contains(p.Flags, "R")
	case ordertest.SignOwnReset:
		return p.Flags == "R."
	}
	return false
}
