package main

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// forger sends segments that no socket of its host has asked for.
type forger struct {
	t      *testing.T
	family lab.Family
	fd     int
}

// newForger makes one on a host, for the length of the test.
func newForger(t *testing.T, h *lab.Host, f lab.Family) *forger {
	t.Helper()
	domain := unix.AF_INET
	if f == lab.IPv6 {
		domain = unix.AF_INET6
	}
	forge := &forger{t: t, family: f}
	err := h.Within(func() (err error) {
		forge.fd, err = unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(forge.fd) })
	return forge
}

// forged is the header of a forged segment.
type forged struct {
	flags    tcp.Flags
	seq, ack uint32
}

// sends a segment without options or data, as the flow's local end would.
func (f *forger) sends(flow tcp.Flow, h forged) {
	f.t.Helper()
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, flow.Local.Port())
	binary.BigEndian.PutUint16(b[2:], flow.Remote.Port())
	binary.BigEndian.PutUint32(b[4:], h.seq)
	binary.BigEndian.PutUint32(b[8:], h.ack)
	b[12], b[13] = 5<<4, byte(h.flags)
	binary.BigEndian.PutUint16(b[14:], 64240)
	binary.BigEndian.PutUint16(b[16:], checksum(flow, b))
	if err := unix.Sendto(f.fd, b, 0, sockaddr(flow.Remote.Addr())); err != nil {
		f.t.Error(err)
	}
}

// checksum is RFC 9293's, section 3.1.
func checksum(f tcp.Flow, segment []byte) uint16 {
	sum := uint32(unix.IPPROTO_TCP + len(segment))
	add := func(b []byte) {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(binary.BigEndian.Uint16(b))
		}
	}
	add(f.Local.Addr().AsSlice())
	add(f.Remote.Addr().AsSlice())
	add(segment)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}
