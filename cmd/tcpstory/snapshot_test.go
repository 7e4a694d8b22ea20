package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// TestPayload: every byte of a capture file was really sent. A transmitted
// payload lies in pages beside the packet's buffer, and what lies behind that
// buffer is somebody else's memory.
func TestPayload(t *testing.T) {
	everyRoute(t, 7370, func(t *testing.T, r route) {
		for _, snaplen := range []int{0, 4095, 2000, 192, 100, 66, 54} {
			for _, device := range []string{r.device, "any"} {
				file := filepath.Join(t.TempDir(), "f.pcap")
				p := watch(t, r.client, append([]string{"-i", device, "-s", strconv.Itoa(snaplen), "-w", file}, r.port()...)...)
				sent := payloads(t, r)
				p.interrupt()
				got := captured(t, file, sent)
				if want := len(sent) / 3; snaplen == 0 && got < want {
					t.Errorf("-i %s -s %d: %d bytes of payload captured of %d sent", device, snaplen, got, len(sent))
				}
			}
		}
	})
}

// payloads sends segments of many sizes from client to server, each by one
// system call, and returns the stream.
func payloads(t *testing.T, r route) []byte {
	t.Helper()
	ln := r.listen(t)
	defer ln.Close()
	k := r.connect(t, ln)
	stream := text(40000)
	rest := stream
	for _, n := range []int{1, 2, 63, 64, 65, 127, 128, 129, 500, 1448, 1449, 4000, 4095, 4096, 20000} {
		k.sends(k.client, k.server, rest[:n])
		rest = rest[n:]
	}
	k.close()
	return stream[:len(stream)-len(rest)]
}

// captured holds every captured byte of TCP payload against what was sent, and
// every frame against its lengths. It returns how many bytes there were.
func captured(t *testing.T, file string, sent []byte) (total int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var first uint32
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return total
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := min(info.Length, int(r.Snaplen())); info.CaptureLength > want {
			t.Errorf("%d bytes of a frame of %d, snapshot %d", info.CaptureLength, info.Length, r.Snaplen())
		}
		p := gopacket.NewPacket(data, r.LinkType(), gopacket.DecodeOptions{Lazy: true, NoCopy: true})
		tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok || tcp.DstPort != 7370 || len(tcp.Payload) == 0 && !tcp.SYN {
			continue
		}
		if tcp.SYN {
			first = tcp.Seq + 1
			continue
		}
		from := int(tcp.Seq - first)
		payload := tcp.Payload
		total += len(payload)
		if from+len(payload) > len(sent) {
			t.Fatalf("bytes %d to %d of a stream of %d", from, from+len(payload), len(sent))
		}
		if !bytes.Equal(payload, sent[from:from+len(payload)]) {
			t.Fatalf("bytes %d to %d are not what was sent:\n%q\n%q", from, from+len(payload), payload, sent[from:from+len(payload)])
		}
	}
}
