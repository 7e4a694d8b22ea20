package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// TestQuotedBySelection: an ICMP error is shown with the connection that it
// quotes, and with that one only, though the expression does not speak of ICMP.
func TestQuotedBySelection(t *testing.T) {
	for i, name := range []string{"IPv4", "IPv6"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, lab.Options{})
			chosen, other := routes(l, 7340)[i], routes(l, 7341)[i]
			for _, limit := range []string{"net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"} {
				if err := chosen.server.Sysctl(limit, "0"); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range []route{chosen, other} {
				f, err := r.server.Break(lab.Rule{Hook: lab.Input, ToPort: r.at.Port(), Action: lab.RejectProhibited})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Lift()
			}
			for _, expression := range []string{"port 7340", "tcp and dst port 7340"} {
				for _, device := range []string{"veth0", "any"} {
					tracer := watch(t, chosen.client, "-t", "-i", device, expression)
					other.knock()
					chosen.knock()
					tracer.interrupt()
					lines := tracer.lines()
					if n := count(lines, `ICMP6?[ ,].*prohibited`); n == 0 || n > count(lines, `Flags \[S\]`) {
						t.Errorf("%s: %d ICMP errors\n%s", expression, n, tracer.both())
					}
					if count(lines, `7341`) != 0 {
						t.Errorf("%s: the other connection shows\n%s", expression, tracer.both())
					}
				}
			}
			json := watch(t, chosen.client, "--json", "-i", "veth0", "port 7340")
			chosen.knock()
			json.interrupt()
			for _, text := range json.lines() {
				if m := object(t, text); m["icmp_type"] != nil {
					if m["quoted_dst_port"] != 7340.0 || m["quoted_dst_addr"] != chosen.at.Addr().String() || m["conn"] == nil {
						t.Errorf("the ICMP error does not name its connection: %s", text)
					}
				}
			}
			none := watch(t, chosen.client, "-t", "-i", "veth0", "port 7342")
			chosen.knock()
			none.interrupt()
			if n := count(none.lines(), `ICMP`); n != 0 {
				t.Errorf("%d ICMP errors that quote nothing chosen:\n%s", n, none.both())
			}
		})
	}
}

// ping sends an echo request and waits for its answer.
func ping(t *testing.T, from, to *lab.Host) {
	t.Helper()
	err := from.Within(func() error {
		c, err := net.Dial("ip4:icmp", to.Addr4().String())
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte{8, 0, 0x54, 0x35, 0x12, 0x34, 0, 1, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 100))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAskedFor: icmp, arp and udp are shown when the expression asks for them,
// as tcpdump shows them.
func TestAskedFor(t *testing.T) {
	l := newLab(t, lab.Options{})
	r := routes(l, 7343)[0]
	fresh := func() { // nobody knows his neighbour: ARP, then the packets
		for _, h := range []*lab.Host{r.client, r.server} {
			if err := h.Command(t.Context(), "ip", "neigh", "flush", "all").Run(); err != nil {
				t.Fatal(err)
			}
		}
		ping(t, r.client, r.server)
		r.converse(t, 10, 10)
	}
	for expression, want := range map[string]string{
		"arp":                       "ARP, Request who-has 10.77.0.2 tell 10.77.0.1, length 28",
		"icmp":                      "IP 10.77.0.1 > 10.77.0.2: ICMP echo request, id 4660, seq 1, length 16",
		"arp or icmp":               "ARP, Reply 10.77.0.2 is-at",
		"icmp or tcp port 7343":     "IP 10.77.0.2 > 10.77.0.1: ICMP echo reply, id 4660, seq 1, length 16",
		"not tcp and not ip6":       "ARP, ",
		"ether proto 0x0806 or tcp": "Flags [S.]",
	} {
		for _, device := range []string{"veth0", "any"} {
			lines := witnessed(t, r.client, device, []string{"-t"}, strings.Fields(expression), fresh)
			if !strings.Contains(strings.Join(lines, "\n"), want) {
				t.Errorf("%s on %s: no %q in\n%s", expression, device, want, strings.Join(lines, "\n"))
			}
		}
	}
}

// vlanFrame is a TCP SYN from the client's to the server's address in an
// Ethernet frame with that many tags.
func vlanFrame(tags ...uint16) []byte {
	f := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	for i, tci := range tags {
		proto := uint16(0x8100)
		if i == 0 && len(tags) > 1 {
			proto = 0x88a8
		}
		f = append(f, byte(proto>>8), byte(proto), byte(tci>>8), byte(tci))
	}
	f = append(f, 8, 0)
	return append(f,
		0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2,
		0x1c, 0xb0, 0x1c, 0xb1, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0)
}

// inject sends whole Ethernet frames from a host's device.
func inject(t *testing.T, from *lab.Host, device string, frames ...[]byte) {
	t.Helper()
	err := from.Within(func() error {
		ifi, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			proto := uint16(f[13])<<8 | uint16(f[12]) // network order
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: ifi.Index, Protocol: proto, Halen: 6}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestVLAN: tagged frames are selected and shown as tcpdump does it, where they
// leave and where they arrive.
func TestVLAN(t *testing.T) {
	l := newLab(t, lab.Options{})
	client, server := l.Host(lab.Client), l.Host(lab.Server)
	frames := [][]byte{vlanFrame(), vlanFrame(5), vlanFrame(3<<13 | 6), vlanFrame(7, 8)}
	for _, on := range []*lab.Host{client, server} {
		for _, expression := range []string{"", "vlan", "vlan 5", "vlan and tcp port 7345", "tcp port 7345 or vlan", "vlan 7 and vlan 8"} {
			for _, flags := range []string{"-t", "-te"} {
				args := strings.Fields(expression)
				if expression == "" {
					args = []string{"ether", "host", "2:0:0:0:0:1"}
				}
				have, want := both(t, on, append([]string{"--no-states", flags, "-i", "veth0"}, args...), append([]string{flags, "-s", "2000", "-i", "veth0"}, args...), func() {
					inject(t, client, "veth0", frames...)
				})
				compare(t, expression+" "+flags+" on the "+on.Name(), want, have)
			}
		}
	}
}
