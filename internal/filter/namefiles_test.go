package filter_test

import (
	"os"
	"path/filepath"
	"testing"

	"tcpstory/internal/filter"
)

func nameFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestNameFiles(t *testing.T) {
	protocols := nameFile(t, "# comment\nicmp 1 ICMP # x\nbig 300\nbad x\n")
	for name, want := range map[string]uint8{"icmp": 1, "ICMP": 1} {
		if got, ok := filter.ProtocolNumber(protocols, name); !ok || got != want {
			t.Errorf("protocol %s: %d, %v", name, got, ok)
		}
	}
	networks := nameFile(t, "link-local 169.254\nloop 127.0.0.0 lo\nbad 1.2.3.4.5\n")
	for name, want := range map[string]uint32{"link-local": 0xa9fe0000, "lo": 0x7f000000} {
		if got, ok := filter.NetworkNumber(networks, name); !ok || got != want {
			t.Errorf("network %s: %#x, %v", name, got, ok)
		}
	}
	ethers := nameFile(t, "2:0:0:0:0:a station\n2:0:0 short\nx:0:0:0:0:0 bad\n")
	if got, ok := filter.EtherAddress(ethers, "station"); !ok || got != [6]byte{2, 0, 0, 0, 0, 10} {
		t.Errorf("station: %x, %v", got, ok)
	}
	for _, unknown := range []bool{
		second(filter.ProtocolNumber(protocols, "#")), second(filter.ProtocolNumber(protocols, "big")), second(filter.ProtocolNumber("/nonexistent", "icmp")),
		second(filter.NetworkNumber(networks, "bad")), second(filter.NetworkNumber(networks, "x")),
		second(filter.EtherAddress(ethers, "short")), second(filter.EtherAddress(ethers, "bad")), second(filter.EtherAddress(ethers, "x")),
	} {
		if unknown {
			t.Error("an unknown or malformed name was found")
		}
	}
}

func second[T any](_ T, ok bool) bool { return ok }
