package sockets

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// linux/inet_diag.h.
const (
	sizeofRequest = 56 // struct inet_diag_req_v2
	sizeofMessage = 72 // struct inet_diag_msg
)

// AllStates asks for sockets in any state, those that are bound and not connected
// included (TCPF_BOUND_INACTIVE, 6.8).
const AllStates = math.MaxUint32

// extensions are the attributes that are asked for, a bit each; the cgroup comes
// unasked (5.9).
const extensions = 1<<(netlink.INET_DIAG_INFO-1) | 1<<(netlink.INET_DIAG_CONG-1) | 1<<(netlink.INET_DIAG_SKMEMINFO-1)

// request is a struct inet_diag_req_v2 for all sockets of a family.
type request struct {
	family uint8
	states uint32
}

// Len implements nl.NetlinkRequestData.
func (r request) Len() int { return sizeofRequest }

// Serialize implements nl.NetlinkRequestData.
func (r request) Serialize() []byte {
	b := make([]byte, sizeofRequest)
	b[0], b[1], b[2] = r.family, unix.IPPROTO_TCP, extensions
	binary.NativeEndian.PutUint32(b[4:], r.states)
	return b
}

// list appends the sockets of the calling thread's namespace, of one family and in
// the states whose bits are set. A walk that tables grew or shrank under may have
// missed some: then torn is true.
func list(to []tcp.Socket, family uint8, states uint32) (_ []tcp.Socket, torn bool, err error) {
	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	req.AddData(request{family, states})
	err = req.ExecuteIter(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY, func(b []byte) bool {
		if len(b) >= sizeofMessage {
			to = append(to, tcp.Socket{})
			parse(&to[len(to)-1], b)
		}
		return true
	})
	switch err {
	case nil:
		return to, false, nil
	case netlink.ErrDumpInterrupted:
		return to, true, nil
	}
	return to, false, fmt.Errorf("ask the kernel for its sockets (sock_diag): %w", err)
}

// parse reads a struct inet_diag_msg and its attributes. The buffer is used again.
func parse(s *tcp.Socket, b []byte) {
	ne := binary.NativeEndian
	s.Asked = true
	s.State, s.Clock, s.Tries = tcp.State(b[1]), tcp.Clock(b[2]), uint32(b[3])
	s.Flow.Local = end(b[0], b[8:24], binary.BigEndian.Uint16(b[4:]))
	s.Flow.Remote = end(b[0], b[24:40], binary.BigEndian.Uint16(b[6:]))
	s.Device = ne.Uint32(b[40:])
	s.Cookie = uint64(ne.Uint32(b[44:])) | uint64(ne.Uint32(b[48:]))<<32
	s.Due = time.Duration(ne.Uint32(b[52:])) * time.Millisecond
	s.RecvQ, s.SendQ = ne.Uint32(b[56:]), ne.Uint32(b[60:])
	s.UID, s.Inode = ne.Uint32(b[64:]), ne.Uint32(b[68:])
	s.Minisock = s.Clock == tcp.ClockTimeWait
	attributes(b[sizeofMessage:], s)
	switch {
	case s.State == tcp.SynRecv && s.Info == nil:
		s.State = tcp.NewSynRecv // the kernel tells it as SYN_RECV, and nothing of the rest
	case s.State == tcp.Close:
		s.State = tcp.BoundInactive // of those in CLOSE it lists what is bound, if it was asked for that
	}
}

func end(family byte, b []byte, port uint16) netip.AddrPort {
	n := 16
	if family == unix.AF_INET {
		n = 4
	}
	addr, _ := netip.AddrFromSlice(b[:n])
	return netip.AddrPortFrom(addr.Unmap(), port)
}

// attributes reads the attributes behind a message (struct rtattr).
func attributes(b []byte, s *tcp.Socket) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		value := b[unix.SizeofRtAttr:size]
		switch kind := binary.NativeEndian.Uint16(b[2:]); {
		case kind == netlink.INET_DIAG_INFO:
			s.Info = info(value)
		case kind == netlink.INET_DIAG_CONG:
			s.Congestion = unix.ByteSliceToString(value)
		case kind == netlink.INET_DIAG_SKMEMINFO:
			s.Memory = memory(value)
		case kind == netlink.INET_DIAG_CGROUP_ID && len(value) >= 8:
			s.Cgroup = binary.NativeEndian.Uint64(value)
		}
		b = b[min(len(b), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
}

// memory reads what SK_MEMINFO_* number; nil: an old kernel's is shorter.
func memory(b []byte) *tcp.SocketMemory {
	var v [9]uint32
	if len(b) < 4*len(v) {
		return nil
	}
	for i := range v {
		v[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return &tcp.SocketMemory{
		Read: v[0], ReadMax: v[1], Write: v[2], WriteMax: v[3], Ahead: v[4],
		Queued: v[5], Option: v[6], Backlog: v[7], Drops: v[8],
	}
}
