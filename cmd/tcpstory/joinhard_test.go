package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// TestManySYNsAtOnce: every first SYN-ACK is lost, so that all SYNs wait at the
// same time for an answer, and many come again.
func TestManySYNsAtOnce(t *testing.T) {
	a := arrangement{topology: lab.Hairpin, virtual: true, leads: lab.Router, hook: lab.Prerouting, masks: true}
	for way, flags := range bothWays {
		t.Run(way, func(t *testing.T) {
			p := a.arrange(t, lab.IPv4)
			const n = 200
			// Without packets, a SYN-ACK that is sent again has no known client yet.
			watchCrowd(t, p.watched(flags...), flags != nil, func() map[uint64]encounter {
				f, err := p.client.Break(lab.Rule{Hook: lab.Input, FromPort: joinPort, Flags: tcp.SYN | tcp.ACK, First: n})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Lift()
				c := newCrowd(t)
				ln := listenOn(t, p.server, p.at, nil)
				defer ln.Close()
				go c.serve(ln, serverCloses)
				var all sync.WaitGroup
				for _, v := range p.visits(0, n) { // each with a thread of its own: none waits for another's second SYN
					all.Go(func() { c.visits(p.client, []visit{v}, serverCloses) })
				}
				all.Wait()
				p.turns++
				return c.met
			})
		})
	}
}

// TestSameAddressesTwice: two labs have the same addresses, and the same ports at
// the same moment. Their connections are not mixed up.
func TestSameAddressesTwice(t *testing.T) {
	for way, flags := range bothWays {
		t.Run(way, func(t *testing.T) {
			var places []*place
			args := []string{"--json", fmt.Sprintf("port %d", joinPort)}
			for range 2 {
				p := arrangement{topology: lab.Pair}.arrange(t, lab.IPv4)
				places = append(places, p)
				args = append(args, "--netns", p.client.NetnsName(), "--netns", p.server.NetnsName())
			}
			watchCrowd(t, append(args, flags...), false, func() map[uint64]encounter {
				met := map[uint64]encounter{}
				crowds := make([]*crowd, len(places))
				var all sync.WaitGroup
				for i, p := range places {
					all.Go(func() { crowds[i] = p.meets(t, crowdSize) })
				}
				all.Wait()
				for i, c := range crowds {
					for id, e := range c.met {
						met[uint64(i)<<32|id] = e
					}
				}
				return met
			})
		})
	}
}

// proxy passes on what each client says to the server and back. Every connection
// through it is two encounters, the second with the high bit in its id.
type proxy struct {
	c    *crowd
	host *lab.Host
	to   netip.AddrPort
	mask bool // transparent: it shows the server the client's address and port
}

const behindProxy = 1 << 63

func (x *proxy) serve(ln net.Listener) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		x.c.ends.Go(func() {
			defer in.Close()
			if err := x.pass(in); err != nil {
				x.c.t.Errorf("the proxy: %v", err)
			}
		})
	}
}

func (x *proxy) pass(in net.Conn) error {
	v := visit{to: x.to}
	var control func(int) error
	if x.mask {
		v.to, v.from = addrPort(in.LocalAddr()), addrPort(in.RemoteAddr())
		control = transparent
	}
	out, err := v.dial(x.host, control)
	if err != nil {
		return err
	}
	defer out.Close()
	inner, err := cookieOf(in)
	if err != nil {
		return err
	}
	outer, err := cookieOf(out)
	if err != nil {
		return err
	}
	var id [8]byte
	if _, err := io.ReadFull(in, id[:]); err != nil {
		return err
	}
	number := binary.BigEndian.Uint64(id[:])
	x.c.note(number, inner, false)
	x.c.note(number|behindProxy, outer, true)
	id[0] |= 0x80
	if _, err := out.Write(id[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(out, id[:]); err != nil {
		return err
	}
	id[0] &^= 0x80
	_, err = in.Write(id[:])
	return err
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func transparent(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

// meets has n clients talk to the server through the proxy, which listens at at.
func (p *place) meetsBehind(t *testing.T, n int, h *lab.Host, at netip.AddrPort, mask bool) map[uint64]encounter {
	t.Helper()
	c := newCrowd(t)
	server := listenOn(t, p.server, p.at, nil)
	go c.serve(server, serverCloses)
	var control func(int) error
	if mask {
		control = transparent
	}
	front := listenOn(t, h, at, control)
	go (&proxy{c, h, p.at, mask}).serve(front)
	c.visits(p.client, p.visits(0, n), serverCloses)
	front.Close()
	server.Close()
	p.turns++
	return c.met
}

// TestProxiesAreTwoConversations: a proxy in user space ends one connection and
// opens another, and so does one that nobody can tell by addresses.
func TestProxiesAreTwoConversations(t *testing.T) {
	for _, mask := range []bool{false, true} {
		for way, flags := range bothWays {
			t.Run(fmt.Sprintf("transparent %v/%s", mask, way), func(t *testing.T) {
				p := arrangement{topology: lab.Routed}.arrange(t, lab.IPv4)
				router := p.lab.Host(lab.Router)
				at := netip.AddrPortFrom(router.Addr4(), joinPort)
				if mask {
					at = netip.AddrPortFrom(netip.IPv4Unspecified(), joinPort+1)
					script(t, router, tproxy)
				} else {
					p.to = at
				}
				args := append(p.watched(flags...), "--netns", router.NetnsName())
				watchCrowd(t, args, false, func() map[uint64]encounter { return p.meetsBehind(t, 60, router, at, mask) })
			})
		}
	}
}

// tproxy leads what comes from the client to the proxy, and what comes from the
// server to the proxy's sockets, whatever their address.
var tproxy = fmt.Sprintf(`
ip rule add fwmark 1 lookup 100
ip route add local default dev lo table 100
nft -f - <<'END'
table ip lab {
	chain pre {
		type filter hook prerouting priority mangle;
		iifname veth0 tcp dport %[1]d tproxy to :%[2]d meta mark set 1 accept
		iifname veth1 tcp sport %[1]d meta mark set 1 accept
	}
}
END`, joinPort, joinPort+1)

// synproxy answers for the server until a client has shown that it is there; then
// the kernel translates between the server's sequence numbers and its own.
var synproxy = fmt.Sprintf(`
sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
nft -f - <<'END'
table ip lab {
	chain pre {
		type filter hook prerouting priority raw;
		tcp dport %[1]d tcp flags & (fin|syn|rst|ack) == syn notrack
	}
	chain passing {
		type filter hook forward priority filter;
		tcp dport %[1]d ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
		ct state invalid drop
	}
}
END`, joinPort)

// script runs a shell script on a host.
func script(t *testing.T, h *lab.Host, text string) {
	t.Helper()
	cmd := h.Command(t.Context(), "sh", "-ec", text)
	cmd.Env = os.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, strings.TrimSpace(text))
	}
}

// TestSynProxyIsOneConversation: it answers by a number of its own, but the two
// sockets have each other's addresses and talk to each other.
func TestSynProxyIsOneConversation(t *testing.T) {
	for way, flags := range bothWays {
		t.Run(way, func(t *testing.T) {
			p := arrangement{topology: lab.Routed}.arrange(t, lab.IPv4)
			script(t, p.lab.Host(lab.Router), synproxy)
			watchCrowd(t, p.watched(flags...), false, func() map[uint64]encounter {
				c := newCrowd(t)
				ln := listenOn(t, p.server, p.at, nil)
				defer ln.Close()
				go c.serve(ln, clientCloses)
				c.visits(p.client, p.visits(0, 60), clientCloses)
				p.turns++
				return c.met
			})
			if n := synproxied(t, p.lab.Host(lab.Router)); n < 60 {
				t.Errorf("the SYN proxy has answered %d times", n)
			}
		})
	}
}

// synproxied is how many SYNs the host's SYN proxy has answered, on all CPUs.
func synproxied(t *testing.T, h *lab.Host) (n uint64) {
	t.Helper()
	err := h.Within(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/stat/synproxy")
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			one, err := strconv.ParseUint(strings.Fields(line)[1], 16, 64)
			if err != nil {
				return err
			}
			n += one
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
