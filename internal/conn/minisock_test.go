package conn_test

import (
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

var (
	lastFin = conntest.Header{Flags: conntest.FA, Seq: 5201, Ack: 1202, Window: 508}
	lastAck = conntest.Header{Flags: conntest.A, Seq: 1202, Ack: 5202, Window: 501}
)

// inTimeWait is a client in TIME_WAIT from the story's 20 µs on, as told by its
// transition alone.
func inTimeWait(c *conntest.Socket, with ...conntest.Detail) *conntest.Story {
	s := conntest.New()
	s.State(c, tcp.FinWait1, tcp.FinWait2)
	s.State(c, tcp.FinWait2, tcp.Close, append([]conntest.Detail{conntest.Left(tcp.TimeWait, time.Minute), expects(5202)}, with...)...)
	return s
}

func expects(seq uint32) conntest.Detail { return func(ev *tcp.Event) { ev.Expects = seq } }
func rfc1337(ev *tcp.Event)              { ev.RFC1337 = true }

const (
	beginsWaiting = "#1 unknown FIN_WAIT2→CLOSE at 0s after 0s: leaves TIME_WAIT"
	endsByTimer   = "#1 unknown TIME_WAIT→CLOSE at 1m1.44s after 1m1.44s: timer"
)

func TestTimeWaitWithoutPackets(t *testing.T) {
	c, _ := conntest.Hosts(40000)
	w, tab := listen(t, conn.Options{}, 2*time.Minute, inTimeWait(c))
	w.is(t, beginsWaiting, endsByTimer)
	if tab.Len() != 0 || tab.Unfollowed() != 0 {
		t.Errorf("%d ends kept, %d not followed", tab.Len(), tab.Unfollowed())
	}
}

// Where the kernel does not tell, both FINs acknowledged prove TIME_WAIT.
func TestTimeWaitByPackets(t *testing.T) {
	bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
		s := conntest.Whole(c, v)
		for _, ev := range s.Events {
			ev.Minisock, ev.Timer = tcp.StateUnknown, tcp.Timer{}
		}
		w, _ := listen(t, conn.Options{}, 2*time.Minute, s)
		w.lines = w.lines[2:]
		w.is(t, "#1 client FIN_WAIT2→CLOSE at 1.5s after 0s: leaves TIME_WAIT", "#1 client TIME_WAIT→CLOSE at 1m1.5s after 1m0s: timer")
	})
}

func TestOrphan(t *testing.T) {
	bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
		w, _ := listen(t, conn.Options{}, 2*time.Minute, conntest.Orphan(c, v))
		from := "unknown"
		w.is(t,
			"#1 "+from+" FIN_WAIT2→CLOSE at 0s after 0s: leaves FIN_WAIT2",
			"#1 "+from+" FIN_WAIT2→TIME_WAIT at 3s after 3s: FIN",
			"#1 "+from+" TIME_WAIT→CLOSE at 1m3.49s after 1m0.49s: timer",
		)
	})
}

// Where the kernel does not tell, the orphan shows when it acknowledges the FIN.
func TestOrphanByPackets(t *testing.T) {
	bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
		s := conntest.Orphan(c, v)
		for _, ev := range s.Events {
			ev.Minisock, ev.Timer = tcp.StateUnknown, tcp.Timer{}
		}
		w, _ := listen(t, conn.Options{}, 2*time.Minute, s)
		w.is(t, "#1 unknown FIN_WAIT2→TIME_WAIT at 3s: FIN", "#1 unknown TIME_WAIT→CLOSE at 1m3s after 1m0s: timer")
	})
}

// orphan is a client's FIN_WAIT2 that lasts 2 s (tcp_fin_timeout) from 20 µs on.
func orphan(c *conntest.Socket) *conntest.Story {
	s := conntest.New()
	s.State(c, tcp.FinWait1, tcp.FinWait2)
	s.State(c, tcp.FinWait2, tcp.Close, conntest.Left(tcp.FinWait2, 2*time.Second), expects(5201))
	return s
}

func TestOrphanWithoutFIN(t *testing.T) {
	const begins = "#1 unknown FIN_WAIT2→CLOSE at 0s after 0s: leaves FIN_WAIT2"
	for name, tc := range map[string]struct {
		then func(s *conntest.Story, c, v *conntest.Socket)
		ends string
	}{
		"silence": {func(*conntest.Story, *conntest.Socket, *conntest.Socket) {}, "at 2.02s after 2.02s: timer"},
		"a RST": {func(s *conntest.Story, c, v *conntest.Socket) {
			crosses(s, nobody(v), c, conntest.Header{Flags: conntest.RA, Seq: 5201, Ack: 1202})
		}, "at 1s after 1s: RST"},
		"a RST out of the window": {func(s *conntest.Story, c, v *conntest.Socket) {
			crosses(s, nobody(v), c, conntest.Header{Flags: conntest.RA, Seq: 5200, Ack: 1202})
		}, "at 2.02s after 2.02s: timer"},
		"data, as its answer shows": {func(s *conntest.Story, c, v *conntest.Socket) {
			crosses(s, v, c, conntest.Header{Flags: conntest.PA, Seq: 5201, Ack: 1202, Len: 10})
			crosses(s, nobody(c), v, conntest.Header{Flags: conntest.R, Seq: 1202}, conntest.Forgotten)
		}, "at 1s after 1s: RST sent"},
		"data, as the kernel tells": {func(s *conntest.Story, c, v *conntest.Socket) {
			s.Kernel(c, tcp.KindSendReset, conntest.Reason("TCP_TIMEWAIT_SOCKET"), conntest.Now(tcp.TimeWait))
		}, "at 1s after 1s: RST sent"},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
				s := orphan(c)
				s.Wait(time.Second)
				tc.then(s, c, v)
				w, _ := listen(t, conn.Options{}, 2*time.Minute, s)
				w.is(t, begins, "#1 unknown FIN_WAIT2→CLOSE "+tc.ends)
			})
		})
	}
}

// What comes in TIME_WAIT makes it begin again, unless a firewall has dropped it;
// a RST in its place ends it.
func TestTimeWaitHears(t *testing.T) {
	reset := conntest.Header{Flags: conntest.RA, Seq: 5202, Ack: 1202}
	drop := func(h conntest.Header, reason string) func(*conntest.Story, *conntest.Socket, *conntest.Socket) {
		return func(s *conntest.Story, c, v *conntest.Socket) {
			crosses(s, nobody(v), c, h)
			s.Kernel(nobody(c), tcp.KindDrop, conntest.Reason(reason), conntest.Segment(tcp.DirIn, h.Flags, h.Seq, 0))
		}
	}
	hear := func(h conntest.Header) func(*conntest.Story, *conntest.Socket, *conntest.Socket) {
		return func(s *conntest.Story, c, v *conntest.Socket) { crosses(s, nobody(v), c, h) }
	}
	const again = "at 1m11.68s after 1m11.68s: timer"
	const inTime = "at 1m1.44s after 1m1.44s: timer"
	for name, tc := range map[string]struct {
		then func(s *conntest.Story, c, v *conntest.Socket)
		with []conntest.Detail
		ends string
	}{
		"the FIN again":              {hear(lastFin), nil, again},
		"an ACK":                     {hear(conntest.Header{Flags: conntest.A, Seq: 5202, Ack: 1202}), nil, again},
		"a FIN that is dropped":      {drop(lastFin, "NETFILTER_DROP"), nil, inTime},
		"a FIN that TCP throws away": {drop(lastFin, "TCP_RFC7323_TW_PAWS"), nil, again},
		"a RST":                      {hear(reset), nil, "at 10s after 10s: RST"},
		"a RST, dropped":             {drop(reset, "NETFILTER_DROP"), nil, inTime},
		"a RST in another place":     {hear(conntest.Header{Flags: conntest.R, Seq: 5203}), nil, inTime},
		"a RST under RFC 1337":       {hear(reset), []conntest.Detail{rfc1337}, inTime},
		"its own ACK again": {func(s *conntest.Story, c, v *conntest.Socket) {
			crosses(s, nobody(c), v, lastAck, conntest.Forgotten)
		}, nil, inTime},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
				s := inTimeWait(c, tc.with...)
				s.Wait(10 * time.Second)
				tc.then(s, c, v)
				w, _ := listen(t, conn.Options{}, 2*time.Minute, s)
				w.is(t, beginsWaiting, "#1 unknown TIME_WAIT→CLOSE "+tc.ends)
			})
		})
	}
}

func TestTimeWaitEndsByReuse(t *testing.T) {
	for name, tc := range map[string]struct {
		then func(s *conntest.Story, c, v *conntest.Socket)
		told []string
	}{
		"connect": {func(s *conntest.Story, c, v *conntest.Socket) {
			next := *c
			next.Cookie += 10
			s.State(&next, tcp.Close, tcp.SynSent)
		}, []string{"#1 unknown TIME_WAIT→CLOSE at 10s after 10s: reuse"}},
		"a SYN that is taken": {func(s *conntest.Story, c, v *conntest.Socket) {
			crosses(s, nobody(v), c, conntest.Header{Flags: conntest.S, Seq: 9000})
			s.Wait(time.Second / 2)
			crosses(s, nobody(c), v, conntest.Header{Flags: conntest.SA, Seq: 7000, Ack: 9001}, conntest.Request)
		}, []string{
			"#1 unknown TIME_WAIT→CLOSE at 10.5s after 10.5s: reuse", "#2 server LISTEN→SYN_RECV at 10.5s: SYN-ACK",
			"#2 server SYN_RECV→CLOSE at 11.52s after 1.02s: no SYN-ACK"}},
		"a SYN that is not": {func(s *conntest.Story, c, v *conntest.Socket) {
			crosses(s, nobody(v), c, conntest.Header{Flags: conntest.S, Seq: 5000})
			crosses(s, nobody(c), v, lastAck, conntest.Forgotten)
		}, []string{endsByTimer}},
		"a SYN that is not, and the RST that its answer provokes": {func(s *conntest.Story, c, v *conntest.Socket) {
			crosses(s, nobody(v), c, conntest.Header{Flags: conntest.S, Seq: 5000})
			crosses(s, nobody(c), v, lastAck, conntest.Forgotten)
			crosses(s, nobody(v), c, conntest.Header{Flags: conntest.R, Seq: 5202})
		}, []string{"#1 unknown TIME_WAIT→CLOSE at 10s after 10s: RST"}},
		"a child, without packets": {func(s *conntest.Story, c, v *conntest.Socket) {
			next := *c
			next.Cookie += 10
			s.State(&next, tcp.Listen, tcp.SynRecv)
		}, []string{"#1 unknown TIME_WAIT→CLOSE at 10s after 10s: reuse"}},
		"a SYN-ACK again, without packets": {func(s *conntest.Story, c, v *conntest.Socket) {
			s.Kernel(nobody(c), tcp.KindSynAckAgain, conntest.Again(0, 1), conntest.Runs(2*time.Second))
		}, []string{
			"#1 unknown TIME_WAIT→CLOSE at 10s after 10s: reuse", "#2 server LISTEN→SYN_RECV at 10s: SYN-ACK again",
			"#2 server SYN_RECV→CLOSE at 12.03s: no SYN-ACK"}},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
				s := inTimeWait(c)
				s.Wait(10 * time.Second)
				tc.then(s, c, v)
				w, _ := listen(t, conn.Options{}, 2*time.Minute, s)
				w.is(t, append([]string{beginsWaiting}, tc.told...)...)
			})
		})
	}
}

func TestNoRoomForTimeWait(t *testing.T) {
	bothWays(t, func(t *testing.T, c, v *conntest.Socket) {
		s := conntest.Whole(c, v)
		for _, ev := range s.Events {
			if ev.Minisock != tcp.StateUnknown {
				ev.Minisock, ev.Timer = tcp.Close, tcp.Timer{}
			}
		}
		w, _ := listen(t, conn.Options{}, 2*time.Minute, s)
		w.lines = w.lines[2:]
		w.is(t, "#1 client FIN_WAIT2→CLOSE at 1.5s after 0s: leaves CLOSE")
	})
}

// Nobody is in TIME_WAIT after a reset or a time-out, whatever state it strikes.
func TestNeverTimeWaitAfterAnError(t *testing.T) {
	for _, state := range []tcp.State{tcp.SynSent, tcp.SynRecv, tcp.Established, tcp.FinWait1, tcp.FinWait2, tcp.CloseWait, tcp.Closing, tcp.LastAck} {
		for _, errno := range []int32{32, 104, 110, 111, 113} {
			c, v := conntest.Hosts(40000)
			s := conntest.New()
			s.Sends(c, conntest.Header{Flags: conntest.FA, Seq: 1201, Ack: 5201})
			s.Gets(c, conntest.Header{Flags: conntest.FA, Seq: 5201, Ack: 1202})
			s.Sends(c, lastAck)
			s.State(c, tcp.Established, state)
			s.State(c, state, tcp.Close, conntest.Errno(errno))
			s.Gets(c, lastFin)
			s.Sends(c, lastAck)
			s.State(v, state, tcp.Close, conntest.By(v.Task))
			w, _ := listen(t, conn.Options{}, 2*time.Minute, s)
			w.is(t)
		}
	}
}

// What was not selected is not followed, and what there is no room for is counted.
func TestMinisocksHaveBounds(t *testing.T) {
	story := conntest.New()
	for port := uint16(1); port <= 100; port++ {
		c, _ := conntest.Hosts(port)
		story.State(c, tcp.FinWait1, tcp.FinWait2)
		story.State(c, tcp.FinWait2, tcp.Close, conntest.Left(tcp.TimeWait, time.Minute))
	}
	w, tab := listen(t, conn.Options{MaxEnded: 40}, 2*time.Minute, story)
	if len(w.lines) != 100+31 || tab.Unfollowed() != 69 || tab.Len() != 0 { // the last came after the last look
		t.Errorf("%d lines, %d not followed, %d kept", len(w.lines), tab.Unfollowed(), tab.Len())
	}
	w, tab = listen(t, conn.Options{MaxEnded: 40, Filter: func(f tcp.Flow) bool { return f.Local.Port() <= 10 }}, 2*time.Minute, story)
	told := 0
	for _, l := range w.lines {
		if l[len(l)-len("timer"):] == "timer" {
			told++
		}
	}
	if told != 10 || tab.Unfollowed() != 0 {
		t.Errorf("%d ends told of the 10 selected, %d not followed", told, tab.Unfollowed())
	}
}
