package capture_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tcpstory/internal/capture"
	"tcpstory/internal/tcp"
)

// ngBuilder writes pcapng blocks in a byte order.
type ngBuilder struct {
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	b []byte
}

func (g *ngBuilder) block(kind uint32, body ...byte) *ngBuilder {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	size := uint32(12 + len(body))
	g.b = g.order.AppendUint32(g.b, kind)
	g.b = g.order.AppendUint32(g.b, size)
	g.b = append(g.b, body...)
	g.b = g.order.AppendUint32(g.b, size)
	return g
}

func (g *ngBuilder) option(b []byte, code uint16, value ...byte) []byte {
	b = g.order.AppendUint16(b, code)
	b = g.order.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (g *ngBuilder) section() *ngBuilder {
	b := g.order.AppendUint32(nil, 0x1a2b3c4d)
	b = g.order.AppendUint16(b, 1)
	b = g.order.AppendUint16(b, 0)
	b = g.order.AppendUint64(b, 1<<64-1)
	return g.block(0x0a0d0d0a, b...)
}

func (g *ngBuilder) device(link tcp.LinkType, name string) *ngBuilder {
	b := g.order.AppendUint16(nil, uint16(link))
	b = g.order.AppendUint16(b, 0)
	b = g.order.AppendUint32(b, 0)
	b = g.option(b, 2, []byte(name)...)
	b = g.option(b, 9, 9) // nanoseconds
	return g.block(1, g.option(b, 0)...)
}

func (g *ngBuilder) packet(device uint32, frame []byte, captured uint32, flags byte) *ngBuilder {
	b := g.order.AppendUint32(nil, device)
	b = g.order.AppendUint32(b, uint32(uint64(testNS)>>32))
	b = g.order.AppendUint32(b, uint32(testNS&(1<<32-1)))
	b = g.order.AppendUint32(b, captured)
	b = g.order.AppendUint32(b, uint32(len(frame)))
	b = append(b, frame...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	if flags != 0 {
		b = g.option(g.option(b, 2, flags, 0, 0, 0), 0)
	}
	return g.block(6, b...)
}

// write writes the file; name is for the error messages.
func (g *ngBuilder) write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.pcapng")
	if err := os.WriteFile(path, g.b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newNG() *ngBuilder { return &ngBuilder{order: binary.LittleEndian} }

func TestPcapng(t *testing.T) {
	frame := synFrame(false)
	for _, g := range []*ngBuilder{newNG(), {order: binary.BigEndian}} {
		g.section().device(tcp.LinkEthernet, "eth0").device(tcp.LinkRaw, "tun0")
		g.packet(0, frame, uint32(len(frame)), 0)
		g.block(4, 1, 2, 3, 4) // names: skipped
		g.packet(1, frame[14:], uint32(len(frame)-14), 0)
		path := g.write(t)
		r, err := capture.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if r.Link() != tcp.LinkEthernet {
			t.Errorf("link type %d", r.Link())
		}
		r.Close()
		events, err := readAll(t, path)
		if err != io.EOF || len(events) != 2 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		p, q := &events[0].Packet, &events[1].Packet
		if p.Device != "eth0" || p.Link != tcp.LinkEthernet || events[0].Time != testNS || events[0].Seq != 1 {
			t.Errorf("first: %+v", events[0])
		}
		if q.Device != "tun0" || q.Link != tcp.LinkRaw || !bytes.Equal(q.Frame, frame[14:]) || events[1].Seq != 2 {
			t.Errorf("second: %+v", events[1])
		}
	}
}

func TestPcapngDirection(t *testing.T) {
	frame := synFrame(false)
	g := newNG().section().device(tcp.LinkEthernet, "eth0")
	want := map[byte]tcp.Direction{
		0: tcp.DirUnknown, 1: tcp.DirIn, 2: tcp.DirOut, 1 | 1<<2: tcp.DirIn, 1 | 2<<2: tcp.DirMulticast,
		1 | 3<<2: tcp.DirBroadcast, 1 | 4<<2: tcp.DirOther, 2 | 3<<2: tcp.DirOut,
	}
	var order []byte
	for flags := range want {
		order = append(order, flags)
		g.packet(0, frame, uint32(len(frame)), flags)
	}
	events, err := readAll(t, g.write(t))
	if err != io.EOF {
		t.Fatal(err)
	}
	for i, ev := range events {
		if ev.Packet.Dir != want[order[i]] {
			t.Errorf("flags %#x: direction %v, want %v", order[i], ev.Packet.Dir, want[order[i]])
		}
	}
}

func TestDamagedPcapng(t *testing.T) {
	frame := synFrame(false)
	start := func() *ngBuilder {
		return newNG().section().device(tcp.LinkEthernet, "eth0").packet(0, frame, uint32(len(frame)), 0)
	}
	lying := func(size uint32) []byte {
		g := start()
		at := len(g.b)
		g.packet(0, frame, uint32(len(frame)), 0)
		binary.LittleEndian.PutUint32(g.b[at+4:], size)
		return g.b
	}
	whole := start().packet(0, frame, uint32(len(frame)), 0).b
	tests := []struct {
		name   string
		file   []byte
		before int
		want   string
	}{
		{"cut in a packet", whole[:len(whole)-30], 1, "packet 2: truncated dump file"},
		{"cut in a block header", whole[:len(start().b)+6], 1, "packet 2: truncated dump file"},
		{"absurd captured length", start().packet(0, frame, 1<<30, 0).b, 1, "packet 2: invalid packet capture length 1073741824"},
		{"captured more than the block", start().packet(0, frame, 200, 0).b, 1, "packet 2: invalid packet: 200 bytes captured"},
		{"absurd block length", lying(1 << 31), 1, "packet 2: invalid pcapng block length 2147483648"},
		{"odd block length", lying(33), 1, "packet 2: invalid pcapng block length 33"},
		{"no block length", lying(0), 1, "packet 2: invalid pcapng block length 0"},
		{"no such interface", start().packet(7, frame, uint32(len(frame)), 0).b, 1, "packet 2: "},
		{"no byte order", []byte{0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0}, 0, "byte order"},
		{"section cut", newNG().section().b[:14], 0, "truncated dump file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { checkDamaged(t, test.file, test.before, test.want) })
	}
}

// FuzzReader checks that no file makes the reader panic, hang or deliver what
// cannot be.
func FuzzReader(f *testing.F) {
	frame := synFrame(true)
	f.Add(newNG().section().device(tcp.LinkEthernet, "eth0").packet(0, frame, uint32(len(frame)), 2).b)
	f.Add((&ngBuilder{order: binary.BigEndian}).section().device(tcp.LinkSLL2, "any").packet(0, frame, uint32(len(frame)), 0).b)
	for _, link := range []tcp.LinkType{tcp.LinkEthernet, tcp.LinkSLL2} {
		b, err := os.ReadFile(create(f, link, 0, event(tcp.LinkEthernet, frame), event(tcp.LinkEthernet, frame)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	path := filepath.Join(f.TempDir(), "fuzz")
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := capture.Open(path)
		if err != nil {
			return
		}
		defer r.Close()
		var ev tcp.Event
		for n := uint64(1); ; n++ {
			if err := r.Next(&ev); err != nil {
				return
			}
			p := &ev.Packet
			if ev.Seq != n || len(p.Frame) > len(file) || int64(len(p.Frame)) > int64(p.Length) {
				t.Fatalf("packet %d: %+v", n, ev)
			}
			p.Decode()
		}
	})
}
