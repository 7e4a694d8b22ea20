package main

import (
	"errors"
	"net/netip"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// TestConnectWithoutPort: a connect() that finds no free port is told as what it
// is, at once, although no kernel says so in the transitions.
func TestConnectWithoutPort(t *testing.T) {
	h := newLab(t, lab.Options{}).Host(lab.Client)
	process, err := h.Start("no-port")
	if err != nil {
		t.Fatal(err)
	}
	defer process.Close()
	to := netip.AddrPortFrom(h.Addr4(), 40000)
	if err := process.Listen(t.Context(), "l", to); err != nil {
		t.Fatal(err)
	}
	if err := h.Sysctl("net.ipv4.ip_local_port_range", "40000 40000"); err != nil {
		t.Fatal(err)
	}
	p := watch(t, h, "--netns", h.NetnsName(), "-t", "tcp", "port", "40000")
	if _, err := process.Connect(t.Context(), "c", to, lab.Option{}); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Fatalf("connect says %v", err)
	}
	ends := `^TCP ` + regexp.QuoteMeta(h.Addr4().String()) + `\.\? > ` + regexp.QuoteMeta(h.Addr4().String()) + `\.40000: `
	p.awaits(ends + `State CLOSE -> SYN_SENT, pid \d+ \(no-port\)`)
	p.awaits(ends + `State SYN_SENT -> CLOSE after 0\.\d+ ms, no SYN sent \(inferred\), pid \d+ \(no-port\)`)
	p.interrupt()
}
