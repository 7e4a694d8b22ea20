package render

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tcpstory/internal/tcp"
)

// longEnds are as long as an address and a port can be.
var longEnds = tcp.Flow{
	Local:  netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"),
	Remote: netip.MustParseAddrPort("[2001:db8:ffff:eeee:dddd:cccc:bbbb:aaaa]:65534"),
}

// tableSockets are a few of every sort.
func tableSockets() []tcp.Socket {
	held := func(names ...string) (list []tcp.Holder) {
		for i, name := range names {
			h := tcp.Holder{Task: tcp.Task{PID: 4194303 - uint32(i)}, FD: i}
			copy(h.Comm[:], name)
			list = append(list, h)
		}
		return list
	}
	four := tcp.Flow{Local: netip.MustParseAddrPort("10.77.0.1:443"), Remote: netip.MustParseAddrPort("10.77.0.2:40000")}
	return []tcp.Socket{
		{Asked: true, State: tcp.Listen, Flow: tcp.Flow{Local: netip.MustParseAddrPort("[::]:443")}, SendQ: 4096, Inode: 7, Holders: held("nginx", "nginx", "nginx"), Memory: &tcp.SocketMemory{Drops: 3}},
		{Asked: true, State: tcp.Established, Flow: longEnds, RecvQ: 1 << 22, SendQ: 1 << 22, Inode: 8, Holders: held("a-long-name-\x1b[2J"), Clock: tcp.ClockRetransmit, Due: 1200 * time.Millisecond, Tries: 3, Info: &tcp.Info{RTT: 1234 * time.Microsecond, Window: 10}},
		{Asked: true, Sought: true, State: tcp.Established, Flow: four},
		{Asked: true, Sought: true, State: tcp.LastAck, Flow: four},
		{Asked: true, State: tcp.TimeWait, Minisock: true, Flow: four, Clock: tcp.ClockTimeWait, Due: time.Minute, Age: time.Second, AgeKnown: tcp.AgeTimer, Namespace: &tcp.Place{Name: "blue\n"}},
		{Asked: true, Sought: true, State: tcp.CloseWait, Flow: longEnds, Inode: 9},
		{State: tcp.Established, Flow: four},
	}
}

// TestSocketTableFits: at any width from 50 on no line is longer, no address is cut,
// and no byte of a name moves the terminal.
func TestSocketTableFits(t *testing.T) {
	for width := 50; width <= 260; width++ {
		b, err := AppendSockets(nil, tableSockets(), TableOptions{Width: width})
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
		for _, want := range []string{longEnds.Local.String(), longEnds.Remote.String(), "/4194303", "(not accepted)", "(orphan)", "[::]:443"} {
			if !strings.Contains(text, want) {
				t.Errorf("%d columns: no %s in\n%s", width, want, text)
			}
		}
		if strings.ContainsAny(text, "\x1b\r") {
			t.Errorf("%q", text)
		}
	}
}

// TestSocketTableNarrow: however narrow, both ends are whole in their line.
func TestSocketTableNarrow(t *testing.T) {
	for width := 1; width < 50; width++ {
		b, err := AppendSockets(nil, tableSockets(), TableOptions{Width: width})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"\n " + longEnds.Local.String() + "\n", "\n " + longEnds.Remote.String() + "\n", "\n [::]:443\n", "TIME_WAIT -/-"} {
			if !strings.Contains(string(b), want) {
				t.Errorf("%d columns: no %q in\n%s", width, want, b)
			}
		}
	}
}

// TestSocketTableWhole: without a width every column that says something is there.
func TestSocketTableWhole(t *testing.T) {
	b, err := AppendSockets(nil, tableSockets(), TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if want := "STATE RECV-Q SEND-Q LOCAL REMOTE PROCESS WHERE TIMER AGE DROPS RTT BYTES-OUT BYTES-IN CWND"; strings.Join(strings.Fields(lines[0]), " ") != want {
		t.Errorf("%s", lines[0])
	}
	for i, want := range []string{
		`^LISTEN 0 4096 [::]:443 * nginx/4194303 nginx/4194302 +1 - ? 3 - - - -$`,
		`^ESTABLISHED 4194304 4194304 ` + longEnds.Local.String() + ` ` + longEnds.Remote.String() + ` a-long-name-\x1b[2J/4194303 rto 1.20s #3 ? - 1.23ms 0 0 10$`,
		`^ESTABLISHED 0 0 10.77.0.1:443 10.77.0.2:40000 (not accepted) - ? - - - - -$`,
		`^LAST_ACK 0 0 10.77.0.1:443 10.77.0.2:40000 (orphan) - ? - - - - -$`,
		`^TIME_WAIT - - 10.77.0.1:443 10.77.0.2:40000 - blue\x0a timewait 1m00s 1.00s - - - - -$`,
		`^CLOSE_WAIT 0 0 ` + longEnds.Local.String() + ` ` + longEnds.Remote.String() + ` ? - ? - - - - -$`,
		`^ESTABLISHED ? ? 10.77.0.1:443 10.77.0.2:40000 ? ? ? - - - - -$`,
	} {
		if have := "^" + strings.Join(strings.Fields(lines[i+1]), " ") + "$"; have != want {
			t.Errorf("%s\nwant %s", have, want)
		}
	}
}

// TestShortTime: three figures, whatever the size.
func TestShortTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0us", 43 * time.Microsecond: "43us", 1200 * time.Microsecond: "1.20ms", 999 * time.Millisecond: "999ms",
		58300 * time.Millisecond: "58.3s", 727 * time.Second: "12m07s", 3*time.Hour + 12*time.Minute: "3h12m", 98 * time.Hour: "4d02h",
	} {
		if have := shortTime(d); have != want {
			t.Errorf("%v: %s, want %s", d, have, want)
		}
	}
}

// TestSocketJSONEscapes: names that others chose do no harm.
func TestSocketJSONEscapes(t *testing.T) {
	j := SocketJSON{Time: time.Unix(1, 0)}
	text := string(j.Append(nil, &tableSockets()[1]))
	if want := `"processes":[{"pid":4194303,"comm":"a-long-name-\u001b[2J","fd":0}]`; !strings.Contains(text, want) {
		t.Errorf("%s", text)
	}
	var v SocketView
	for i := range 3 {
		v.Sockets = append(v.Sockets, tableSockets()[i%2])
	}
	g, _ := SocketGroupNamed("state")
	text = fmt.Sprint(v.counts([]SocketGroup{g}))
	if text != "[{[LISTEN] 2} {[ESTABLISHED] 1}]" {
		t.Errorf("%s", text)
	}
}
