package kernel

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Sizes of a record that ends behind a part of struct event (bpf/event.h).
const (
	recordLen = int(unsafe.Sizeof(traceEvent{}))
	headLen   = int(unsafe.Offsetof(traceEvent{}.Sport))
	tupleLen  = int(unsafe.Offsetof(traceEvent{}.Pid))
	nameLen   = int(unsafe.Offsetof(traceEvent{}.Seq))
	segLen    = int(unsafe.Offsetof(traceEvent{}.BytesAcked))
	countsLen = int(unsafe.Offsetof(traceEvent{}.Began))
)

// Flags of struct event.
const (
	isAsked    = uint8(traceEventFlagEV_ASKED)
	isLoopback = uint8(traceEventFlagEV_LOOPBACK)
	isRaw      = uint8(traceEventFlagEV_RAW)
	isReceived = uint8(traceEventFlagEV_RECEIVED)
	hasTuple   = uint8(traceEventFlagEV_TUPLE)
	hasName    = uint8(traceEventFlagEV_NAME)
	hasSegment = uint8(traceEventFlagEV_SEGMENT)
	isSoft     = uint8(traceEventFlagEV_SOFT)
)

// Packet types of include/uapi/linux/if_packet.h, as directions.
var directions = [...]tcp.Direction{
	0: tcp.DirIn, 1: tcp.DirBroadcast, 2: tcp.DirMulticast, 3: tcp.DirOther, 4: tcp.DirOut,
}

// place is a device: names are only unique within a namespace.
type place struct{ netns, ifindex uint32 }

// decoder turns ring-buffer records into events. It allocates only when it
// meets a device for the first time.
type decoder struct {
	clock   clock
	devices map[place]string
	last    place // most packets come from where the one before came
	name    string
	drops   map[uint32]string
	resets  map[uint32]string
	tick    time.Duration // a jiffy

	counters tcp.Counters
	life     tcp.Life
}

// isRecord are the kinds that cross the ring buffer; of those in hasSegmentPart,
// fill reads the segment's part whatever the flags say.
var (
	isRecord = [tcp.KindLife + 1]bool{
		tcp.KindState: true, tcp.KindPacket: true, tcp.KindRetransmit: true, tcp.KindSynAckAgain: true,
		tcp.KindSendReset: true, tcp.KindReceiveReset: true, tcp.KindDrop: true, tcp.KindSocketError: true, tcp.KindPort: true,
		tcp.KindOwner: true, tcp.KindSocket: true, tcp.KindConnectFailed: true, tcp.KindLife: true,
	}
	hasSegmentPart = [tcp.KindLife + 1]bool{
		tcp.KindRetransmit: true, tcp.KindSynAckAgain: true, tcp.KindSendReset: true, tcp.KindDrop: true,
	}
)

// view checks the length and casts: 3 ns against 1.5 µs for binary.Read. The
// ring buffer aligns records to 8 bytes, as the struct needs. Parts of the
// struct that the flags do not name must not be read: they lie behind the
// record.
func view(raw []byte) (*traceEvent, []byte, error) {
	if len(raw) < headLen {
		return nil, nil, tooShort(raw, headLen)
	}
	e := (*traceEvent)(unsafe.Pointer(unsafe.SliceData(raw)))
	at := headLen
	switch long := e.Flags & (hasTuple | hasName | hasSegment); {
	case int(e.Kind) >= len(isRecord) || !isRecord[e.Kind]:
		return nil, nil, fmt.Errorf("ring buffer record of unknown kind %d: loader and programs differ", e.Kind)
	case e.Kind == uint8(tcp.KindPacket) && long != 0:
		at = recordLen
	case e.Kind == uint8(tcp.KindSocket):
		at = socketLen(e)
	case e.Kind == uint8(tcp.KindLife):
		at = recordLen
	case long&hasSegment != 0, hasSegmentPart[e.Kind]:
		at = segLen
	case long&hasName != 0:
		at = nameLen
	case long&hasTuple != 0:
		at = tupleLen
	}
	end := at + int(e.CapLen)
	if len(raw) < end {
		return nil, nil, tooShort(raw, end)
	}
	return e, raw[at:end:end], nil
}

// socketLen is the length of a KindSocket record: a minisock has no counters.
func socketLen(e *traceEvent) int {
	if tcp.State(e.Newstate) == tcp.TimeWait {
		return tupleLen
	}
	return countsLen
}

func tooShort(raw []byte, want int) error {
	return fmt.Errorf("ring buffer record of %d bytes, want %d: loader and programs differ", len(raw), want)
}

// fill makes ev the event of a record. What ev was before matters only from one
// life to the next.
func (d *decoder) fill(ev *tcp.Event, e *traceEvent, frame []byte) {
	if tcp.Kind(e.Kind) == tcp.KindLife {
		d.live(ev, e)
		return
	}
	*ev = tcp.Event{} // by itself: a literal with values is made elsewhere first, and copied
	ev.Time, ev.Kind = d.clock.wall(int64(e.Time)), tcp.Kind(e.Kind)
	ev.Cookie, ev.Netns = e.Cookie, e.Netns
	ev.Old, ev.New = tcp.State(e.Oldstate), tcp.State(e.Newstate)
	if e.Flags&hasTuple != 0 {
		ev.Flow = flow(e)
		ev.Errno = e.Err
		ev.Soft = e.Flags&isSoft != 0
		ev.Cgroup = e.Cgroup
	}
	switch ev.Kind {
	case tcp.KindState:
		if ev.New == tcp.Close {
			d.minisock(ev, e)
			if ev.Errno == int32(unix.ETIMEDOUT) {
				ev.UserTimeout = time.Duration(e.Isn) * time.Millisecond
			}
			break
		}
		ev.ISN, ev.PeerISN = e.Isn, e.PeerIsn
	case tcp.KindPacket, tcp.KindPort:
		d.packet(&ev.Packet, e, frame)
		return
	case tcp.KindRetransmit:
		ev.Retransmit = retransmission(e)
	case tcp.KindSynAckAgain:
		ev.Retransmit = tcp.Retransmit{Count: uint32(e.Retransmits)}
		ev.Timer = d.timer(e)
	case tcp.KindSendReset:
		ev.Reason = d.resets[e.Reason]
	case tcp.KindDrop:
		ev.Reason = d.drops[e.Reason]
		ev.Packet.Ifindex = e.Ifindex
	case tcp.KindOwner, tcp.KindConnectFailed:
		ev.Via = tcp.Via(e.Detail)
	case tcp.KindSocket:
		if e.Flags&hasName == 0 { // an open file is no minisock
			d.minisock(ev, e)
		}
		if ev.New != tcp.TimeWait {
			ev.Retransmit = tcp.Retransmit{Count: uint32(e.Retransmits)}
			ev.Counters = d.count(e)
		}
	}
	if names(e) {
		ev.ActsBy(task(e))
		if ev.Kind == tcp.KindSocket {
			ev.Via = tcp.ViaHeld
		}
	}
	if e.Flags&hasSegment != 0 {
		segment(ev, e)
	}
}

// names reports whether the record names whose deed it was.
func names(e *traceEvent) bool { return e.Flags&hasName != 0 && e.Pid != 0 }

// sheltered is MINISOCK_SHELTERED of bpf/minisock.h.
const sheltered = 0x80

// minisock reads what is told of a timewait minisock, or a request socket.
func (d *decoder) minisock(ev *tcp.Event, e *traceEvent) {
	ev.Minisock, ev.RFC1337 = tcp.State(e.Detail&^sheltered), e.Detail&sheltered != 0
	ev.Expects, ev.Timer = e.PeerIsn, d.timer(e)
}

// timer reads jiffies, which only some kinds carry.
func (d *decoder) timer(e *traceEvent) tcp.Timer {
	if e.Ifindex == 0 && e.WireLen == 0 {
		return tcp.Timer{}
	}
	return tcp.Timer{Tick: d.tick, Now: e.Ifindex, Expires: e.WireLen}
}

func (d *decoder) count(e *traceEvent) *tcp.Counters {
	d.counters = tcp.Counters{
		BytesAcked: e.BytesAcked, BytesReceived: e.BytesReceived, SegsOut: e.SegsOut, SegsIn: e.SegsIn,
		Retransmits: e.TotalRetrans, SRTT: e.SrttUs, Backlog: e.Backlog, MaxBacklog: e.MaxBacklog,
	}
	if tcp.State(e.Newstate) == tcp.Listen {
		d.counters.SegsIn = 0 // half-open connections: see isAllOf
	}
	return &d.counters
}

func segment(ev *tcp.Event, e *traceEvent) {
	p := &ev.Packet
	p.IsTCP = true
	p.Flags, p.Seq = tcp.Flags(e.TcpFlags), e.Seq
	p.PayloadLen = int(e.SegLen)
	for _, f := range [...]tcp.Flags{tcp.SYN, tcp.FIN} {
		if p.Flags.Has(f) && p.PayloadLen > 0 {
			p.PayloadLen-- // they take sequence space, not payload
		}
	}
	p.Segment.Flow = ev.Flow
	p.Dir = tcp.DirOut
	if e.Flags&isReceived != 0 {
		p.Segment.Flow = ev.Flow.Reverse()
		p.Dir = tcp.DirIn
	}
}

func (d *decoder) packet(p *tcp.Packet, e *traceEvent, frame []byte) {
	p.Frame = frame
	p.Length = e.WireLen
	p.Link = tcp.LinkEthernet
	if e.Flags&isRaw != 0 {
		p.Link = tcp.LinkRaw
	}
	p.Ifindex = e.Ifindex
	p.Device = d.device(e)
	p.Asked = e.Flags&isAsked != 0
	p.Loopback = e.Flags&isLoopback != 0
	switch {
	case p.Loopback:
		p.Dir = tcp.DirIn // as libpcap shows it: the outgoing copy is left out
	case int(e.Detail) < len(directions):
		p.Dir = directions[e.Detail]
	}
}

// device is the name that was announced for this place, now or before; "" if
// the announcement was lost.
func (d *decoder) device(e *traceEvent) string {
	at := place{e.Netns, e.Ifindex}
	if e.Flags&hasName == 0 {
		if at != d.last {
			d.last, d.name = at, d.devices[at]
		}
		return d.name
	}
	name := e.Name[:]
	if n := bytes.IndexByte(name, 0); n >= 0 {
		name = name[:n]
	}
	if d.devices[at] != string(name) {
		d.devices[at] = string(name)
	}
	d.last, d.name = at, d.devices[at]
	return d.name
}

func flow(e *traceEvent) tcp.Flow {
	return tcp.Flow{
		Local:  netip.AddrPortFrom(address(e.Family, &e.Saddr), e.Sport),
		Remote: netip.AddrPortFrom(address(e.Family, &e.Daddr), e.Dport),
	}
}

func address(family uint8, b *[16]uint8) netip.Addr {
	const inet = 2
	if family == inet {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(*b).Unmap()
}

// Kernel numbers behind a retransmission.
const (
	pendingLossProbe = 5 // ICSK_TIME_LOSS_PROBE, include/net/inet_connection_sock.h
	caRecovery       = 3 // TCP_CA_Recovery, include/uapi/linux/tcp.h
	caLoss           = 4 // TCP_CA_Loss
)

// retransmission tells the kind from the socket's own bookkeeping: the congestion
// state, the pending timer (tcp_send_loss_probe keeps it; it may still be armed
// when an ACK has started the recovery) and the count of time-outs in a row
// (tcp_update_rto_stats raises it before it sends, an ACK of new data clears it).
func retransmission(e *traceEvent) tcp.Retransmit {
	n := uint32(e.Retransmits)
	switch {
	case tcp.State(e.Newstate) == tcp.SynSent:
		return tcp.Retransmit{Again: tcp.RetransmitSYN, Count: n}
	case e.CaState == caRecovery:
		return tcp.Retransmit{Again: tcp.RetransmitFast}
	case e.Pending == pendingLossProbe:
		return tcp.Retransmit{Again: tcp.RetransmitTLP}
	case n > 0:
		return tcp.Retransmit{Again: tcp.RetransmitRTO, Count: n}
	case e.CaState == caLoss:
		return tcp.Retransmit{Again: tcp.RetransmitLossRepair}
	}
	return tcp.Retransmit{}
}
