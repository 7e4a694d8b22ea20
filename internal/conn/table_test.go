package conn_test

import (
	"fmt"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// told is what a test wants to know of a Step after the next one.
type told struct {
	conn.Step
	ev     tcp.Event
	number uint64
	cookie uint64
	role   conn.Role
	task   string
}

func apply(t *testing.T, tab *conn.Table, s *conntest.Story) []told {
	t.Helper()
	if tab.Len() == 0 {
		carriesOver(t, conn.Options{}, s.Events)
	}
	var out []told
	for _, ev := range s.Events {
		st := tab.Apply(ev)
		w := told{Step: *st, ev: *ev}
		if c := st.Conn; c != nil {
			w.number, w.cookie, w.role, w.task = c.Number, c.Cookie, c.Role, string(c.Task.Name())
			if c.Peer != nil && c.Peer.Peer != c {
				t.Fatalf("event %d: peers do not agree", ev.Seq)
			}
		}
		out = append(out, w)
	}
	return out
}

func (w *told) String() string {
	return fmt.Sprintf("event %d %v %v->%v", w.ev.Seq, w.ev.Kind, w.ev.Old, w.ev.New)
}

func TestWholeConnection(t *testing.T) {
	for name, ends := range map[string]func(uint16) (*conntest.Socket, *conntest.Socket){
		"two hosts": conntest.Hosts, "loopback": conntest.SameHost,
	} {
		t.Run(name, func(t *testing.T) {
			client, server := ends(40000)
			tab := conn.New(conn.Options{})
			timeWait := 0
			for _, w := range apply(t, tab, conntest.Whole(client, server)) {
				if w.Conn == nil || w.number != 1 {
					t.Fatalf("%v: conversation %d, want 1", &w, w.number)
				}
				want := conn.RoleClient
				if w.Flow == server.Flow {
					want = conn.RoleServer
				} else if w.Flow != client.Flow {
					t.Fatalf("%v: flow %v", &w, w.Flow)
				}
				if w.role != want {
					t.Errorf("%v: role %v, want %v", &w, w.role, want)
				}
				checkDirection(t, &w)
				if w.Remains == tcp.TimeWait {
					timeWait++
					if w.ev.Old != tcp.FinWait2 {
						t.Errorf("%v enters TIME_WAIT", &w)
					}
				}
			}
			if timeWait != 1 {
				t.Errorf("TIME_WAIT inferred %d times", timeWait)
			}
			if tab.Numbered() != 1 {
				t.Errorf("%d conversations", tab.Numbered())
			}
			if tab.Len() != 2 {
				t.Errorf("%d ends, want 2: what packets told before the socket came must be merged", tab.Len())
			}
		})
	}
}

func checkDirection(t *testing.T, w *told) {
	t.Helper()
	if w.ev.Kind != tcp.KindPacket {
		return
	}
	if w.Outgoing != (w.ev.Packet.Flow == w.Flow) {
		t.Errorf("%v: outgoing %v, packet %v at %v", w, w.Outgoing, w.ev.Packet.Flow, w.Flow)
	}
}

func TestTimeInState(t *testing.T) {
	client, server := conntest.Hosts(40000)
	want := map[string]string{
		"CLOSE SYN_SENT": "?", "SYN_SENT ESTABLISHED": "100µs", "LISTEN SYN_RECV": "?", "SYN_RECV ESTABLISHED": "120µs",
		"ESTABLISHED FIN_WAIT1": "1.50126s", "ESTABLISHED CLOSE_WAIT": "1.50124s", "FIN_WAIT1 FIN_WAIT2": "120µs",
		"CLOSE_WAIT LAST_ACK": "80µs", "FIN_WAIT2 CLOSE": "120µs", "LAST_ACK CLOSE": "120µs",
	}
	seen := 0
	for _, w := range apply(t, conn.New(conn.Options{}), conntest.Whole(client, server)) {
		if w.ev.Kind != tcp.KindState {
			continue
		}
		seen++
		got := "?"
		if w.InStateKnown {
			got = w.InState.String()
		}
		if k := w.ev.Old.String() + " " + w.ev.New.String(); got != want[k] {
			t.Errorf("%s after %s, want %s", k, got, want[k])
		}
	}
	if seen != len(want) {
		t.Errorf("%d transitions, want %d", seen, len(want))
	}
}

func TestTimeInStateUnknownAfterAMiss(t *testing.T) {
	c, _ := conntest.Hosts(40000)
	s := conntest.New()
	s.State(c, tcp.Close, tcp.SynSent)
	s.State(c, tcp.Established, tcp.FinWait1) // SYN_SENT→ESTABLISHED was lost
	s.State(c, tcp.FinWait1, tcp.FinWait2)
	s.State(c, tcp.FinWait2, tcp.FinWait2) // a self-transition does not restart the clock
	s.State(c, tcp.FinWait2, tcp.Close)
	want := []string{"?", "?", "20µs", "20µs", "40µs"}
	for i, w := range apply(t, conn.New(conn.Options{}), s) {
		got := "?"
		if w.InStateKnown {
			got = w.InState.String()
		}
		if got != want[i] {
			t.Errorf("%v after %s, want %s", &w, got, want[i])
		}
		if w.Remains != tcp.StateUnknown {
			t.Errorf("%v: TIME_WAIT inferred without having seen a FIN", &w)
		}
	}
}

func TestTaskIsTheLastCertainOne(t *testing.T) {
	client, server := conntest.Hosts(40000)
	known := false
	for _, w := range apply(t, conn.New(conn.Options{}), conntest.Whole(client, server)) {
		want := "nc"
		if w.Flow == server.Flow {
			known = known || w.ev.Old == tcp.CloseWait
			want = map[bool]string{true: "nginx"}[known]
		}
		if w.task != want {
			t.Errorf("%v at %v: task %q, want %q", &w, w.Flow.Local, w.task, want)
		}
	}
}

func TestRefusedIsOneConversation(t *testing.T) {
	for _, ends := range []func(uint16) (*conntest.Socket, *conntest.Socket){conntest.Hosts, conntest.SameHost} {
		client, server := ends(40000)
		for _, w := range apply(t, conn.New(conn.Options{}), conntest.Refused(client, server)) {
			if w.number != 1 {
				t.Errorf("%v: conversation %d", &w, w.number)
			}
			if w.Flow == server.Flow && w.cookie != 0 {
				t.Errorf("%v: a socket where there is none", &w)
			}
		}
	}
}

func TestPortReuseIsANewConversation(t *testing.T) {
	client, server := conntest.Hosts(40000)
	tab := conn.New(conn.Options{})
	for round := uint64(1); round < 5; round++ {
		s := conntest.Whole(client, server)
		if round == 3 {
			s = conntest.Refused(client, server)
		}
		for _, w := range apply(t, tab, s) {
			if w.number != round {
				t.Fatalf("round %d, %v: conversation %d", round, &w, w.number)
			}
		}
		client.Cookie += 10
		server.Cookie += 10
	}
}

func TestPacketsAlone(t *testing.T) {
	client, server := conntest.Hosts(40000)
	tab := conn.New(conn.Options{})
	packetsOnly := func(shift uint32) *conntest.Story {
		s := conntest.New()
		for _, ev := range conntest.Whole(client, server).Events {
			if ev.Kind == tcp.KindPacket {
				ev.Cookie = 0
				ev.Packet.Seq += shift
				s.Events = append(s.Events, ev)
			}
		}
		return s
	}
	for round := uint64(1); round < 4; round++ {
		for _, w := range apply(t, tab, packetsOnly(uint32(round))) {
			if w.Conn == nil || w.number != round || w.Socket() {
				t.Fatalf("round %d, %v: conversation %d", round, &w, w.number)
			}
		}
	}
	for _, w := range apply(t, tab, packetsOnly(3)) { // a SYN with the same number is a retransmission
		if w.number != 3 {
			t.Fatalf("%v: conversation %d, want 3", &w, w.number)
		}
	}
	if tab.Len() != 2 {
		t.Errorf("%d ends", tab.Len())
	}
}

func (w *told) Socket() bool { return w.cookie != 0 }

func TestMidStreamSocketTakesOverItsPackets(t *testing.T) {
	client, server := conntest.Hosts(40000)
	tab := conn.New(conn.Options{})
	s := conntest.New()
	s.Gets(client, conntest.Header{Flags: conntest.A, Seq: 5001, Ack: 1201})
	s.State(client, tcp.Established, tcp.FinWait1, conntest.By(client.Task))
	s.Gets(server, conntest.Header{Flags: conntest.FA, Seq: 1201, Ack: 5201})
	s.State(server, tcp.Established, tcp.CloseWait)
	for _, w := range apply(t, tab, s) {
		if w.number != 1 || w.InStateKnown || w.role != conn.RoleUnknown {
			t.Errorf("%v: conversation %d, role %v, in state %v", &w, w.number, w.role, w.InStateKnown)
		}
	}
	if tab.Len() != 2 {
		t.Errorf("%d ends", tab.Len())
	}
}

func TestTranslatedAnswersJoin(t *testing.T) {
	c, _ := conntest.Hosts(40000)
	wire := tcp.Flow{Local: c.Flow.Local, Remote: conntest.Flow("10.99.0.9:8080", "").Local}
	s := conntest.Translated(c, wire)
	s.Add(&tcp.Event{Kind: tcp.KindPacket, Netns: c.Netns, Packet: tcp.Packet{Dir: tcp.DirIn,
		Segment: tcp.Segment{IsQuote: true, Quoted: wire}}})
	for _, w := range apply(t, conn.New(conn.Options{}), s) {
		if w.cookie != c.Cookie || w.number != 1 || w.Flow != c.Flow {
			t.Errorf("%v: cookie %d, conversation %d, flow %v", &w, w.cookie, w.number, w.Flow)
		}
		if w.Translated != (w.ev.Kind == tcp.KindPacket) {
			t.Errorf("%v: translated %v", &w, w.Translated)
		}
	}
}

// TestTranslatedAtTheServer: what the server's request socket sends tells whose
// other end it is, and the socket takes it over.
func TestTranslatedAtTheServer(t *testing.T) {
	c, v := conntest.Hosts(40000)
	c.Flow.Remote = conntest.Flow("10.99.0.9:8080", "").Local
	wire := conntest.Wire(c.Flow.Reverse())
	s := conntest.New()
	s.State(c, tcp.Close, tcp.SynSent)
	s.Sends(c, conntest.Header{Flags: conntest.S, Seq: 1000})
	unknown := *v
	unknown.Cookie = 0
	s.Sends(&unknown, conntest.Header{Flags: conntest.SA, Seq: 1, Ack: 1001}, wire)
	s.State(v, tcp.Listen, tcp.SynRecv)
	s.State(v, tcp.SynRecv, tcp.Established)
	s.Gets(v, conntest.Header{Flags: conntest.A, Seq: 1001, Ack: 2}, conntest.Wire(c.Flow))
	s.Sends(v, conntest.Header{Flags: conntest.A, Seq: 2, Ack: 1001}, wire)
	got := apply(t, conn.New(conn.Options{}), s)
	for _, w := range got[2:] {
		if w.number != 1 || w.Flow != v.Flow || w.role != conn.RoleServer {
			t.Errorf("%v: conversation %d, flow %v, %v", &w, w.number, w.Flow, w.role)
		}
		if w.Translated != (w.ev.Kind == tcp.KindPacket) {
			t.Errorf("%v: translated %v", &w, w.Translated)
		}
	}
}

func TestUntranslatedSideIsShownUnjoined(t *testing.T) {
	c, _ := conntest.Hosts(40000)
	s := conntest.New()
	s.State(c, tcp.Close, tcp.SynSent)
	s.Gets(c, conntest.Header{Flags: conntest.SA, Seq: 1, Ack: 1001}, conntest.Wire(conntest.Flow("10.99.0.9:8080", "10.77.0.1:40000")))
	got := apply(t, conn.New(conn.Options{}), s)
	if got[1].cookie != 0 || got[1].number == got[0].number {
		t.Errorf("joined by guessing: cookie %d, conversation %d", got[1].cookie, got[1].number)
	}
}

func TestICMPErrorJoinsByItsQuote(t *testing.T) {
	c, v := conntest.Hosts(40000)
	quote := func(netns uint32, dir tcp.Direction) *tcp.Event {
		return &tcp.Event{Kind: tcp.KindPacket, Netns: netns, Packet: tcp.Packet{Dir: dir,
			Segment: tcp.Segment{IsQuote: true, Quoted: c.Flow}}}
	}
	s := conntest.New()
	s.State(c, tcp.Close, tcp.SynSent)
	s.Gets(v, conntest.Header{Flags: conntest.S, Seq: 1000})
	s.Add(quote(v.Netns, tcp.DirOut))
	s.Add(quote(c.Netns, tcp.DirIn))
	s.Add(quote(99, tcp.DirIn))
	got := apply(t, conn.New(conn.Options{}), s)
	if got[2].Conn == nil || got[2].Flow != v.Flow || got[3].cookie != c.Cookie {
		t.Errorf("joined %v and cookie %d", got[2].Flow, got[3].cookie)
	}
	if got[4].Conn != nil {
		t.Error("joined a stranger's error")
	}
	for _, w := range got {
		if !w.Selected {
			t.Errorf("%v not selected", &w)
		}
	}
}

func TestSelected(t *testing.T) {
	a, av := conntest.Hosts(40000)
	b, bv := conntest.Hosts(50000)
	asked := 0
	tab := conn.New(conn.Options{Filter: func(f tcp.Flow) bool {
		asked++
		for _, end := range []uint16{f.Local.Port(), f.Remote.Port()} {
			if end == 50000 || end == 0 {
				return true
			}
		}
		return false
	}})
	first, second := conntest.Whole(a, av), conntest.Whole(b, bv)
	for _, ev := range first.Events {
		ev.Packet.Asked = false
	}
	for _, w := range apply(t, tab, first) {
		if w.Selected || w.number != 0 {
			t.Errorf("%v selected, number %d", &w, w.number)
		}
	}
	if asked > 2 {
		t.Errorf("the filter was asked %d times about two sockets", asked)
	}
	for _, w := range apply(t, tab, second) {
		if !w.Selected || w.number != 1 {
			t.Errorf("%v: selected %v, number %d", &w, w.Selected, w.number)
		}
	}
	s := conntest.New()
	for i, at := range []string{"0.0.0.0:50000", "0.0.0.0:80"} {
		listener := &conntest.Socket{Cookie: uint64(3 + i), Netns: 1, Flow: conntest.Flow(at, "0.0.0.0:0")}
		s.State(listener, tcp.Close, tcp.Listen)
	}
	s.Add(&tcp.Event{Kind: tcp.KindGap, Gap: tcp.Gap{Cause: tcp.GapRingFull, Lost: 3}})
	for i, w := range apply(t, tab, s) {
		if want := i != 1; w.Selected != want {
			t.Errorf("%v: selected %v; only a listener on the port asked for, and a gap, are", &w, w.Selected)
		}
	}
}

func TestOldKernelChild(t *testing.T) { // before 6.15 the first transition of a child has no remote end
	c, v := conntest.Hosts(40000)
	s := conntest.New()
	s.State(c, tcp.Close, tcp.SynSent)
	half := *v
	half.Flow.Remote = conntest.Flow("0.0.0.0:0", "").Local
	s.State(&half, tcp.Listen, tcp.SynRecv)
	s.State(v, tcp.SynRecv, tcp.Established)
	s.Sends(v, conntest.Header{Flags: conntest.PA, Seq: 5001, Ack: 1001, Len: 10})
	got := apply(t, conn.New(conn.Options{}), s)
	if got[2].Flow != v.Flow || got[2].cookie != v.Cookie || got[3].cookie != v.Cookie {
		t.Errorf("child is %v, cookie %d", got[2].Flow, got[2].cookie)
	}
}

func TestWithoutCookies(t *testing.T) { // kernels that give none: namespace and tuple
	c, v := conntest.Hosts(40000)
	tab := conn.New(conn.Options{})
	for round := uint64(1); round < 3; round++ {
		s := conntest.Whole(c, v)
		for _, ev := range s.Events {
			ev.Cookie = 0
		}
		for _, w := range apply(t, tab, s) {
			if w.number != round {
				t.Fatalf("round %d, %v: conversation %d", round, &w, w.number)
			}
		}
	}
}

func TestLateEventsOfAnEndedSocket(t *testing.T) {
	c, v := conntest.Hosts(40000)
	tab := conn.New(conn.Options{Linger: time.Second})
	apply(t, tab, conntest.Whole(c, v))
	late := func(wait time.Duration) told {
		s := conntest.New()
		s.Wait(wait)
		s.Gets(c, conntest.Header{Flags: conntest.FA, Seq: 5201, Ack: 1202})
		return apply(t, tab, s)[0]
	}
	if w := late(2 * time.Second); w.cookie != c.Cookie {
		t.Errorf("in TIME_WAIT: cookie %d", w.cookie)
	}
	if w := late(2 * time.Minute); w.cookie != 0 || w.number != 2 {
		t.Errorf("after TIME_WAIT: cookie %d, conversation %d", w.cookie, w.number)
	}
	if tab.Len() != 1 {
		t.Errorf("%d connections kept", tab.Len())
	}
}
