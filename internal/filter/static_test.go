package filter_test

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"testing"

	"tcpstory/internal/filter"
	"tcpstory/internal/tcp"
)

// A fully static binary links without a warning and compiles names as this
// dynamic one does.
func TestStaticBinary(t *testing.T) {
	binary := buildStatic(t)
	for _, expr := range []string{
		"tcp", "port http", "tcp port ssh or udp port domain", "portrange ftp-telnet", "host localhost", "host fd77::1",
		"ip6 proto \\tcp", "ip proto pup", "net loopback", "net 10.0.0.0/8", "ether host 02:00:00:00:00:01",
		"port nosuchservice", "host nosuch.invalid", "proto nosuch", "tcp prot 80",
	} {
		out, err := exec.Command(binary, "1", expr).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", expr, err, out)
		}
		if want := compiled(expr); string(out) != want {
			t.Errorf("%q: static binary says\n%s, this one\n%s", expr, out, want)
		}
	}
}

func compiled(expr string) string {
	p, err := filter.Compile(expr, tcp.LinkEthernet)
	if err != nil {
		return err.Error() + "\n"
	}
	return p.String()
}

func buildStatic(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "static")
	build := exec.Command("go", "build", "-tags", "netgo,osusergo",
		"-ldflags", `-s -w -linkmode external -extldflags "-static"`, "-o", binary, "./testdata/static")
	if out, err := build.CombinedOutput(); err != nil || len(out) != 0 {
		t.Fatalf("static build (needs gcc, libc6-dev, libpcap-dev): %v\n%s", err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) != 0 {
		t.Fatalf("not static: %v, %v", libraries, err)
	}
	return binary
}
