package capture

import (
	"bufio"
	"fmt"
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"

	"tcpstory/internal/tcp"
)

// maxCaptured is the longest frame believed: libpcap's MAXIMUM_SNAPLEN.
const maxCaptured = 262144

// pcapFile is the classic format.
type pcapFile struct {
	r *pcapgo.Reader
	l tcp.LinkType
}

func newPcap(in *bufio.Reader) (*pcapFile, error) {
	r, err := pcapgo.NewReader(in)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, errTruncated
	}
	if err != nil {
		return nil, err
	}
	// The file's own limit, which some writers neither keep nor mean, is not
	// what decides how long a frame may be.
	r.SetSnaplen(maxCaptured)
	return &pcapFile{r: r, l: linkType(uint16(r.LinkType()))}, nil
}

func (p *pcapFile) link() tcp.LinkType { return p.l }

func (p *pcapFile) next(ev *tcp.Event) error {
	frame, ci, err := p.r.ZeroCopyReadPacketData()
	if err == io.EOF && ci.CaptureLength > 0 {
		err = io.ErrUnexpectedEOF // the header is there, and nothing behind it
	}
	if err != nil {
		return lie(err, &ci)
	}
	fill(ev, frame, &ci, p.l)
	return nil
}

// lie puts lengths that cannot be in tcpdump's words; other errors pass.
func lie(err error, ci *gopacket.CaptureInfo) error {
	if ci.CaptureLength > maxCaptured {
		return captureTooLong(uint32(ci.CaptureLength))
	}
	if ci.CaptureLength > ci.Length {
		return fmt.Errorf("invalid packet: %d bytes captured of %d", ci.CaptureLength, ci.Length)
	}
	return err
}

// fill puts a packet read into its event.
func fill(ev *tcp.Event, frame []byte, ci *gopacket.CaptureInfo, link tcp.LinkType) {
	if !ci.Timestamp.IsZero() { // simple packets of pcapng have no time
		ev.Time = ci.Timestamp.UnixNano()
	}
	ev.Packet.Frame = frame
	ev.Packet.Length = uint32(max(ci.Length, len(frame)))
	ev.Packet.Link = link
}

// rawLinks are the numbers that files have used for bare IP packets.
var rawLinks = map[uint16]bool{12: true, 14: true, 101: true, 228: true, 229: true}

// linkType gives link types of the same shape the same number.
func linkType(n uint16) tcp.LinkType {
	if rawLinks[n] {
		return tcp.LinkRaw
	}
	return tcp.LinkType(n)
}
