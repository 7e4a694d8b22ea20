package record

import (
	"time"

	"tcpstory/internal/tcp"
)

// The members' tags. New ones are added at the end: files exist.
const (
	tagNone tag = iota
	tagSeq
	tagTime
	tagKind
	tagCookie
	tagNetns
	tagLocal
	tagRemote
	tagOld
	tagNew
	tagMinisock
	tagVia
	tagCgroup
	tagISN
	tagPeerISN
	tagInferred
	tagErrno
	tagSoft
	tagReason
	tagPID
	tagTID
	tagComm
	tagAgain
	tagCount
	tagCause
	tagLost
	tagHook
	tagCounters // that there are any
	tagBytesAcked
	tagBytesReceived
	tagSegsOut
	tagSegsIn
	tagRetransmits
	tagSRTT
	tagBacklog
	tagMaxBacklog
	tagPlace // that there is one
	tagPlaceName
	tagPlacePath
	tagPlaceContainer
	tagPlaceRuntime
	tagFrame
	tagLength
	tagLink
	tagDir
	tagIfindex
	tagDevice
	tagAsked
	tagLoopback
	tagSegmentLocal
	tagSegmentRemote
	tagIPOffset
	tagL4Offset
	tagEtherType
	tagProtocol
	tagFragment
	tagIsTCP
	tagFlags
	tagTCPSeq
	tagAck
	tagWindow
	tagHeaderLen
	tagPayloadLen
	tagQuotedLocal
	tagQuotedRemote
	tagIsQuote
	tagHead // of a packet whose link-layer header is not Ethernet's: the header
	tagTick
	tagJiffies
	tagExpires
	tagExpects
	tagRFC1337
	tagStarting
	tagKnown // that anything is
	tagKnownID
	tagKnownPeer
	tagKnownBefore
	tagKnownSuitor
	tagKnownNumber
	tagKnownRole
	tagKnownWhy
	tagKnownMarks
	tagKnownSince
	tagKnownOpened
	tagKnownClosed
	tagKnownLast
	tagKnownDue
	tagKnownArmed
	tagKnownUndo
	tagKnownUndone
	tagKnownStamp
	tagKnownOutEnd
	tagKnownInEnd
	tagKnownSent
	tagOpenerPID
	tagOpenerTID
	tagOpenerComm
	tagAliasLocal
	tagAliasRemote
	tagUserTimeout
	tagStack // that there is one
	tagListenOverflows
	tagReqQFullDrop
	tagReqQFullCookies
	tagLocalPorts
	tagLife // that there is one
	tagBegan
	tagEstablished
	tagShut
	tagShutToo
	tagFirstRead
	tagBytesSent
	tagBytesRetrans
	tagUnacked
	tagRTTMin
	tagMSS
	tagCwnd
	tagIdle
	tagLifeFlags

	tagEnd
)

// groups are all members of an event.
var groups = [...]group{
	{nil, first},
	{plain, seldom},
	{nil, always},
	{func(ev *tcp.Event) bool { return ev.Task == tcp.Task{} }, task},
	{func(ev *tcp.Event) bool { return ev.Retransmit == tcp.Retransmit{} }, retransmit},
	{func(ev *tcp.Event) bool { return ev.Gap == tcp.Gap{} }, gap},
	{func(ev *tcp.Event) bool { return ev.Timer == tcp.Timer{} && ev.Expects == 0 && !ev.RFC1337 }, small},
	{func(ev *tcp.Event) bool { return ev.Counters == nil }, counters},
	{func(ev *tcp.Event) bool { return ev.Place == nil }, place},
	{func(ev *tcp.Event) bool { return ev.Known == nil }, known},
	{func(ev *tcp.Event) bool { return ev.Stack == nil }, stack},
	{func(ev *tcp.Event) bool { return ev.Life == nil }, lived},
	{func(ev *tcp.Event) bool { return ev.Kind == tcp.KindPacket || ev.Packet.Segment == tcp.Segment{} }, segment},
	{nil, stamp},
	{nil, device},
	{nil, packet},
}

// Before firstRare and behind the rare groups are those that very many events have
// something of: see atonce.go. The last ones, inBlock, a packet's block and its interface's
// block hold in their own way.
const (
	firstRare = 4
	inBlock   = 3
)

var first = []field{
	number(tagSeq, func(ev *tcp.Event) *uint64 { return &ev.Seq }),
	number(tagCookie, func(ev *tcp.Event) *uint64 { return &ev.Cookie }),
	number(tagOld, func(ev *tcp.Event) *tcp.State { return &ev.Old }),
	number(tagNew, func(ev *tcp.Event) *tcp.State { return &ev.New }),
}

var always = append([]field{
	number(tagDir, func(ev *tcp.Event) *tcp.Direction { return &ev.Packet.Dir }),
	truth(tagAsked, func(ev *tcp.Event) *bool { return &ev.Packet.Asked }),
	truth(tagLoopback, func(ev *tcp.Event) *bool { return &ev.Packet.Loopback }),
}, own(tagLocal, tagRemote)...)

// seldom is what most events, a packet's above all, have nothing of.
var seldom = []field{
	number(tagMinisock, func(ev *tcp.Event) *tcp.State { return &ev.Minisock }),
	number(tagVia, func(ev *tcp.Event) *tcp.Via { return &ev.Via }),
	number(tagCgroup, func(ev *tcp.Event) *uint64 { return &ev.Cgroup }),
	number(tagISN, func(ev *tcp.Event) *uint32 { return &ev.ISN }),
	number(tagPeerISN, func(ev *tcp.Event) *uint32 { return &ev.PeerISN }),
	truth(tagStarting, func(ev *tcp.Event) *bool { return &ev.Starting }),
	whole(tagUserTimeout, func(ev *tcp.Event) *time.Duration { return &ev.UserTimeout }),
	truth(tagInferred, func(ev *tcp.Event) *bool { return &ev.Inferred }),
	whole(tagErrno, func(ev *tcp.Event) *int32 { return &ev.Errno }),
	truth(tagSoft, func(ev *tcp.Event) *bool { return &ev.Soft }),
	words(tagReason, func(ev *tcp.Event) *string { return &ev.Reason }),
}

// plain reports an event without any of these.
func plain(ev *tcp.Event) bool {
	return ev.Minisock|tcp.State(ev.Via) == 0 && ev.Cgroup == 0 && ev.ISN|ev.PeerISN == 0 && ev.UserTimeout == 0 && ev.Errno == 0 &&
		!ev.Starting && !ev.Inferred && !ev.Soft && ev.Reason == ""
}

// own is the socket's tuple, less where decoding the packet tells it anyway.
func own(local, remote tag) []field {
	list := flow(local, remote, func(ev *tcp.Event) *tcp.Flow { return &ev.Flow })
	for i, put := range [...]func([]byte, tag, *tcp.Event) []byte{list[0].put, list[1].put} {
		list[i].put = func(b []byte, t tag, ev *tcp.Event) []byte {
			if ownIsWire(ev) {
				return b
			}
			return put(b, t, ev)
		}
	}
	return list
}

func ownIsWire(ev *tcp.Event) bool {
	return ev.Kind == tcp.KindPacket && ev.Cookie != 0 && ev.Flow == ev.Packet.Segment.Flow
}

// small is what tells how long a request socket or timewait minisock stands.
var small = []field{
	whole(tagTick, func(ev *tcp.Event) *time.Duration { return &ev.Timer.Tick }),
	number(tagJiffies, func(ev *tcp.Event) *uint32 { return &ev.Timer.Now }),
	number(tagExpires, func(ev *tcp.Event) *uint32 { return &ev.Timer.Expires }),
	number(tagExpects, func(ev *tcp.Event) *uint32 { return &ev.Expects }),
	truth(tagRFC1337, func(ev *tcp.Event) *bool { return &ev.RFC1337 }),
}

var task = []field{
	number(tagPID, func(ev *tcp.Event) *uint32 { return &ev.Task.PID }),
	number(tagTID, func(ev *tcp.Event) *uint32 { return &ev.Task.TID }),
	{tagComm, func(b []byte, t tag, ev *tcp.Event) []byte {
		return appendBytes(b, t, comm(ev))
	}, func(d *decoder, ev *tcp.Event) { copy(ev.Task.Comm[:], d.m.bytes) }},
}

var retransmit = []field{
	number(tagAgain, func(ev *tcp.Event) *tcp.RetransmitKind { return &ev.Again }),
	number(tagCount, func(ev *tcp.Event) *uint32 { return &ev.Count }),
}

var gap = []field{
	number(tagCause, func(ev *tcp.Event) *tcp.GapCause { return &ev.Cause }),
	number(tagLost, func(ev *tcp.Event) *uint64 { return &ev.Lost }),
	words(tagHook, func(ev *tcp.Event) *string { return &ev.Hook }),
}

// present is a field that says that what the next ones belong to is there.
func present(t tag, take func(*decoder, *tcp.Event)) field {
	return field{t, func(b []byte, t tag, _ *tcp.Event) []byte { return appendNumber(b, t, 1) },
		take}
}

func counter[T integer](t tag, at func(*tcp.Counters) *T) field {
	return number(t, func(ev *tcp.Event) *T {
		if ev.Counters == nil {
			return nil
		}
		return at(ev.Counters)
	})
}

var counters = []field{
	present(tagCounters, func(d *decoder, ev *tcp.Event) { d.counters = tcp.Counters{}; ev.Counters = &d.counters }),
	counter(tagBytesAcked, func(c *tcp.Counters) *uint64 { return &c.BytesAcked }),
	counter(tagBytesReceived, func(c *tcp.Counters) *uint64 { return &c.BytesReceived }),
	counter(tagSegsOut, func(c *tcp.Counters) *uint32 { return &c.SegsOut }),
	counter(tagSegsIn, func(c *tcp.Counters) *uint32 { return &c.SegsIn }),
	counter(tagRetransmits, func(c *tcp.Counters) *uint32 { return &c.Retransmits }),
	counter(tagSRTT, func(c *tcp.Counters) *uint32 { return &c.SRTT }),
	counter(tagBacklog, func(c *tcp.Counters) *uint32 { return &c.Backlog }),
	counter(tagMaxBacklog, func(c *tcp.Counters) *uint32 { return &c.MaxBacklog }),
}

func placeWords(t tag, at func(*tcp.Place) *string) field {
	return words(t, func(ev *tcp.Event) *string {
		if ev.Place == nil {
			return nil
		}
		return at(ev.Place)
	})
}

var place = []field{
	present(tagPlace, func(d *decoder, ev *tcp.Event) { d.place = tcp.Place{}; ev.Place = &d.place }),
	placeWords(tagPlaceName, func(p *tcp.Place) *string { return &p.Name }),
	placeWords(tagPlacePath, func(p *tcp.Place) *string { return &p.Path }),
	placeWords(tagPlaceContainer, func(p *tcp.Place) *string { return &p.Container }),
	placeWords(tagPlaceRuntime, func(p *tcp.Place) *string { return &p.Runtime }),
}

func stackCounter[T integer](t tag, at func(*tcp.Stack) *T) field {
	return number(t, func(ev *tcp.Event) *T {
		if ev.Stack == nil {
			return nil
		}
		return at(ev.Stack)
	})
}

var stack = []field{
	present(tagStack, func(d *decoder, ev *tcp.Event) { d.stack = tcp.Stack{}; ev.Stack = &d.stack }),
	stackCounter(tagListenOverflows, func(s *tcp.Stack) *uint64 { return &s.ListenOverflows }),
	stackCounter(tagReqQFullDrop, func(s *tcp.Stack) *uint64 { return &s.ReqQFullDrop }),
	stackCounter(tagReqQFullCookies, func(s *tcp.Stack) *uint64 { return &s.ReqQFullCookies }),
	stackCounter(tagLocalPorts, func(s *tcp.Stack) *uint32 { return &s.LocalPorts }),
}

var stamp = []field{
	whole(tagTime, func(ev *tcp.Event) *int64 { return &ev.Time }),
	number(tagKind, func(ev *tcp.Event) *tcp.Kind { return &ev.Kind }),
}

var device = []field{
	number(tagNetns, func(ev *tcp.Event) *uint32 { return &ev.Netns }),
	number(tagIfindex, func(ev *tcp.Event) *uint32 { return &ev.Packet.Ifindex }),
	words(tagDevice, func(ev *tcp.Event) *string { return &ev.Packet.Device }),
}

var packet = []field{
	{tagFrame, func(b []byte, t tag, ev *tcp.Event) []byte {
		if len(ev.Packet.Frame) == 0 {
			return b
		}
		return appendBytes(b, t, ev.Packet.Frame)
	}, func(d *decoder, ev *tcp.Event) { ev.Packet.Frame = d.m.bytes }},
	number(tagLength, func(ev *tcp.Event) *uint32 { return &ev.Packet.Length }),
	number(tagLink, func(ev *tcp.Event) *tcp.LinkType { return &ev.Packet.Link }),
}

// segment is what a kernel event knows of its segment; a packet's is decoded anew.
var segment = append(append([]field{
	whole(tagIPOffset, func(ev *tcp.Event) *int { return &ev.Packet.IPOffset }),
	whole(tagL4Offset, func(ev *tcp.Event) *int { return &ev.Packet.L4Offset }),
	number(tagEtherType, func(ev *tcp.Event) *uint16 { return &ev.Packet.EtherType }),
	number(tagProtocol, func(ev *tcp.Event) *uint8 { return &ev.Packet.Protocol }),
	truth(tagFragment, func(ev *tcp.Event) *bool { return &ev.Packet.Fragment }),
	truth(tagIsTCP, func(ev *tcp.Event) *bool { return &ev.Packet.IsTCP }),
	number(tagFlags, func(ev *tcp.Event) *tcp.Flags { return &ev.Packet.Flags }),
	number(tagTCPSeq, func(ev *tcp.Event) *uint32 { return &ev.Packet.Segment.Seq }),
	number(tagAck, func(ev *tcp.Event) *uint32 { return &ev.Packet.Ack }),
	number(tagWindow, func(ev *tcp.Event) *uint16 { return &ev.Packet.Window }),
	whole(tagHeaderLen, func(ev *tcp.Event) *int { return &ev.Packet.HeaderLen }),
	whole(tagPayloadLen, func(ev *tcp.Event) *int { return &ev.Packet.PayloadLen }),
	truth(tagIsQuote, func(ev *tcp.Event) *bool { return &ev.Packet.IsQuote }),
}, flow(tagSegmentLocal, tagSegmentRemote, func(ev *tcp.Event) *tcp.Flow { return &ev.Packet.Segment.Flow })...),
	flow(tagQuotedLocal, tagQuotedRemote, func(ev *tcp.Event) *tcp.Flow { return &ev.Packet.Quoted })...)
