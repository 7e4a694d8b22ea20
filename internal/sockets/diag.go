package sockets

import (
	"encoding/binary"
	"errors"
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
	tcpGetSock    = 18 // TCPDIAG_GETSOCK
	sizeofRequest = 60 // struct inet_diag_req
	sizeofMessage = 72 // struct inet_diag_msg
)

// AllStates asks for sockets in any state, those that are bound and not connected
// included (TCPF_BOUND_INACTIVE, 6.8).
const AllStates = math.MaxUint32

// extensions are the attributes that are asked for, a bit each; the cgroup comes
// unasked (5.9).
const extensions = 1<<(netlink.INET_DIAG_INFO-1) | 1<<(netlink.INET_DIAG_CONG-1) | 1<<(netlink.INET_DIAG_SKMEMINFO-1)

// request is a struct inet_diag_req for the sockets whose state's bit is set. This
// older of two requests gives both families in one walk over the kernel's table, which
// takes milliseconds even where there is nothing.
type request uint32

// Len implements nl.NetlinkRequestData.
func (r request) Len() int { return sizeofRequest }

// Serialize implements nl.NetlinkRequestData.
func (r request) Serialize() []byte {
	b := make([]byte, sizeofRequest)
	b[0], b[3] = unix.AF_UNSPEC, extensions
	binary.NativeEndian.PutUint32(b[52:], uint32(r))
	return b
}

// list lists the sockets of the calling thread's namespace in the states whose bits
// are set. A walk that tables grew or shrank under may have missed some: then torn is
// true.
func list(states uint32) (found []tcp.Socket, torn bool, err error) {
	req := nl.NewNetlinkRequest(tcpGetSock, unix.NLM_F_DUMP)
	req.AddData(request(states))
	err = req.ExecuteIter(unix.NETLINK_INET_DIAG, tcpGetSock, func(b []byte) bool {
		if len(b) >= sizeofMessage {
			found = append(found, tcp.Socket{})
			parse(&found[len(found)-1], b)
		}
		return true
	})
	switch {
	case err == nil:
		return found, false, nil
	case errors.Is(err, netlink.ErrDumpInterrupted):
		return found, true, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return nil, false, ErrNoDiag
	}
	return nil, false, fmt.Errorf("ask the kernel for its sockets (sock_diag): %w", err)
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
