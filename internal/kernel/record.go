package kernel

import (
	"fmt"
	"net/netip"
	"unsafe"

	"tcpstory/internal/tcp"
)

// headerLen is the size of struct event; a packet's frame follows it.
const headerLen = int(unsafe.Sizeof(traceEvent{}))

// Packet types of include/uapi/linux/if_packet.h, as directions.
var directions = [...]tcp.Direction{
	0: tcp.DirIn, 1: tcp.DirBroadcast, 2: tcp.DirMulticast, 3: tcp.DirOther, 4: tcp.DirOut,
}

// decoder turns ring-buffer records into events. It allocates only when it
// meets a device name for the first time.
type decoder struct {
	clock   clock
	devices map[[16]uint8]string
	drops   map[uint32]string
	resets  map[uint32]string
}

// view checks the length and casts: 3 ns against 1.5 µs for binary.Read. The
// ring buffer aligns records to 8 bytes, as the struct needs.
func view(raw []byte) (*traceEvent, []byte, error) {
	if len(raw) < headerLen {
		return nil, nil, fmt.Errorf("ring buffer record of %d bytes, want at least %d: loader and programs differ", len(raw), headerLen)
	}
	e := (*traceEvent)(unsafe.Pointer(unsafe.SliceData(raw)))
	frame := raw[headerLen:]
	if int(e.CapLen) > len(frame) {
		return nil, nil, fmt.Errorf("ring buffer record says %d frame bytes and has %d", e.CapLen, len(frame))
	}
	return e, frame[:e.CapLen], nil
}

func (d *decoder) fill(ev *tcp.Event, e *traceEvent, frame []byte) {
	*ev = tcp.Event{
		Time:   d.clock.wall(int64(e.Time)),
		Kind:   tcp.Kind(e.Kind),
		Cookie: e.Cookie,
		Netns:  e.Netns,
		Flow:   flow(e),
		Old:    tcp.State(e.Oldstate),
		New:    tcp.State(e.Newstate),
		Errno:  e.Err,
	}
	switch ev.Kind {
	case tcp.KindPacket, tcp.KindPort:
		d.packet(&ev.Packet, e, frame)
		return
	case tcp.KindRetransmit:
		ev.Retransmit = retransmission(e)
	case tcp.KindSynAckAgain:
		ev.Retransmit = tcp.Retransmit{Again: tcp.RetransmitRTO, Count: uint32(e.Retransmits)}
	case tcp.KindSendReset:
		ev.Reason = d.resets[e.Reason]
	case tcp.KindDrop:
		ev.Reason = d.drops[e.Reason]
		ev.Packet.Ifindex = e.Ifindex
	}
	if e.Pid != 0 {
		ev.Task = tcp.Task{PID: e.Pid, TID: e.Tid, Comm: e.Name}
	}
	if e.Flags&uint8(traceEventFlagEV_HAS_SEGMENT) != 0 {
		segment(ev, e)
	}
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
	if e.Flags&uint8(traceEventFlagEV_RECEIVED) != 0 {
		p.Segment.Flow = ev.Flow.Reverse()
		p.Dir = tcp.DirIn
	}
}

func (d *decoder) packet(p *tcp.Packet, e *traceEvent, frame []byte) {
	p.Frame = frame
	p.Length = e.WireLen
	p.Link = tcp.LinkEthernet
	if e.Flags&uint8(traceEventFlagEV_RAW) != 0 {
		p.Link = tcp.LinkRaw
	}
	p.Ifindex = e.Ifindex
	p.Device = d.device(e.Name)
	p.Asked = e.Flags&uint8(traceEventFlagEV_ASKED) != 0
	p.Loopback = e.Flags&uint8(traceEventFlagEV_LOOPBACK) != 0
	switch {
	case p.Loopback:
		p.Dir = tcp.DirIn // as libpcap shows it: the outgoing copy is left out
	case int(e.PktType) < len(directions):
		p.Dir = directions[e.PktType]
	}
}

func (d *decoder) device(name [16]uint8) string {
	if s, ok := d.devices[name]; ok {
		return s
	}
	n := 0
	for n < len(name) && name[n] != 0 {
		n++
	}
	s := string(name[:n])
	d.devices[name] = s
	return s
}

func flow(e *traceEvent) tcp.Flow {
	if e.Family == 0 {
		return tcp.Flow{}
	}
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

// retransmission tells the kind from the socket's own bookkeeping: the pending
// timer (tcp_send_loss_probe keeps it), the count of time-outs in a row
// (tcp_update_rto_stats raises it before it sends, an ACK of new data clears
// it) and the congestion state.
func retransmission(e *traceEvent) tcp.Retransmit {
	n := uint32(e.Retransmits)
	switch {
	case tcp.State(e.Newstate) == tcp.SynSent:
		return tcp.Retransmit{Again: tcp.RetransmitSYN, Count: n}
	case e.Pending == pendingLossProbe:
		return tcp.Retransmit{Again: tcp.RetransmitTLP}
	case e.CaState == caRecovery:
		return tcp.Retransmit{Again: tcp.RetransmitFast}
	case n > 0:
		return tcp.Retransmit{Again: tcp.RetransmitRTO, Count: n}
	case e.CaState == caLoss:
		return tcp.Retransmit{Again: tcp.RetransmitLossRepair}
	}
	return tcp.Retransmit{}
}
