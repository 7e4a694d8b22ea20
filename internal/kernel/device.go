package kernel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// device is what -i names, or nothing.
type device struct {
	index  int
	name   string
	kind   string // netlink's word: "veth", "vlan", "bridge" …
	raw    bool   // frames start with the IP header
	netns  uint32
	tapped bool // captured by a packet socket: the tracepoints do not serve it
}

// stackedKinds are devices whose packets are traced at the device below them.
var stackedKinds = []string{"vlan", "bond", "team", "macvlan", "macvtap", "ipvlan", "ipvtap", "bridge", "openvswitch", "ifb"}

// openDevice looks the device up in the calling thread's network namespace.
func openDevice(name string) (*device, error) {
	if name == "" {
		return &device{}, nil
	}
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, fmt.Errorf("%s: no such device in this network namespace (tcpstory -D lists them)", name)
	}
	if err != nil {
		return nil, fmt.Errorf("look up device %s: %w", name, err)
	}
	inum, err := OwnNetns()
	if err != nil {
		return nil, err
	}
	a := link.Attrs()
	raw := a.EncapType != "ether" && a.EncapType != "loopback"
	return &device{
		index: a.Index, name: name, kind: link.Type(), raw: raw, netns: inum,
		tapped: slices.Contains(stackedKinds, link.Type()),
	}, nil
}

// OwnNetns is the inode of the calling thread's network namespace.
func OwnNetns() (uint32, error) { return NetnsOf("/proc/thread-self/ns/net") }

// NetnsOf is the inode of the network namespace that a path names
// (/run/netns/NAME, /proc/PID/ns/net).
func NetnsOf(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("look up a network namespace: %w", err)
	}
	defer f.Close()
	fd := int(f.Fd())
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		return 0, fmt.Errorf("%s: not a network namespace (ip netns lists those with a name, /proc/PID/ns/net is a process's)", path)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("look up network namespace %s: %w", path, err)
	}
	return uint32(st.Ino), nil
}

func (d *device) link() tcp.LinkType {
	switch {
	case d.name == "":
		return tcp.LinkSLL2
	case d.raw:
		return tcp.LinkRaw
	}
	return tcp.LinkEthernet
}

func (d *device) settings() []setting {
	var name [16]uint8
	copy(name[:15], d.name)
	index := uint32(d.index)
	if d.tapped {
		index = 0
	}
	return []setting{
		{traceVarOnlyIfindex, index},
		{traceVarTapNetns, d.netns},
		{traceVarTapRaw, d.raw},
		{traceVarTapName, name},
	}
}

// Interfaces lists the devices of this network namespace for -D.
func Interfaces() ([]net.Interface, error) { return net.Interfaces() }
