package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"tcpstory/internal/tcp"
)

// Writer writes packets to a pcap file with microsecond times, as tcpdump -w
// does. It buffers: call Flush where others should see what was written. It
// is not safe for concurrent use.
type Writer struct {
	path    string
	file    *os.File
	b       *bufio.Writer
	link    tcp.LinkType
	snaplen int
	head    [recordHeaderLen + tcp.CookedLen]byte
}

const (
	fileHeaderLen   = 24
	recordHeaderLen = 16
	writeBuffer     = 64 << 10
)

// FileMode is that of a new file that holds traffic, less what the umask takes away:
// it is its owner's alone, as dumpcap's is. What is there already keeps its mode.
const FileMode = 0o600

// Create creates a pcap file, or empties it, and writes its header; "-" is
// standard output. snaplen bounds the bytes kept of a frame, cooked header
// included; 0 keeps all. With LinkSLL2 frames of every kind can be written,
// with another link type that one only. Errors wrap the system's own
// (ENOSPC, EPIPE) and name the file.
func Create(path string, link tcp.LinkType, snaplen int) (*Writer, error) {
	w := &Writer{path: path, file: os.Stdout, link: link, snaplen: snaplen}
	if snaplen <= 0 || snaplen > maxCaptured {
		w.snaplen = maxCaptured
	}
	if path != Stdio {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, FileMode)
		if err != nil {
			return nil, fmt.Errorf("create capture file: %w", err)
		}
		w.file = f
	}
	w.b = bufio.NewWriterSize(w.file, writeBuffer)
	if _, err := w.b.Write(w.fileHeader()); err != nil {
		return nil, w.failed(err)
	}
	return w, nil
}

func (w *Writer) fileHeader() []byte {
	h := make([]byte, 0, fileHeaderLen)
	le := binary.LittleEndian
	h = le.AppendUint32(h, 0xa1b2c3d4)
	h = le.AppendUint16(h, 2)
	h = le.AppendUint16(h, 4)
	h = le.AppendUint64(h, 0) // zone and accuracy: always 0
	h = le.AppendUint32(h, uint32(w.snaplen))
	return le.AppendUint32(h, uint32(w.link))
}

func (w *Writer) failed(err error) error {
	name := w.path
	if name == Stdio {
		name = "to standard output"
	}
	return fmt.Errorf("write capture file %s: %w", name, err)
}

// Write writes the packet of ev; events of other kinds it leaves out. An
// error of the file comes back from every later call as well.
func (w *Writer) Write(ev *tcp.Event) error {
	if ev.Kind != tcp.KindPacket {
		return nil
	}
	p := &ev.Packet
	head, frame, length := w.head[:recordHeaderLen], p.Frame, max(int(p.Length), len(p.Frame))
	switch {
	case w.link == tcp.LinkSLL2 && p.Link != tcp.LinkSLL2:
		c, ok := p.Cook()
		if !ok {
			return w.failed(fmt.Errorf("a frame of link type %d has no cooked form", p.Link))
		}
		head = w.head[:]
		c.Put(head[recordHeaderLen:])
		frame = frame[c.Payload:]
		length += tcp.CookedLen - c.Payload
	case p.Link != w.link:
		return w.failed(fmt.Errorf("a frame of link type %d does not belong in a file of link type %d", p.Link, w.link))
	}
	return w.record(ev.Time, head, frame, length)
}

// record writes head, whose first bytes it fills in, and frame.
func (w *Writer) record(ns int64, head, frame []byte, length int) error {
	extra := len(head) - recordHeaderLen
	captured := min(extra+len(frame), w.snaplen)
	le := binary.LittleEndian
	us := ns / 1000
	le.PutUint32(head, uint32(us/1e6))
	le.PutUint32(head[4:], uint32(us%1e6))
	le.PutUint32(head[8:], uint32(captured))
	le.PutUint32(head[12:], uint32(length))
	if captured < extra {
		head, frame = head[:recordHeaderLen+captured], nil
	} else {
		frame = frame[:captured-extra]
	}
	if _, err := w.b.Write(head); err != nil {
		return w.failed(err)
	}
	if _, err := w.b.Write(frame); err != nil {
		return w.failed(err)
	}
	return nil
}

// Flush hands everything written to the system.
func (w *Writer) Flush() error {
	if err := w.b.Flush(); err != nil {
		return w.failed(err)
	}
	return nil
}

// Close flushes and closes the file; standard output stays open.
func (w *Writer) Close() error {
	err := w.Flush()
	if w.path == Stdio {
		return err
	}
	if closeErr := w.file.Close(); err == nil && closeErr != nil {
		err = w.failed(closeErr)
	}
	return err
}

var _ io.Closer = (*Writer)(nil)
