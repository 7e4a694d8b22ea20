package mix

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roleVariable tells a process of ours what to be; plan, what to do.
const (
	roleVariable = "TCPSTORY_MIX_ROLE"
	planVariable = "TCPSTORY_MIX_PLAN"
)

// plan is what the two processes share.
type plan struct {
	Count  int  // connections
	V6     bool // else IPv4
	Silent string
	Ports  [3]uint16 // the server's: exchange, untouched, never accepted; then a closed one is their successor
}

// RunRole makes this process one of the two, if it was started as one.
func RunRole() {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	var p plan
	err := json.Unmarshal([]byte(os.Getenv(planVariable)), &p)
	if err == nil {
		err = map[string]func(*plan, *log) error{"client": runClient, "server": runServer}[role](&p, newLog())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// log writes what happened, a line of JSON each.
type log struct {
	mu   sync.Mutex
	w    *bufio.Writer
	comm string
}

func newLog() *log {
	b, _ := os.ReadFile("/proc/self/comm")
	return &log{w: bufio.NewWriter(os.Stdout), comm: strings.TrimSpace(string(b))}
}

func (l *log) put(t Truth) {
	t.PID, t.Comm = os.Getpid(), l.comm
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = json.NewEncoder(l.w).Encode(t)
}

func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// quick makes the kernel acknowledge at once what comes, so that both sides know
// what was acknowledged.
func quick(c *net.TCPConn) {
	_ = control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}

func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// take reads n bytes.
func take(c *net.TCPConn, n int) error {
	quick(c)
	_, err := io.CopyN(io.Discard, c, int64(n))
	return err
}

// unacknowledged is how much of what was written to c was not acknowledged. It is
// known behind the end of the connection, too.
func unacknowledged(c *net.TCPConn) int64 {
	n := 0
	_ = control(c, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err
	})
	return int64(n)
}

// header is what a client asks for.
const headerLen = 9

func ends(c *net.TCPConn) (local, remote netip.AddrPort) {
	of := func(a net.Addr) netip.AddrPort {
		p := a.(*net.TCPAddr).AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return of(c.LocalAddr()), of(c.RemoteAddr())
}

const lastWait = 30 * time.Millisecond // an untouched connection's server closes after this
