package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// emptyCapture is the header of a pcap file: version 2.4, Ethernet.
const emptyCapture = "\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x01\x00\x00\x00"

// TestCapturesTellNobody: a capture file has no processes to choose from.
func TestCapturesTellNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.pcap")
	if err := os.WriteFile(file, []byte(emptyCapture), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, choice := range [][]string{{"-p", "1"}, {"--comm", "sh"}, {"--cgroup", "/"}, {"--netns", "x"}} {
		p := start(t, tcpstory(here{}, append([]string{"-r", file}, choice...)...))
		p.ends(exitUsage)
		if said := p.said(); !strings.Contains(said, "does not tell whose its packets are") {
			t.Errorf("%v: %s", choice, said)
		}
	}
}
