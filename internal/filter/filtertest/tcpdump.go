package filtertest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tcpstory/internal/tcp"
)

// Tcpdump judges which packets an expression selects.
type Tcpdump struct {
	file string
	n    int
}

// NewTcpdump writes the packets to a capture file for tcpdump to read. Without
// tcpdump the test fails.
func NewTcpdump(t testing.TB, link tcp.LinkType, packets []Packet) Tcpdump {
	t.Helper()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Fatalf("%v: apt-get install tcpdump", err)
	}
	le := binary.LittleEndian
	file := le.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	file = le.AppendUint32(le.AppendUint32(file, 262144), uint32(link))
	for i, p := range packets { // the time in seconds is the packet's number
		file = le.AppendUint32(le.AppendUint32(file, uint32(i)), 0)
		file = le.AppendUint32(le.AppendUint32(file, uint32(len(p.Frame))), p.Wire)
		file = append(file, p.Frame...)
	}
	name := filepath.Join(t.TempDir(), "packets.pcap")
	if err := os.WriteFile(name, file, 0o644); err != nil {
		t.Fatal(err)
	}
	return Tcpdump{name, len(packets)}
}

// Selects returns for each packet whether the expression selects it; err holds
// tcpdump's message if it refuses the expression.
func (d Tcpdump) Selects(expr string) ([]bool, error) {
	var out, messages bytes.Buffer
	c := exec.Command("tcpdump", "-r", d.file, "-w", "-", "--", expr)
	c.Stdout, c.Stderr = &out, &messages
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(messages.Bytes()))
	}
	selected := make([]bool, d.n)
	for b := out.Bytes()[24:]; len(b) >= 16; {
		selected[binary.LittleEndian.Uint32(b)] = true
		b = b[16+binary.LittleEndian.Uint32(b[8:]):]
	}
	return selected, nil
}
