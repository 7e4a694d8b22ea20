package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"tcpstory/internal/tcp"
)

// Stdio is the path that stands for standard input or output.
const Stdio = "-"

// readBuffer is big enough that few reads are needed, small enough that a
// pipe's packets are not waited for: a read returns what there is.
const readBuffer = 64 << 10

// Reader reads one capture file, a packet at a time in constant memory. It is
// not safe for concurrent use.
type Reader struct {
	path   string // as the user gave it
	file   io.Closer
	format format
	seq    uint64
	names  deviceNames
	failed error
}

// format is a kind of capture file.
type format interface {
	// next fills in what the file says of its next packet: Time, and of
	// Packet the frame (valid until the next call), Length, Link, Device and
	// Dir. At the end it returns io.EOF.
	next(ev *tcp.Event) error
	// link is the link type of the file, or of its first device.
	link() tcp.LinkType
}

// Open opens a pcap or pcapng file, "-" being standard input, and reads its
// header. Errors name the file.
func Open(path string) (*Reader, error) {
	file, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	return NewReader(path, file, file)
}

// OpenFile opens a file to be read, "-" being standard input.
func OpenFile(path string) (*os.File, error) {
	if path == Stdio {
		return os.Stdin, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open capture file: %w", err)
	}
	return f, nil
}

// NewReader reads a file's header from in, which gives the file of that path;
// closing the Reader closes file, unless it is standard input.
func NewReader(path string, in io.Reader, file io.Closer) (*Reader, error) {
	r := &Reader{path: path, file: file}
	var err error
	if r.format, err = newFormat(in); err != nil {
		r.Close()
		return nil, fmt.Errorf("read capture file %s: %w", r.name(), err)
	}
	return r, nil
}

func (r *Reader) name() string {
	if r.path == Stdio {
		return "standard input"
	}
	return r.path
}

// Link returns how the frames start: for a pcapng file of several devices the
// first one's link type; each packet carries its own.
func (r *Reader) Link() tcp.LinkType { return r.format.link() }

// Next reads the next packet into ev, which it overwrites: KindPacket, with
// Seq counting from 1. The packet is not decoded; its frame is valid until
// the next call. At the end Next returns io.EOF. Where the file is damaged it
// delivers what stands before, and then an error that names the file, the
// packet and what is wrong, now and from then on.
func (r *Reader) Next(ev *tcp.Event) error {
	if r.failed != nil {
		return r.failed
	}
	*ev = tcp.Event{Kind: tcp.KindPacket}
	if err := r.format.next(ev); err != nil {
		r.failed = r.explain(err)
		return r.failed
	}
	r.seq++
	ev.Seq = r.seq
	r.fromCooked(&ev.Packet)
	return nil
}

func (r *Reader) explain(err error) error {
	if err == io.EOF {
		return io.EOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errTruncated
	}
	return fmt.Errorf("read capture file %s: packet %d: %w", r.name(), r.seq+1, err)
}

// errTruncated still is io.ErrUnexpectedEOF to errors.Is.
var errTruncated = fmt.Errorf("truncated dump file; %w", io.ErrUnexpectedEOF)

// fromCooked takes interface and direction from a cooked header. The names
// are those of this host, as with tcpdump: the file has numbers only.
func (r *Reader) fromCooked(p *tcp.Packet) {
	if p.Link != tcp.LinkSLL && p.Link != tcp.LinkSLL2 {
		return
	}
	c, ok := p.Cook()
	if !ok {
		return
	}
	p.Dir = tcp.DirectionOf(c.Type)
	p.Loopback = c.Loopback()
	if p.Link == tcp.LinkSLL2 {
		p.Ifindex = c.Ifindex
		p.Device = r.names.of(c.Ifindex)
	}
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.path == Stdio {
		return nil
	}
	return r.file.Close()
}

// The first bytes of the formats.
var (
	magicNG   = []byte{0x0a, 0x0d, 0x0d, 0x0a}
	magicGzip = []byte{0x1f, 0x8b}
)

var magicsPcap = [...]uint32{0xa1b2c3d4, 0xa1b23c4d, 0xd4c3b2a1, 0x4d3cb2a1}

// newFormat tells the format by the first bytes.
func newFormat(in io.Reader) (format, error) {
	b := bufio.NewReaderSize(in, readBuffer)
	head, err := b.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case len(head) == 0:
		return nil, errors.New("the file is empty")
	case bytes.HasPrefix(head, magicGzip):
		return nil, errors.New("it is compressed: decompress it first (zcat FILE | tcpstory -r -)")
	case len(head) < 4:
		return nil, errTruncated
	case bytes.Equal(head, magicNG):
		return newNG(b)
	}
	magic := binary.LittleEndian.Uint32(head)
	for _, m := range magicsPcap {
		if magic == m {
			return newPcap(b)
		}
	}
	return nil, fmt.Errorf("not a pcap or pcapng file (it begins %x)", head)
}
