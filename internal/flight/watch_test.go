package flight

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

func state(old, to tcp.State, errno unix.Errno) *tcp.Event {
	return &tcp.Event{Kind: tcp.KindState, Old: old, New: to, Errno: int32(errno), Time: 5, Cookie: 1}
}

// TestWatch: what is an incident, and what looks like one.
func TestWatch(t *testing.T) {
	open := &conn.Conn{Number: 3, Socket: true, Cookie: 1, State: tcp.Established}
	opening := &conn.Conn{Number: 3, Socket: true, Cookie: 1, State: tcp.SynSent}
	nobody := &conn.Conn{Number: 3}
	given := state(tcp.SynRecv, tcp.Close, 0)
	given.Inferred = true
	for name, c := range map[string]struct {
		ev   *tcp.Event
		c    *conn.Conn
		step conn.Step
		why  string
	}{
		"refused":               {state(tcp.SynSent, tcp.Close, unix.ECONNREFUSED), opening, conn.Step{}, "connect-failed"},
		"connect timed out":     {state(tcp.SynSent, tcp.Close, unix.ETIMEDOUT), opening, conn.Step{}, "connect-failed"},
		"closed while opening":  {state(tcp.SynSent, tcp.Close, 0), opening, conn.Step{}, ""},
		"no port":               {state(tcp.SynSent, tcp.Close, 0), opening, conn.Step{Unsent: true}, "connect-failed"},
		"no route":              {&tcp.Event{Kind: tcp.KindConnectFailed, Errno: int32(unix.ENETUNREACH)}, opening, conn.Step{}, "connect-failed"},
		"half-open given up":    {given, open, conn.Step{From: conn.GroundNoSynAck}, "connect-failed"},
		"half-open reset":       {given, open, conn.Step{From: conn.GroundReset}, ""},
		"timed out":             {state(tcp.Established, tcp.Close, unix.ETIMEDOUT), open, conn.Step{}, "timeout"},
		"timed out behind ICMP": {state(tcp.Established, tcp.Close, unix.EHOSTUNREACH), open, conn.Step{}, "timeout"},
		"closed":                {state(tcp.LastAck, tcp.Close, 0), open, conn.Step{}, ""},
		"reset received":        {&tcp.Event{Kind: tcp.KindReceiveReset, Cookie: 1}, open, conn.Step{}, "reset"},
		"refusal received":      {&tcp.Event{Kind: tcp.KindReceiveReset, Cookie: 1}, opening, conn.Step{}, ""},
		"reset sent":            {&tcp.Event{Kind: tcp.KindSendReset, Cookie: 1}, open, conn.Step{}, "reset"},
		"refusal sent":          {&tcp.Event{Kind: tcp.KindSendReset}, nobody, conn.Step{}, ""},
		"packet":                {&tcp.Event{Kind: tcp.KindPacket}, open, conn.Step{}, ""},
	} {
		chosen, err := Choose(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := NewWatch(chosen)
		c.step.Event, c.step.Conn, c.step.Selected = c.ev, c.c, true
		got := ""
		if i := w.Look(&c.step); i != nil {
			if got = i.Why; i.Number != 3 || i.Conn != c.c || i.Time != c.ev.Time {
				t.Errorf("%s: %+v", name, i)
			}
		}
		if got != c.why {
			t.Errorf("%s is %q, want %q", name, got, c.why)
		}
		if c.step.Selected = false; w.Look(&c.step) != nil {
			t.Errorf("%s of a connection that nobody asked for is told", name)
		}
		none, _ := Choose([]string{Signal}, nil)
		if c.step.Selected = true; NewWatch(none).Look(&c.step) != nil {
			t.Errorf("%s is told though its trigger is off", name)
		}
	}
}

// TestRetransmits: once for each connection, beyond the limit, attempts that failed
// not counted; and nothing is remembered of connections that have ended.
func TestRetransmits(t *testing.T) {
	chosen, err := Choose([]string{"retransmits=2"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWatch(chosen)
	c := &conn.Conn{Number: 1, Socket: true}
	again := func(errno int32) bool {
		return w.Look(&conn.Step{Event: &tcp.Event{Kind: tcp.KindRetransmit, Errno: errno}, Conn: c, Selected: true}) != nil
	}
	var fired []bool
	for _, errno := range []int32{0, -16, 0, -16, 0, 0} {
		fired = append(fired, again(errno))
	}
	if want := []bool{false, false, false, false, true, false}; !slices.Equal(fired, want) {
		t.Errorf("fired %v, want %v", fired, want)
	}
	w.Look(&conn.Step{Event: state(tcp.Established, tcp.Close, 0), Conn: c, Selected: true})
	if len(w.again) > 0 {
		t.Errorf("%d connections are remembered", len(w.again))
	}
}

// TestStuck: once for each stay in a passing state, not for one that is short, nor
// for an open connection.
func TestStuck(t *testing.T) {
	chosen, err := Choose([]string{"stuck=10s"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWatch(chosen)
	table := conn.New(conn.Options{})
	flow := func(port uint16) tcp.Flow {
		return tcp.Flow{Local: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port), Remote: netip.MustParseAddrPort("10.0.0.2:80")}
	}
	second := int64(time.Second)
	for port, to := range map[uint16]tcp.State{1: tcp.CloseWait, 2: tcp.Established, 3: tcp.FinWait1} {
		ev := &tcp.Event{Kind: tcp.KindState, Old: tcp.SynSent, New: to, Cookie: uint64(port), Netns: 1, Flow: flow(port), Time: second}
		if port == 3 {
			ev.Time = 8 * second
		}
		table.Apply(ev)
	}
	told := func(now int64) (ports []uint16) {
		if err := w.Stuck(now, table, func(i *Incident) error { ports = append(ports, i.Flow.Local.Port()); return nil }); err != nil {
			t.Fatal(err)
		}
		slices.Sort(ports)
		return ports
	}
	for _, c := range []struct {
		at   int64
		want []uint16
	}{{10, nil}, {13, []uint16{1}}, {15, nil}, {30, []uint16{3}}, {60, nil}} {
		if got := told(c.at * second); !slices.Equal(got, c.want) {
			t.Errorf("after %d s: %v, want %v", c.at, got, c.want)
		}
	}
}

// TestHalfOpenIsStuck: a request socket, which has no cookie and is inferred, is told once
// while it stands, and not after.
func TestHalfOpenIsStuck(t *testing.T) {
	chosen, err := Choose([]string{"stuck=400ms"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, table := NewWatch(chosen), conn.New(conn.Options{})
	told := func(now int64) (n int) {
		if err := w.Stuck(now, table, func(i *Incident) error {
			if n++; i.Number == 0 || i.Flow.Local.Port() != 80 || i.Conn.State != tcp.SynRecv {
				t.Errorf("%+v", i)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	c, v := conntest.Hosts(40000)
	events := conntest.GivenUp(c, v).Events
	total := 0
	for i, ev := range events {
		if err := table.Tell(ev, func(*conn.Step) error { return nil }); err != nil {
			t.Fatal(err)
		}
		total += told(ev.Time)
		if i == 1 && told(ev.Time+int64(300*time.Millisecond)) != 0 {
			t.Error("told before its time")
		}
		total += told(ev.Time + int64(600*time.Millisecond))
	}
	if total != 1 || told(events[len(events)-1].Time+int64(time.Minute)) != 0 {
		t.Errorf("told %d times", total)
	}
}

// TestChoose: words choose, thresholds are taken, everything is on by default.
func TestChoose(t *testing.T) {
	c, err := Choose([]string{"reset", "retransmits=7"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range Triggers() {
		if want := slices.Contains([]string{"reset", "retransmits", Signal}, tr.Name); c.On(tr.Name) != want {
			t.Errorf("%s: %v, want %v", tr.Name, c.On(tr.Name), want)
		}
		if all, _ := Choose(nil, nil); all.On(tr.Name) != (tr.Name != Rule) {
			t.Errorf("%s is not as it is by default", tr.Name)
		}
	}
	if c.Retransmits != 7 || c.Stuck != 2*time.Minute {
		t.Errorf("%+v", c)
	}
	isRule := func(name string) bool { return name == "x" }
	for words, want := range map[string][2]bool{"reset": {}, "rule:x": {true, false}, "rule:all": {true, true}, "reset,rule:x": {true, false}} {
		c, err := Choose(strings.Split(words, ","), isRule)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{c.OnRule("x"), c.OnRule("y")}; got != want || c.Rules() != want[0] || c.On("reset") != strings.Contains(words, "reset") {
			t.Errorf("%s: %v, want %v", words, got, want)
		}
	}
	for _, word := range []string{"", "x", "reset=1", "retransmits=-1", "retransmits=", "stuck=0s", "stuck=5", "rule", Rule, "rule:", "rule:y"} {
		if _, err := Choose([]string{word}, isRule); err == nil || !strings.HasPrefix(err.Error(), "--on ") {
			t.Errorf("%q: %v", word, err)
		}
	}
}

// TestLimit: so many in any minute, and the others counted.
func TestLimit(t *testing.T) {
	l := NewLimit(2)
	second := int64(time.Second)
	var let []bool
	for _, at := range []int64{0, 1, 2, 59, 60, 60, 61} {
		ok := l.Lets(at * second)
		if let = append(let, ok); !ok {
			l.LeaveOut("reset")
		}
	}
	if want := []bool{true, true, false, false, true, false, true}; !slices.Equal(let, want) {
		t.Errorf("let through: %v, want %v", let, want)
	}
	if n, which := l.LeftOut(); n != 3 || which != "3 reset" {
		t.Errorf("left out: %d, %s", n, which)
	}
	if n, _ := l.LeftOut(); n != 0 {
		t.Errorf("told twice: %d", n)
	}
}
