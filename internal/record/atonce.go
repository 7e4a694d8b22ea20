package record

import (
	"bytes"

	"tcpstory/internal/tcp"
)

// appendRow appends all of ev, as the groups' fields would write it, one after the other
// (a test holds it to that): a call for each field costs more than the field. So what very
// many events have is written at once here, and what is rare passed over at one look.
func appendRow(b []byte, ev *tcp.Event) []byte {
	return appendPacket(appendDevice(appendStamp(appendUnblocked(b, ev), ev), ev), ev)
}

// appendUnblocked appends what a packet's block does not hold in its own way.
func appendUnblocked(b []byte, ev *tcp.Event) []byte {
	b = appendFirst(b, ev)
	if !plain(ev) {
		b = appendSeldom(b, ev)
	}
	b = appendAlways(b, ev)
	if ev.Task != (tcp.Task{}) {
		b = appendTask(b, ev)
	}
	if isCommon(ev) {
		return b
	}
	for _, g := range groups[firstRare : len(groups)-inBlock] {
		if !g.absent(ev) {
			b = appendFields(b, g.members, ev)
		}
	}
	return b
}

// isCommon reports that ev has nothing of the rare groups.
func isCommon(ev *tcp.Event) bool {
	return (ev.Kind == tcp.KindPacket || ev.Kind == tcp.KindState && ev.Packet.Segment == tcp.Segment{}) &&
		ev.Timer == (tcp.Timer{}) && ev.Expects == 0 && !ev.RFC1337 && ev.Retransmit == (tcp.Retransmit{}) && ev.Gap == (tcp.Gap{}) &&
		ev.Counters == nil && ev.Place == nil && ev.Known == nil && ev.Stack == nil && ev.Life == nil
}

func appendFields(b []byte, list []field, ev *tcp.Event) []byte {
	for i := range list {
		b = list[i].put(b, list[i].tag, ev)
	}
	return b
}

func appendFirst(b []byte, ev *tcp.Event) []byte {
	b = appendNonzero(b, tagSeq, ev.Seq)
	b = appendNonzero(b, tagCookie, ev.Cookie)
	b = appendNonzero(b, tagOld, uint64(ev.Old))
	return appendNonzero(b, tagNew, uint64(ev.New))
}

func appendSeldom(b []byte, ev *tcp.Event) []byte {
	b = appendNonzero(b, tagMinisock, uint64(ev.Minisock))
	b = appendNonzero(b, tagVia, uint64(ev.Via))
	b = appendNonzero(b, tagCgroup, ev.Cgroup)
	b = appendNonzero(b, tagISN, uint64(ev.ISN))
	b = appendNonzero(b, tagPeerISN, uint64(ev.PeerISN))
	b = appendTruth(b, tagStarting, ev.Starting)
	b = appendNonzero(b, tagUserTimeout, zigzag(int64(ev.UserTimeout)))
	b = appendTruth(b, tagInferred, ev.Inferred)
	b = appendNonzero(b, tagErrno, zigzag(int64(ev.Errno)))
	b = appendTruth(b, tagSoft, ev.Soft)
	if ev.Reason != "" {
		b = appendBytes(b, tagReason, ev.Reason)
	}
	return b
}

func appendTask(b []byte, ev *tcp.Event) []byte {
	b = appendNonzero(b, tagPID, uint64(ev.Task.PID))
	b = appendNonzero(b, tagTID, uint64(ev.Task.TID))
	return appendBytes(b, tagComm, comm(ev))
}

func comm(ev *tcp.Event) []byte { return bytes.TrimRight(ev.Task.Comm[:], "\x00") }

func appendAlways(b []byte, ev *tcp.Event) []byte {
	p := &ev.Packet
	b = appendNonzero(b, tagDir, uint64(p.Dir))
	b = appendTruth(b, tagAsked, p.Asked)
	b = appendTruth(b, tagLoopback, p.Loopback)
	if ownIsWire(ev) {
		return b
	}
	return appendEnd(appendEnd(b, tagLocal, ev.Flow.Local), tagRemote, ev.Flow.Remote)
}

func appendStamp(b []byte, ev *tcp.Event) []byte {
	return appendNonzero(appendNonzero(b, tagTime, zigzag(ev.Time)), tagKind, uint64(ev.Kind))
}

func appendDevice(b []byte, ev *tcp.Event) []byte {
	b = appendNonzero(b, tagNetns, uint64(ev.Netns))
	b = appendNonzero(b, tagIfindex, uint64(ev.Packet.Ifindex))
	if ev.Packet.Device != "" {
		b = appendBytes(b, tagDevice, ev.Packet.Device)
	}
	return b
}

func appendPacket(b []byte, ev *tcp.Event) []byte {
	p := &ev.Packet
	if len(p.Frame) > 0 {
		b = appendBytes(b, tagFrame, p.Frame)
	}
	b = appendNonzero(b, tagLength, uint64(p.Length))
	return appendNonzero(b, tagLink, uint64(p.Link))
}

func appendNonzero(b []byte, t tag, v uint64) []byte {
	if v == 0 {
		return b
	}
	return appendNumber(b, t, v)
}

func appendTruth(b []byte, t tag, v bool) []byte {
	if !v {
		return b
	}
	return appendNumber(b, t, 1)
}
