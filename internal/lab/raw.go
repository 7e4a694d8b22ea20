package lab

import (
	"context"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// SendBeyond sends a segment past the peer's own socket, by a raw one, with so many bytes
// of data: with the socket's numbers, but for a sequence number that lies so far ahead of
// them. Whatever on the way rewrites numbers makes such segments.
func (p *Peer) SendBeyond(ctx context.Context, sock string, ahead, size int) error {
	_, err := p.do(ctx, request{Op: "beyond", Sock: sock, Value: ahead, Size: size})
	return err
}

// beyond is SendBeyond's order.
func (p peerSockets) beyond(r request) (reply, error) {
	seg, err := numbersOf(p[r.Sock])
	if err != nil {
		return reply{}, err
	}
	from, err := unix.Getsockname(p[r.Sock])
	if err != nil {
		return reply{}, err
	}
	to, err := unix.Getpeername(p[r.Sock])
	if err != nil {
		return reply{}, err
	}
	seg.seq += uint32(r.Value)
	return reply{}, seg.send(addrPort(from), addrPort(to), r.Size)
}

// rawSegment is what a segment says besides its ports and data.
type rawSegment struct{ seq, ack uint32 }

// numbersOf are a socket's next numbers. Under repair (TCP_REPAIR) it tells them, and is
// as before afterwards.
func numbersOf(fd int) (s rawSegment, err error) {
	const sending, receiving, offNoProbe = 2, 1, -1 // TCP_SEND_QUEUE, TCP_RECV_QUEUE, TCP_REPAIR_OFF_NO_WP
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, 1); err != nil {
		return s, err
	}
	for queue, number := range map[int]*uint32{sending: &s.seq, receiving: &s.ack} {
		n := 0
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR_QUEUE, queue); err != nil {
			break
		}
		if n, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ); err != nil {
			break
		}
		*number = uint32(n)
	}
	if off := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, offNoProbe); err == nil {
		err = off
	}
	return s, err
}

// send sends it, with data, by a raw socket: the kernel makes the IP header.
func (s rawSegment) send(from, to netip.AddrPort, size int) error {
	domain := unix.AF_INET
	if to.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	whole := netip.AddrPortFrom(to.Addr(), 0) // a raw socket has no ports
	return unix.Sendto(fd, s.bytes(from, to, size), 0, sockaddr(whole))
}

// bytes is the segment with its checksum, which covers the addresses too.
func (s rawSegment) bytes(from, to netip.AddrPort, size int) []byte {
	const header, window = 20, 500
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint32(b, s.seq)
	b = binary.BigEndian.AppendUint32(b, s.ack)
	b = append(b, header/4<<4, byte(tcp.PSH|tcp.ACK))
	b = binary.BigEndian.AppendUint16(b, window)
	b = append(b, make([]byte, 4+size)...) // checksum, urgent pointer, data
	sum := uint32(unix.IPPROTO_TCP + len(b))
	for _, part := range [...][]byte{from.Addr().AsSlice(), to.Addr().AsSlice(), b} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[16:], ^uint16(sum))
	return b
}
