package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	nl "github.com/mdlayher/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Socket is what the kernel's socket diagnosis (what ss prints) says of one
// TCP socket. A half-open connection is SYN_RECV here, as in ss.
type Socket struct {
	State   tcp.State
	Flow    tcp.Flow
	Retrans uint8         // unacknowledged time-outs, or probes
	Expires time.Duration // of the socket's timer; 0 none
	Unread  uint32        // bytes that the application has not read; of a listener, connections not accepted
	Unacked uint32        // bytes that were written and are not acknowledged; of a listener, its queue's length
	id      [48]byte      // struct inet_diag_sockid
}

// linux/sock_diag.h and linux/inet_diag.h.
const (
	sockDiagByFamily = 20
	sockDestroy      = 21
	sizeofDiagReq    = 56
	sizeofDiagMsg    = 72
	allStates        = 0xffffffff
)

// diag is a socket diagnosis connection to one namespace, opened at first use.
type diag struct {
	mu   sync.Mutex
	conn *nl.Conn
}

func dialDiag(ns netns.NsHandle) (*nl.Conn, error) {
	c, err := nl.Dial(unix.NETLINK_INET_DIAG, &nl.Config{NetNS: int(ns)})
	if err != nil {
		return nil, fmt.Errorf("open socket diagnosis: %w", err)
	}
	return c, nil
}

func (d *diag) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		d.conn.Close()
	}
}

// Sockets lists the host's TCP sockets of a family: listening, connected,
// half-open and in TIME_WAIT.
func (h *Host) Sockets(f Family) ([]Socket, error) {
	h.diag.mu.Lock()
	defer h.diag.mu.Unlock()
	if h.diag.conn == nil {
		c, err := dialDiag(h.ns.fd)
		if err != nil {
			return nil, err
		}
		h.diag.conn = c
	}
	return listSockets(h.diag.conn, f, allStates)
}

// listSockets lists those whose state's bit is in the mask.
func listSockets(c *nl.Conn, f Family, states uint32) ([]Socket, error) {
	var req [sizeofDiagReq]byte
	req[0], req[1] = f.domain(), unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[4:], states)
	msgs, err := c.Execute(nl.Message{
		Header: nl.Header{Type: sockDiagByFamily, Flags: nl.Request | nl.Dump},
		Data:   req[:],
	})
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	socks := make([]Socket, 0, len(msgs))
	for _, m := range msgs {
		if len(m.Data) >= sizeofDiagMsg {
			socks = append(socks, parseSocket(m.Data))
		}
	}
	return socks, nil
}

// parseSocket reads a struct inet_diag_msg.
func parseSocket(b []byte) Socket {
	s := Socket{
		State:   tcp.State(b[1]),
		Retrans: b[3],
		Expires: time.Duration(binary.NativeEndian.Uint32(b[52:])) * time.Millisecond,
		Unread:  binary.NativeEndian.Uint32(b[56:]),
		Unacked: binary.NativeEndian.Uint32(b[60:]),
		id:      [48]byte(b[4:52]),
	}
	s.Flow.Local = diagAddr(b[0], b[8:24], binary.BigEndian.Uint16(b[4:]))
	s.Flow.Remote = diagAddr(b[0], b[24:40], binary.BigEndian.Uint16(b[6:]))
	return s
}

func diagAddr(family byte, b []byte, port uint16) netip.AddrPort {
	n := 16
	if family == unix.AF_INET {
		n = 4
	}
	addr, _ := netip.AddrFromSlice(b[:n])
	return netip.AddrPortFrom(addr.Unmap(), port)
}

// destroySockets ends sockets that no process owns any more, as ss -K does. A
// kernel without that request keeps them until their timers end. TIME_WAIT
// sockets, of which a load leaves thousands, go with their namespace.
func destroySockets(ns netns.NsHandle) {
	c, err := dialDiag(ns)
	if err != nil {
		return
	}
	defer c.Close()
	for _, f := range Families {
		socks, _ := listSockets(c, f, allStates&^(1<<tcp.TimeWait))
		for _, s := range socks {
			if err := destroySocket(c, f, s); errors.Is(err, unix.EOPNOTSUPP) {
				return
			}
		}
	}
}

func destroySocket(c *nl.Conn, f Family, s Socket) error {
	var req [sizeofDiagReq]byte
	req[0], req[1] = f.domain(), unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[4:], allStates)
	copy(req[8:], s.id[:])
	_, err := c.Execute(nl.Message{
		Header: nl.Header{Type: sockDestroy, Flags: nl.Request | nl.Acknowledge},
		Data:   req[:],
	})
	return err
}
