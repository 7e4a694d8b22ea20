package ordertest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcpstory/internal/tcp"
)

const contract = "../../../doc/ORDER.md"

var (
	here  = netip.MustParseAddrPort("192.0.2.1:40000")
	there = netip.MustParseAddrPort("192.0.2.2:80")
	ahead = tcp.Flow{Local: here, Remote: there}
	plans = map[uint16]*Plan{80: {
		Name:   "client first",
		Client: []Path{ClientPath(CauseHeld, tcp.FinWait1, tcp.FinWait2, tcp.Close)},
		Server: []Path{ServerPath(CauseAny, tcp.CloseWait, tcp.LastAck, tcp.Close)},
	}}
)

// state, and segment below, are lines of a story on loopback, by one client (cookie
// 1) and one server (cookie 2).
func state(cookie uint64, from, to tcp.State) tcp.Event {
	ev := tcp.Event{Kind: tcp.KindState, Cookie: cookie, Netns: 7, Flow: ahead, Old: from, New: to}
	if cookie == 2 {
		ev.Flow = ahead.Reverse()
	}
	if to == tcp.SynSent {
		ev.Flow.Local = netip.AddrPortFrom(here.Addr(), 0)
	}
	return ev
}

func sent(f tcp.Flow, flags tcp.Flags, seq, ack uint32) tcp.Event {
	ev := tcp.Event{Kind: tcp.KindPacket, Netns: 7}
	ev.Packet.Loopback, ev.Packet.IsTCP = true, true
	ev.Packet.Segment.Flow, ev.Packet.Flags, ev.Packet.Seq, ev.Packet.Ack = f, flags, seq, ack
	if f == ahead {
		ev.Cookie, ev.Flow = 1, f
	}
	return ev
}

// fourWay is a whole connection as it should be seen.
func fourWay() []tcp.Event {
	back := ahead.Reverse()
	return []tcp.Event{
		state(1, tcp.Close, tcp.SynSent),
		sent(ahead, tcp.SYN, 100, 0),
		sent(back, tcp.SYN|tcp.ACK, 500, 101),
		state(1, tcp.SynSent, tcp.Established),
		sent(ahead, tcp.ACK, 101, 501),
		state(2, tcp.Listen, tcp.SynRecv),
		state(2, tcp.SynRecv, tcp.Established),
		state(1, tcp.Established, tcp.FinWait1),
		sent(ahead, tcp.FIN|tcp.ACK, 101, 501),
		state(2, tcp.Established, tcp.CloseWait),
		sent(back, tcp.ACK, 501, 102),
		state(1, tcp.FinWait1, tcp.FinWait2),
		state(2, tcp.CloseWait, tcp.LastAck),
		sent(back, tcp.FIN|tcp.ACK, 501, 102),
		sent(ahead, tcp.ACK, 102, 502),
		state(1, tcp.FinWait2, tcp.Close),
		state(2, tcp.LastAck, tcp.Close),
	}
}

func report(t *testing.T, events []tcp.Event) *Report {
	t.Helper()
	rules, err := ReadTable(contract)
	if err != nil {
		t.Fatal(err)
	}
	c := New(rules, plans)
	for i := range events {
		events[i].Seq = uint64(i + 1)
		c.Add(&events[i])
	}
	return c.Report()
}

func TestWholeStoryHolds(t *testing.T) {
	r := report(t, fourWay())
	if len(r.Faults) != 0 || r.Excused != 0 || r.MissingStates != 0 {
		t.Errorf("%d excused, %d states missing, faults %v", r.Excused, r.MissingStates, r.Faults)
	}
	if r.Sockets["client first client"] != 1 || r.Sockets["client first server"] != 1 || r.Out != 7 {
		t.Errorf("sockets %v, %d segments", r.Sockets, r.Out)
	}
}

// TestEveryMoveIsNoticed moves each packet to where a rule forbids it.
func TestEveryMoveIsNoticed(t *testing.T) {
	moves := []struct {
		from, to int
		rule     string
	}{
		{1, 0, "CLOSE → SYN_SENT: out S after"},
		{2, 3, "SYN_SENT → ESTABLISHED: in S. before"},
		{4, 3, "SYN_SENT → ESTABLISHED: out third ACK after"},
		{4, 5, "LISTEN → SYN_RECV: in third ACK before"},
		{4, 6, "SYN_RECV → ESTABLISHED: in third ACK before"},
		{8, 7, "ESTABLISHED → FIN_WAIT1: out F after"},
		{8, 9, "ESTABLISHED → CLOSE_WAIT: in F before"},
		{10, 9, "ESTABLISHED → CLOSE_WAIT: out ack of peer's FIN after"},
		{10, 11, "FIN_WAIT1 → FIN_WAIT2: in ack of own FIN before"},
		{13, 12, "CLOSE_WAIT → LAST_ACK: out F after"},
		{13, 15, "FIN_WAIT2 → CLOSE, held: in F before"},
		{14, 15, "FIN_WAIT2 → CLOSE, held: out ack of peer's FIN before"},
		{14, 16, "LAST_ACK → CLOSE: in ack of own FIN before"},
	}
	for _, m := range moves {
		events := fourWay()
		moved := events[m.from]
		events = slices.Insert(slices.Delete(events, m.from, m.from+1), m.to, moved)
		r := report(t, events)
		if !strings.Contains(strings.Join(r.Faults, "\n"), m.rule) {
			t.Errorf("%s: faults are %v", m.rule, r.Faults)
		}
	}
}

// TestWhatIsMissing takes each event out in turn: that is counted, and is no
// wrong order.
func TestWhatIsMissing(t *testing.T) {
	whole := fourWay()
	for i, ev := range whole {
		r := report(t, slices.Delete(slices.Clone(whole), i, i+1))
		name := fmt.Sprintf("event %d, a %v", i+1, ev.Kind)
		switch {
		case i == 10: // the peer's FIN acknowledges too, but later: not to be told from a wrong order
			continue
		case len(r.Faults) != 0:
			t.Errorf("without %s: %v", name, r.Faults)
		case ev.Kind == tcp.KindState && r.MissingStates != 1:
			t.Errorf("without %s: %d transitions are missing", name, r.MissingStates)
		case ev.Kind == tcp.KindPacket && r.Excused == 0:
			t.Errorf("without %s: nothing is missing", name)
		}
	}
}

func TestWrongPathsAreFaults(t *testing.T) {
	twice := fourWay()
	twice = slices.Insert(twice, 4, state(1, tcp.SynSent, tcp.Established))
	strange := fourWay()
	strange[11] = state(1, tcp.FinWait1, tcp.Closing)
	failed := fourWay()
	failed[15].Errno = 104
	for name, events := range map[string][]tcp.Event{"twice": twice, "strange": strange, "failed": failed} {
		if r := report(t, events); r.FaultCount != 1 || !strings.Contains(r.Faults[0], "no path of the plan") {
			t.Errorf("%s: %v", name, r.Faults)
		}
	}
}

func TestSightingsAreCompared(t *testing.T) {
	var events []tcp.Event
	for _, ev := range fourWay() {
		if ev.Kind == tcp.KindPacket { // over a wire: once out, once in
			ev.Packet.Loopback, ev.Packet.Dir = false, tcp.DirOut
			in := ev
			in.Netns, in.Cookie, in.Packet.Dir = 8, 0, tcp.DirIn
			if ev.Packet.Segment.Flow != ahead {
				ev.Netns, in.Netns = 8, 7
			}
			events = append(events, ev, in)
			continue
		}
		if ev.Cookie == 2 {
			ev.Netns = 8
		}
		events = append(events, ev)
	}
	if r := report(t, slices.Clone(events)); r.FaultCount+r.MissingIn+r.MissingOut != 0 {
		t.Errorf("%d in and %d out are missing, faults %v", r.MissingIn, r.MissingOut, r.Faults)
	}
	if r := report(t, slices.Delete(slices.Clone(events), 1, 2)); r.MissingOut != 1 || r.MissingIn != 0 {
		t.Errorf("without the SYN's departure %d out and %d in are missing", r.MissingOut, r.MissingIn)
	}
	if r := report(t, slices.Delete(slices.Clone(events), 2, 3)); r.MissingIn != 1 || r.MissingOut != 0 {
		t.Errorf("without the SYN's arrival %d in and %d out are missing", r.MissingIn, r.MissingOut)
	}
}

func TestTableErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "there is no table",
		"| CLOSE | out S | after | x |": "no transition",
		"| CLOSE → NOWHERE | out S | after | x |": "no state",
		"| CLOSE → SYN_SENT | up S | after | x |": "no packet",
		"| CLOSE → SYN_SENT | out S | near | x |": "neither before nor after",
		"| CLOSE → SYN_SENT | out S |":            "2 cells",
	} {
		path := filepath.Join(t.TempDir(), "ORDER.md")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTable(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

// TestTupleUsedTwice: whose packets are whose cannot be told, so nothing is.
func TestTupleUsedTwice(t *testing.T) {
	events := fourWay()
	for _, ev := range fourWay() {
		if ev.Cookie != 0 {
			ev.Cookie += 10
		}
		events = append(events, ev)
	}
	if r := report(t, events); r.FaultCount != 0 || r.Reused != 4 || len(r.Sockets) != 0 {
		t.Errorf("%d sockets left out, %v, faults %v", r.Reused, r.Sockets, r.Faults)
	}
}
