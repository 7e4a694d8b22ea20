package capture

import (
	"bufio"
	"fmt"
	"io"
	"net"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tcpstory/internal/tcp"
)

// ngFile is the newer format: several devices, each with its link type.
type ngFile struct {
	r     *pcapgo.NgReader
	guard *ngGuard
	first tcp.LinkType

	// The first packet is read when the file is opened, for its link type:
	// the format has none for the whole file. So opening a pipe waits for it.
	ahead    tcp.Event
	hasAhead bool
	aheadErr error
}

func newNG(in *bufio.Reader) (*ngFile, error) {
	guard := &ngGuard{in: in}
	r, err := pcapgo.NewNgReader(guard, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, errTruncated
	}
	if err != nil {
		return nil, err
	}
	f := &ngFile{r: r, guard: guard, first: tcp.LinkEthernet}
	f.aheadErr = f.read(&f.ahead)
	f.hasAhead = true
	if device, err := r.Interface(0); err == nil {
		f.first = linkType(uint16(device.LinkType))
	}
	return f, nil
}

func (f *ngFile) link() tcp.LinkType { return f.first }

func (f *ngFile) next(ev *tcp.Event) error {
	if f.hasAhead {
		f.hasAhead = false
		*ev = f.ahead
		f.ahead = tcp.Event{}
		return f.aheadErr
	}
	return f.read(ev)
}

func (f *ngFile) read(ev *tcp.Event) error {
	ev.Kind = tcp.KindPacket
	frame, ci, opts, err := f.r.ZeroCopyReadPacketDataWithOptions()
	if err != nil {
		return f.guard.reason(err)
	}
	device, err := f.r.Interface(ci.InterfaceIndex)
	if err != nil {
		return fmt.Errorf("it belongs to interface %d, which is not described", ci.InterfaceIndex)
	}
	fill(ev, frame, &ci, linkOf(&ci, &device))
	ev.Packet.Device = device.Name
	ev.Packet.Dir = direction(opts.Flags)
	return nil
}

func linkOf(ci *gopacket.CaptureInfo, device *pcapgo.NgInterface) tcp.LinkType {
	if len(ci.AncillaryData) > 0 {
		if link, ok := ci.AncillaryData[0].(layers.LinkType); ok {
			return linkType(uint16(link))
		}
	}
	return linkType(uint16(device.LinkType))
}

// direction reads a packet's flags word: bits 0 and 1 say in or out, bits 2
// to 4 how it was addressed.
func direction(flags *pcapgo.NgEpbFlags) tcp.Direction {
	if flags == nil {
		return tcp.DirUnknown
	}
	const outbound, multicast, broadcast, promiscuous = 2, 2 << 2, 3 << 2, 4 << 2
	switch {
	case flags.Direction == outbound:
		return tcp.DirOut
	case flags.Reception == multicast:
		return tcp.DirMulticast
	case flags.Reception == broadcast:
		return tcp.DirBroadcast
	case flags.Reception == promiscuous:
		return tcp.DirOther
	case flags.Direction == 1:
		return tcp.DirIn
	}
	return tcp.DirUnknown
}

// deviceNames remembers the names of this host's interfaces.
type deviceNames map[uint32]string

// maxDeviceNames bounds what a file full of invented numbers can make it keep.
const maxDeviceNames = 4096

// of returns the name of an interface index on this host; "" if it has none.
func (n *deviceNames) of(index uint32) string {
	if name, ok := (*n)[index]; ok {
		return name
	}
	if *n == nil || len(*n) >= maxDeviceNames {
		*n = make(deviceNames)
	}
	name := ""
	if device, err := net.InterfaceByIndex(int(index)); err == nil {
		name = device.Name
	}
	(*n)[index] = name
	return name
}
