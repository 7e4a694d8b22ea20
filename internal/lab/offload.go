package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// ifreqData is struct ifreq with a pointer.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data *ethtoolValue
	_    [8]byte
}

// sumsUp says whether a device computes the checksums of what leaves it (ethtool -K
// DEVICE tx). A veth that does leaves that undone, and the other end takes the segment
// for whole, whatever has become of it on the way.
func (h *Host) sumsUp(device string, yes bool) error {
	value := ethtoolValue{cmd: unix.ETHTOOL_STXCSUM}
	if yes {
		value.data = 1
	}
	req := ifreqData{data: &value}
	copy(req.name[:unix.IFNAMSIZ-1], device)
	return h.ns.within(func() error {
		sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open a socket on the %s: %w", h.name, err)
		}
		defer unix.Close(sock)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(sock), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return fmt.Errorf("set checksum offload of %s on the %s: %w", device, h.name, errno)
		}
		return nil
	})
}

// discard is the port of a service (RFC 863) that nobody offers any more.
const discard = 9

// reaches reports that a host answers by an ICMP error, soon, a datagram to a port where
// nobody listens. No TCP is needed for that.
func (h *Host) reaches(addr netip.Addr) (ok bool, err error) {
	const soon = 300 * time.Millisecond
	err = h.ns.within(func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, discard)))
		if err != nil {
			return fmt.Errorf("reach %s from the %s: %w", addr, h.name, err)
		}
		defer c.Close()
		if _, err := c.Write([]byte{0}); err != nil {
			return nil // the next hop does not answer yet
		}
		if err := c.SetReadDeadline(time.Now().Add(soon)); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		ok = errors.Is(err, unix.ECONNREFUSED)
		return nil
	})
	return ok, err
}
