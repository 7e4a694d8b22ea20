package kernel

import (
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// tap is a packet socket on one device whose filter writes to the ring buffer
// and keeps nothing for the socket itself.
type tap struct{ fd int }

func openTap(d *device, program *ebpf.Program) (*tap, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket for %s (it needs root or CAP_NET_RAW): %w", d.name, err)
	}
	t := &tap{fd}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, program.FD()); err != nil {
		t.Close()
		return nil, fmt.Errorf("attach the filter to the packet socket of %s: %w", d.name, err)
	}
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: d.index}); err != nil {
		t.Close()
		return nil, fmt.Errorf("bind the packet socket to %s: %w", d.name, err)
	}
	return t, nil
}

func (t *tap) Close() error { return unix.Close(t.fd) }
