package mix

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// throngVariable makes a process one of a throng: which one, of how many connections in all.
const throngVariable = "TCPSTORY_MIX_THRONG"

const (
	throngPort = 7310 // where the throng's first process listens; the others at the ports above
	floodPort  = 7301 // where SYNs go that nobody answers
	floodHost  = "192.0.2."
	mostPorts  = 20000 // of an address
	firstPort  = 10000
	mostHeld   = 5000 // connections of a process: both ends fit into a small RLIMIT_NOFILE, and their ends into the ring
)

// throng is so many connections, both ends of each held by one process of ours.
type throng struct {
	connections int
	processes   []*process
}

// gather starts one and waits until all its connections are open.
func gather(t *testing.T, h *lab.Host, connections int) *throng {
	t.Helper()
	mustDo(t, prepare(t.Context(), h, connections))
	self, err := os.Executable()
	mustDo(t, err)
	p := &throng{connections: connections}
	for i := range (connections + mostHeld - 1) / mostHeld {
		cmd := h.Command(context.WithoutCancel(t.Context()), self)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", throngVariable, i, connections))
		cmd.Stderr = os.Stderr
		one := &process{cmd: cmd}
		one.stdin, err = cmd.StdinPipe()
		mustDo(t, err)
		one.stdout, err = cmd.StdoutPipe()
		mustDo(t, err)
		mustDo(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		p.processes = append(p.processes, one)
	}
	for _, one := range p.processes {
		if _, err := io.ReadFull(one.stdout, make([]byte, 1)); err != nil {
			t.Fatal("the throng does not gather:", err)
		}
	}
	return p
}

// dies leaves it to the kernel to close all that a process has never closed.
func (p *throng) dies(t *testing.T, i int) {
	t.Helper()
	mustDo(t, p.processes[i].cmd.Process.Kill())
	_ = p.processes[i].cmd.Wait()
}

// sockets are how many a process holds.
func (p *throng) sockets(i int) int {
	from, to := ofProcess(i, p.connections)
	return 2 * (to - from)
}

// couple is both ends of a connection.
type couple struct{ client, server netip.AddrPort }

// coupleOf connection i: every other is of IPv6, and no two have the same ends.
func coupleOf(i int) couple {
	p, at := plan{V6: i%2 == 1}, netip.MustParseAddr("127.0.0.1")
	if p.V6 {
		at = netip.IPv6Loopback()
	}
	from := p.source(i / 2).AddrPort()
	return couple{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), netip.AddrPortFrom(at, throngPort+uint16(i/mostHeld))}
}

// ofProcess are the numbers of a process's connections.
func ofProcess(i, connections int) (from, to int) {
	return i * mostHeld, min((i+1)*mostHeld, connections)
}

// runThrong is one of the processes.
func runThrong() error {
	var i, connections int
	if _, err := fmt.Sscan(os.Getenv(throngVariable), &i, &connections); err != nil {
		return err
	}
	from, to := ofProcess(i, connections)
	var listeners [2]int
	for k := range listeners {
		var err error
		if listeners[k], err = listenAt(coupleOf(from + k).server); err != nil {
			return err
		}
	}
	for i := from; i < to; i++ {
		if err := coupleOf(i).pairUp(listeners[i%len(listeners)]); err != nil {
			return fmt.Errorf("connection %d, %v: %w", i, coupleOf(i), err)
		}
	}
	if _, err := os.Stdout.Write([]byte{'\n'}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func listenAt(at netip.AddrPort) (fd int, err error) {
	if fd, err = tcpSocket(at); err == nil {
		err = errors.Join(unix.Bind(fd, sockaddr(at)), unix.Listen(fd, 16))
	}
	return fd, err
}

// tcpSocket of an end's family.
func tcpSocket(end netip.AddrPort) (fd int, err error) {
	domain := unix.AF_INET6
	if end.Addr().Is4() {
		domain = unix.AF_INET
	}
	return unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
}

// pairUp makes a connection, and leaves both ends open.
func (c couple) pairUp(listener int) error {
	fd, err := tcpSocket(c.client)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Bind(fd, sockaddr(c.client)), unix.Connect(fd, sockaddr(c.server))); err != nil {
		return err
	}
	_, _, err = unix.Accept(listener)
	return err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// floodSource of a SYN: no two have the same.
func floodSource(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(floodHost+strconv.Itoa(1+i/mostPorts)), uint16(firstPort+i%mostPorts))
}

// floodAt is whom they are for.
var floodAt = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), floodPort)

// flood has a listener get n SYNs, of ends that do not answer its SYN-ACKs. It gives
// each up at its second time-out, 3 s behind the SYN.
func flood(t *testing.T, h *lab.Host, n int) {
	t.Helper()
	mustDo(t, prepare(t.Context(), h, 0))
	for key, value := range map[string]string{
		"net/ipv4/tcp_syncookies": "0", "net/ipv4/tcp_max_syn_backlog": "1048576", "net/core/somaxconn": "1048576", "net/ipv4/tcp_synack_retries": "1",
	} {
		mustDo(t, h.Sysctl(key, value))
	}
	var ln, raw, copies int
	mustDo(t, h.Within(func() (err error) {
		if ln, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		if copies, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP); err != nil {
			return err
		}
		return errors.Join(unix.Bind(ln, sockaddr(floodAt)), unix.Listen(ln, 1<<20))
	}))
	t.Cleanup(func() { unix.Close(ln); unix.Close(raw); unix.Close(copies) })
	// The kernel's copy of each says that it has arrived: none may overflow on the way.
	const atOnce = 50
	mustDo(t, unix.SetsockoptTimeval(copies, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	buf := make([]byte, 128)
	for i := range n {
		mustDo(t, unix.Sendto(raw, synFrom(floodSource(i), floodAt), 0, sockaddr(floodAt)))
		if i%atOnce != atOnce-1 && i != n-1 {
			continue
		}
		for range i%atOnce + 1 {
			if _, _, err := unix.Recvfrom(copies, buf, 0); err != nil {
				t.Fatalf("SYN %d does not arrive: %v", i, err)
			}
		}
	}
}

// synFrom is a SYN, with any sequence number.
func synFrom(from, to netip.AddrPort) []byte {
	return segmentFrom(from, to, uint32(from.Port()), 0, tcp.SYN)
}

// segmentFrom is a segment in its IPv4 packet, as IPPROTO_RAW sends it.
func segmentFrom(from, to netip.AddrPort, seq, ack uint32, flags tcp.Flags) []byte {
	const ip, segment = 20, 20
	b := make([]byte, ip+segment)
	b[0], b[8], b[9] = 4<<4|ip/4, 64, unix.IPPROTO_TCP // length and checksum are the kernel's
	src, dst := from.Addr().As4(), to.Addr().As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	s := b[ip:]
	binary.BigEndian.PutUint16(s, from.Port())
	binary.BigEndian.PutUint16(s[2:], to.Port())
	binary.BigEndian.PutUint32(s[4:], seq)
	binary.BigEndian.PutUint32(s[8:], ack)
	s[12], s[13] = segment/4<<4, byte(flags)
	binary.BigEndian.PutUint16(s[14:], 64240)
	sum := uint32(unix.IPPROTO_TCP + segment) // the pseudo header, and behind it the segment
	for i := 12; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(s[16:], ^uint16(sum))
	return b
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds; what it waits for is said where it does not.
func eventually(t *testing.T, limit time.Duration, what func() string) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		missing := what()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(missing)
		}
	}
}
