package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Block types of pcapng that the guard lets through.
const (
	blockInterface = 1
	blockPacket    = 2
	blockSimple    = 3
	blockEnhanced  = 6
	blockSection   = 0x0a0d0d0a
)

const (
	byteOrderMagic = 0x1a2b3c4d
	maxBlock       = 16 << 20 // libpcap's bound as well
	maxInterfaces  = 1 << 16  // of a file; each costs memory
)

// ngGuard stands between a pcapng file and its parser. It passes on only
// blocks whose lengths can be true, and only the kinds that packets need, so
// that what the parser allocates and keeps is bounded.
type ngGuard struct {
	in         *bufio.Reader
	order      binary.ByteOrder
	left       int // of the block that is passing
	interfaces int
	failed     error
}

func (g *ngGuard) Read(p []byte) (int, error) {
	for g.left == 0 {
		if g.failed != nil {
			return 0, g.failed
		}
		g.failed = g.nextBlock()
	}
	n, err := g.in.Read(p[:min(len(p), g.left)])
	g.left -= n
	if err == io.EOF && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// reason is why the parser failed with err: what the guard found, if it did,
// which the parser may have taken for a clean end.
func (g *ngGuard) reason(err error) error {
	if g.failed != nil && g.failed != io.EOF {
		return g.failed
	}
	return err
}

// nextBlock checks the block ahead and lets it through, or skips it.
func (g *ngGuard) nextBlock() error {
	head, err := g.in.Peek(12)
	if len(head) == 0 {
		return err
	}
	if err != nil {
		return truncation(err)
	}
	if err := g.byteOrder(head); err != nil {
		return err
	}
	kind, size := g.order.Uint32(head), g.order.Uint32(head[4:])
	if size < 12 || size%4 != 0 || size > maxBlock {
		return fmt.Errorf("invalid pcapng block length %d", size)
	}
	switch kind {
	case blockSection:
	case blockInterface:
		if g.interfaces++; g.interfaces > maxInterfaces {
			return errors.New("too many interface descriptions")
		}
	case blockEnhanced, blockPacket:
		err = g.checkPacket(size)
	case blockSimple:
		if size > maxCaptured+16 {
			err = captureTooLong(size - 16)
		}
	default:
		_, err = g.in.Discard(int(size))
		return truncation(err)
	}
	if err == nil {
		g.left = int(size)
	}
	return err
}

// byteOrder learns the section's byte order from its header.
func (g *ngGuard) byteOrder(head []byte) error {
	if binary.LittleEndian.Uint32(head) != blockSection {
		return nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(head[8:]) == byteOrderMagic {
			g.order = order
			return nil
		}
	}
	return fmt.Errorf("invalid pcapng byte order %x", head[8:12])
}

// checkPacket checks the captured length against the block's and the maximum.
func (g *ngGuard) checkPacket(size uint32) error {
	const fixed = 28 // type, length, interface, time twice, captured, original
	head, err := g.in.Peek(fixed)
	if err != nil {
		return truncation(err)
	}
	captured := g.order.Uint32(head[20:])
	if captured > maxCaptured {
		return captureTooLong(captured)
	}
	if captured+fixed+4 > size {
		return fmt.Errorf("invalid packet: %d bytes captured in a block of %d", captured, size)
	}
	return nil
}

func captureTooLong(n uint32) error {
	return fmt.Errorf("invalid packet capture length %d, bigger than the maximum of %d", n, maxCaptured)
}

// truncation makes the end of the file, where it must not be, an error.
func truncation(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
