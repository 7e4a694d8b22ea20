package lab

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// The witnesses are other programs and other interfaces of the kernel than the
// lab uses itself: ss for states, tcpdump for packets, tracefs for transitions.

// ssStates are ss's names of states.
var ssStates = map[string]tcp.State{
	"ESTAB": tcp.Established, "SYN-SENT": tcp.SynSent, "SYN-RECV": tcp.SynRecv,
	"FIN-WAIT-1": tcp.FinWait1, "FIN-WAIT-2": tcp.FinWait2, "TIME-WAIT": tcp.TimeWait,
	"CLOSE-WAIT": tcp.CloseWait, "LAST-ACK": tcp.LastAck, "CLOSING": tcp.Closing,
	"LISTEN": tcp.Listen,
}

// ssState asks ss for the state of the one connection on a port: the client's
// socket knows it as the other end's, the server's as its own.
func ssState(t *testing.T, h *Host, port uint16) tcp.State {
	t.Helper()
	filter := fmt.Sprintf("sport = :%d", port)
	if h.Name() == Client {
		filter = fmt.Sprintf("dport = :%d", port)
	}
	out, err := h.Command(t.Context(), "ss", "-Htan", filter).Output()
	if err != nil {
		t.Fatalf("ss on the %s: %v", h.Name(), err)
	}
	found := tcp.StateUnknown
	for line := range strings.Lines(string(out)) {
		state := ssStates[strings.Fields(line)[0]]
		if state == tcp.StateUnknown {
			t.Errorf("ss prints a state unknown here: %s", line)
		}
		if state != tcp.Listen {
			found = state
		}
	}
	return found
}

// sniffer is a tcpdump on a host's device.
type sniffer struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	port  uint16
}

// markerPort carries one datagram that says: nothing comes after this.
const markerPort = 4

func sniff(t *testing.T, h *Host, port uint16) *sniffer {
	t.Helper()
	filter := fmt.Sprintf("tcp port %d or udp port %d or icmp[icmptype] = icmp-unreach or (icmp6 and ip6[40] = 1)", port, markerPort)
	s := &sniffer{port: port, cmd: h.Command(t.Context(), "tcpdump", "-l", "-n", "-t", "--immediate-mode", "-i", h.Device(), filter)}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewScanner(stdout)
	ready := bufio.NewScanner(stderr)
	for ready.Scan() {
		if strings.HasPrefix(ready.Text(), "listening on") {
			go io.Copy(io.Discard, stderr)
			return s
		}
	}
	t.Fatalf("tcpdump on the %s did not start", h.Name())
	return nil
}

// dumped is a line of tcpdump -t; for ICMP errors there are no flags.
var dumped = regexp.MustCompile(`^IP6? (\S+) > (\S+): (?:Flags \[([^]]+)\]|(ICMP6?,? )|(UDP))`)

// reached is in the answers to a case's own look whether the other end is in reach.
var reached = fmt.Sprint(" udp port ", discard)

// sequence reads up to the marker and returns the packets in Match's form.
func (s *sniffer) sequence(t *testing.T, client string) []byte {
	t.Helper()
	var seen []byte
	for s.lines.Scan() {
		m := dumped.FindStringSubmatch(s.lines.Text())
		switch {
		case m == nil:
			t.Errorf("tcpdump prints a line unknown here: %s", s.lines.Text())
		case m[5] != "":
			s.cmd.Process.Kill()
			s.cmd.Wait()
			return seen
		case m[4] != "" && strings.Contains(s.lines.Text(), reached):
		case m[4] != "":
			seen = AppendICMP(seen, m[1] == client)
		default:
			seen = append(seen, way(strings.HasSuffix(m[2], fmt.Sprint(".", s.port))))
			seen = append(append(seen, m[3]...), ' ')
		}
	}
	t.Fatalf("tcpdump ended before the marker: %v", s.lines.Err())
	return nil
}

// mark sends the marker from the client to the server.
func mark(t *testing.T, l *Lab, f Family) {
	t.Helper()
	err := l.Host(Client).Within(func() error {
		c, err := net.Dial("udp", net.JoinHostPort(l.Host(Server).Addr(f).String(), fmt.Sprint(markerPort)))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte{0})
		return err
	})
	if err != nil {
		t.Fatalf("send the marker: %v", err)
	}
}

// tracer is an instance of the kernel's own tracer, on a tracefs that is
// mounted nowhere.
type tracer struct {
	mount, dir int
	ports      atomic.Uint32 // how many are taken of this process's range
}

// portRange is how many ports a process traces. Other tests, and other runs of
// this one, act the same scenarios at the same time: the tracer shows them too.
const portRange = 1000

func firstPort() int { return 10_000 + os.Getpid()%20*portRange }

// port is one that no other test uses.
func (tr *tracer) port() uint16 { return uint16(firstPort()) + uint16(tr.ports.Add(1)%portRange) }

func startTracer() (*tracer, error) {
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open tracefs: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("make tracefs: %w", err)
	}
	tr := &tracer{}
	if tr.mount, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("mount tracefs: %w", err)
	}
	if err := unix.Mkdirat(tr.mount, tr.name(), 0o700); err != nil {
		return nil, fmt.Errorf("make a trace instance: %w", err)
	}
	if tr.dir, err = unix.Openat(tr.mount, tr.name(), unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	lo, hi := firstPort(), firstPort()+portRange
	only := fmt.Sprintf("(sport >= %d && sport < %d) || (dport >= %d && dport < %d)", lo, hi, lo, hi)
	if err := tr.write("events/sock/inet_sock_set_state/filter", only); err != nil {
		return nil, err
	}
	return tr, tr.write("events/sock/inet_sock_set_state/enable", "1")
}

func (tr *tracer) name() string { return fmt.Sprintf("instances/tcplab-test-%d", os.Getpid()) }

func (tr *tracer) write(path, value string) error {
	fd, err := unix.Openat(tr.dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

func (tr *tracer) stop() error {
	unix.Close(tr.dir)
	defer unix.Close(tr.mount)
	return unix.Unlinkat(tr.mount, tr.name(), unix.AT_REMOVEDIR)
}

// transition is what tracefs prints of sock:inet_sock_set_state.
var transition = regexp.MustCompile(`family=(\w+) protocol=IPPROTO_TCP sport=(\d+) dport=(\d+) .* oldstate=TCP_(\w+) newstate=TCP_(\w+)`)

// stories reads what a port's sockets went through: by whose eyes, in order.
func (tr *tracer) stories(t *testing.T, f Family, port uint16) (client, server, listener []Transition) {
	t.Helper()
	fd, err := unix.Openat(tr.dir, "trace", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "trace")
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	family, own := map[Family]string{IPv4: "AF_INET", IPv6: "AF_INET6"}[f], fmt.Sprint(port)
	for line := range bytes.Lines(text) {
		m := transition.FindSubmatch(line)
		if m == nil || string(m[1]) != family {
			continue
		}
		step := Transition{stateNamed(string(m[4])), stateNamed(string(m[5]))}
		switch {
		case string(m[3]) == own:
			client = append(client, step)
		case string(m[2]) == own && string(m[3]) == "0":
			listener = append(listener, step)
		case string(m[2]) == own:
			server = append(server, step)
		}
	}
	return client, server, listener
}

func stateNamed(name string) tcp.State {
	for s := tcp.Established; s <= tcp.BoundInactive; s++ {
		if s.String() == name {
			return s
		}
	}
	return tcp.StateUnknown
}

// eventually waits for something that the kernel does in its own time.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// snmp reads a counter of a host's network stack, as nstat does.
func snmp(t *testing.T, h *Host, group, name string) uint64 {
	t.Helper()
	n, err := h.Counter(group, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// hostCommand runs a tool outside the lab.
func hostCommand(t *testing.T, args ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), args[0], args[1:]...)
}
