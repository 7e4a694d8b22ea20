package diagnose_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// atServer begins a connection as the server's host sees it: what it hears is the
// client's, and it says its answers.
func atServer() *scene {
	s := begin()
	s.c, s.v = s.v, s.c
	s.seq, s.ack = s.ack, s.seq
	s.listens(s.c.Task)
	return s
}

// listens has had a listener from before the connection began.
func (s *scene) listens(by tcp.Task) {
	made := s.Events
	listener := *s.c
	listener.Cookie, listener.Flow = 7, tcp.Flow{Local: netip.AddrPortFrom(netip.IPv4Unspecified(), s.c.Flow.Local.Port())}
	s.Events = nil
	s.State(&listener, tcp.Close, tcp.Listen, conntest.By(by))
	s.Events[0].Time = made[0].Time - 1
	s.Events = append(s.Events, made...)
}

// acts is what tells of a process on the socket.
func (s *scene) acts(via tcp.Via) {
	s.Kernel(s.c, tcp.KindOwner, conntest.By(s.c.Task), conntest.Through(via), conntest.Now(tcp.Established))
}

// asked is a request that arrives, and is acknowledged by the kernel.
func (s *scene) asked() {
	s.hears(100)
	s.confirmed()
}

// others has another connection to the same server, which answers it.
func (s *scene) others() {
	c, v := conntest.Hosts(40001)
	one := &scene{Story: s.Story, c: c, v: v, seq: 1001, ack: 5001, win: 502}
	if s.c.Netns == v.Netns {
		one.c, one.v, one.seq, one.ack = v, c, 5001, 1001
	}
	s.Handshake(c, v)
	if s.c.Netns == v.Netns {
		one.hears(100)
		one.says(200)
		one.window(508)
		return
	}
	one.answered()
	one.confirmed()
}

// closes is an orderly end, by this end first.
func (s *scene) closes() {
	s.State(s.c, tcp.Established, tcp.FinWait1, conntest.By(s.c.Task))
	s.Sends(s.c, conntest.Header{Flags: conntest.FA, Seq: s.seq, Ack: s.ack, Window: s.win, Options: conntest.Stamp})
	s.Gets(s.c, conntest.Header{Flags: conntest.FA, Seq: s.ack, Ack: s.seq + 1, Window: 508, Options: conntest.Stamp})
	s.State(s.c, tcp.FinWait1, tcp.Closing)
	s.State(s.c, tcp.Closing, tcp.Close, conntest.Left(tcp.TimeWait, time.Minute))
}

// TestFirstQuestion: a server's first request that is not answered is named where it can
// be known that it asks for an answer, and not where it may be a stream one way.
func TestFirstQuestion(t *testing.T) {
	long, short := scaled(limits.Slow, 120), scaled(limits.Slow, 80)
	for name, c := range map[string]struct {
		at   func() *scene
		act  func(*scene)
		want bool
	}{
		"nobody accepts": {atServer, func(s *scene) { s.asked(); s.Wait(long) }, true},
		"nobody accepts for a while": {atServer, func(s *scene) {
			s.asked()
			s.Wait(short)
			s.acts(tcp.ViaRead)
			s.Wait(10 * limits.Slow)
		}, false},
		"read at last": {atServer, func(s *scene) {
			s.asked()
			s.Wait(long)
			s.acts(tcp.ViaRead)
		}, true},
		"accepted, and not read": {atServer, func(s *scene) {
			s.asked()
			s.Wait(400 * time.Millisecond)
			s.acts(tcp.ViaHeld)
			s.Wait(long)
		}, true},
		"accepted, later asked, and read": {atServer, func(s *scene) {
			s.Wait(400 * time.Millisecond)
			s.acts(tcp.ViaHeld)
			s.Wait(time.Minute)
			s.asked()
			s.acts(tcp.ViaRead)
			s.Wait(10 * limits.Slow)
		}, false},
		"a sink": {atServer, func(s *scene) {
			for range 5 {
				s.asked()
				s.acts(tcp.ViaRead)
				s.Wait(2 * limits.Slow)
			}
		}, false},
		"a server that speaks without being asked": {atServer, func(s *scene) { s.says(100); s.window(508); s.Wait(10 * limits.Slow) }, false},
		"nothing was said":                         {atServer, func(s *scene) { s.Wait(10 * limits.Slow) }, false},
		"nobody reads, or it was lost": {atServer, func(s *scene) {
			s.asked()
			s.loses() // that it was read
			s.hears(10)
			s.confirmed()
			s.Wait(long)
		}, false},
		"read at once, and others are answered later": {atServer, func(s *scene) {
			s.asked()
			s.acts(tcp.ViaRead)
			s.Wait(short)
			s.others()
			s.Wait(2 * limits.Slow)
		}, true},

		"a client of a sink": {begin, func(s *scene) {
			for range 5 {
				s.asks()
				s.Wait(2 * limits.Slow)
			}
		}, false},
		"a client that says one thing, and closes long after": {begin, func(s *scene) { s.asks(); s.Wait(time.Minute); s.closes() }, false},
		"an upload": {begin, func(s *scene) {
			for range 100 {
				s.says(1000)
				s.window(508)
				s.Wait(100 * time.Millisecond)
			}
			s.closes()
		}, false},
		"of a server that has greeted": {begin, func(s *scene) { s.hears(50); s.confirmed(); s.asks(); s.Wait(long) }, true},
		"… for a while":                {begin, func(s *scene) { s.hears(50); s.confirmed(); s.asks(); s.Wait(short); s.hears(50) }, false},
		"of a server that answers others later": {begin, func(s *scene) {
			s.asks()
			s.Wait(scaled(limits.Slow, 150))
			s.others()
			s.Wait(2 * limits.Slow)
		}, true},
		"of a server that had answered others when it ended": {begin, func(s *scene) {
			s.asks()
			s.Wait(long)
			s.others()
			s.closes()
		}, true},
		"of a server that had answered others, and soon ended": {begin, func(s *scene) {
			s.asks()
			s.Wait(short)
			s.others()
			s.closes()
		}, false},
	} {
		s := c.at()
		c.act(s)
		s.Kernel(s.c, tcp.KindOwner)
		var want []string
		if c.want {
			want = []string{"slow-application probably"}
		}
		have := slices.Compact(surely(t, s.Story, s.c.Netns))
		if !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", name, have, want)
		}
	}
}

// TestLateByLoss: a request that needed several attempts is the way's fault; its program's
// time begins when it has come.
func TestLateByLoss(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(*scene)
		want []string
	}{
		"answered at once":                  {func(s *scene) { s.window(508); s.hears(200) }, []string{"loss-timeouts"}},
		"answered with its acknowledgement": {func(s *scene) { s.hears(200) }, []string{"loss-timeouts"}},
		"answered in time":                  {func(s *scene) { s.window(508); s.Wait(scaled(limits.Slow, 80)); s.hears(200) }, []string{"loss-timeouts"}},
		"answered late":                     {func(s *scene) { s.window(508); s.Wait(scaled(limits.Slow, 120)); s.hears(200) }, []string{"loss-timeouts", "slow-application"}},
	} {
		s := begin()
		s.answered()
		s.confirmed()
		s.says(100)
		for i := range uint32(3) {
			s.Wait(time.Second << i)
			s.again(tcp.RetransmitRTO, i+1, 100)
		}
		c.act(s)
		s.confirmed()
		s.Wait(time.Second)
		have := told(t, s, limits)
		slices.Sort(have)
		if have = slices.Compact(have); !slices.Equal(have, c.want) {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
	}
}

// TestUnreadIsKnown: who cannot know whether a request was read says nothing: of a socket
// that is older than the trace, and where MPTCP reads for the program.
func TestUnreadIsKnown(t *testing.T) {
	s := atServer()
	s.Events = nil
	listener := *s.c
	listener.Cookie, listener.Flow.Remote = 7, netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	s.Kernel(&listener, tcp.KindSocket, conntest.Now(tcp.Listen)) // so it is the server
	s.Kernel(s.c, tcp.KindSocket, conntest.Now(tcp.Established))
	s.asked()
	s.Wait(10 * limits.Slow)
	s.Kernel(s.c, tcp.KindOwner)
	if have := surely(t, s.Story, s.c.Netns); len(have) > 0 {
		t.Errorf("of an older socket: %v", have)
	}
	s = atServer()
	for _, ev := range s.Events {
		if p := &ev.Packet; p.IsTCP && p.Flags.Has(tcp.SYN|tcp.ACK) {
			p.Frame = slices.Clone(p.Frame)
			copy(p.Frame[p.L4Offset+20:], []byte{30, 4, 0, 0}) // MP_CAPABLE in place of the MSS
		}
	}
	s.asked()
	s.Wait(10 * limits.Slow)
	s.Kernel(s.c, tcp.KindOwner)
	if have := surely(t, s.Story, s.c.Netns); len(have) > 0 {
		t.Errorf("of MPTCP: %v", have)
	}
}

// TestUnansweredHasLastWord: it says how long was waited, and how that came to an end.
func TestUnansweredHasLastWord(t *testing.T) {
	for want, act := range map[string]func() *scene{
		"had not answered for 10 s when this end closed": func() *scene {
			s := begin()
			s.answered()
			s.asks()
			s.Wait(10 * time.Second)
			s.closes()
			return s
		},
		"had not answered for 10 s when it was reset": func() *scene {
			s := begin()
			s.answered()
			s.asks()
			s.Wait(10 * time.Second)
			s.aborts()
			return s
		},
		"had not answered for 10 s when the other end closed": func() *scene {
			s := begin()
			s.answered()
			s.asks()
			s.Wait(10 * time.Second)
			s.Gets(s.c, conntest.Header{Flags: conntest.FA, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp})
			s.State(s.c, tcp.Established, tcp.CloseWait)
			s.Wait(time.Second)
			s.State(s.c, tcp.CloseWait, tcp.LastAck, conntest.By(s.c.Task))
			s.State(s.c, tcp.LastAck, tcp.Close)
			return s
		},
		"lay unread for 10 s: as far as is known, no program had accepted the connection when a program read it": func() *scene {
			s := atServer()
			s.asked()
			s.Wait(10 * time.Second)
			s.acts(tcp.ViaRead)
			s.Wait(time.Second)
			s.aborted()
			return s
		},
	} {
		s := act()
		s.Wait(time.Second)
		s.Kernel(s.c, tcp.KindOwner)
		said := texts(t, s)
		if !slices.ContainsFunc(said, func(text string) bool { return strings.Contains(text, want) }) {
			t.Errorf("%q, want %q", said, want)
		}
	}
}

// TestHangsAcrossGap: of a request of which nothing is seen any more since something was
// lost it is not known whether it was answered, and that is said, with what was lost.
func TestHangsAcrossGap(t *testing.T) {
	for lost, want := range map[uint64]string{1: "slow-application probably", 2: "slow-application unknown", 1000: "slow-application unknown"} {
		s := begin()
		s.answered()
		s.Wait(time.Second)
		s.says(100) // its acknowledgement may be lost, too
		ev := &tcp.Event{Kind: tcp.KindGap}
		ev.Lost = lost
		s.Add(ev)
		s.Wait(scaled(2*limits.Slow, 120))
		s.Kernel(s.c, tcp.KindOwner)
		if have := surely(t, s.Story, s.c.Netns); !slices.Equal(have, []string{want}) {
			t.Errorf("%d lost: %v, want %s", lost, have, want)
		}
		cited := false
		e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
			cited = slices.ContainsFunc(v.Evidence, func(c diagnose.Clue) bool { return c.Sight == diagnose.Missed && uint64(c.Count) == lost })
			return nil
		})
		table := conn.New(conn.Options{})
		for _, ev := range s.Events {
			if ev.Kind == tcp.KindGap || ev.Netns == s.c.Netns {
				if err := table.Tell(ev, e.Take); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !cited {
			t.Errorf("%d lost: they are not among the evidence", lost)
		}
	}
	for name, act := range map[string]func(*scene){
		"a server that was never known to answer": func(s *scene) { s.asks(); s.loses() },
		"it was sent again":                       func(s *scene) { s.answered(); s.says(100); s.loses(); s.again(tcp.RetransmitRTO, 1, 100) },
		"nothing was asked":                       func(s *scene) { s.answered(); s.confirmed(); s.loses() },
	} {
		s := begin()
		act(s)
		s.Wait(4 * limits.Slow)
		s.Kernel(s.c, tcp.KindOwner)
		if have := surely(t, s.Story, s.c.Netns); len(have) > 0 {
			t.Errorf("%s: %v", name, have)
		}
	}
}

// TestUnfitSaysNothing: a segment that the socket did not take, and whose numbers are
// nobody's, is no request, and hides none.
func TestUnfitSaysNothing(t *testing.T) {
	const far = 1 << 20
	stray := func(s *scene) {
		s.Gets(s.c, conntest.Header{Flags: conntest.PA, Seq: s.ack + far, Ack: s.seq, Window: 500, Len: 100})
		s.Kernel(s.c, tcp.KindDrop, conntest.Reason("TCP_INVALID_SEQUENCE"), conntest.Segment(tcp.DirIn, conntest.PA, s.ack+far, 100))
	}
	answered := func() *scene {
		s := atServer()
		s.asked()
		s.acts(tcp.ViaRead)
		s.says(200)
		s.window(508)
		stray(s)
		return s
	}
	idle := answered()
	idle.Wait(10 * limits.Slow)
	slow := answered()
	slow.asked()
	slow.Wait(scaled(limits.Slow, 120))
	asking := begin()
	asking.asks()
	asking.Wait(5 * time.Second)
	stray(asking)
	asking.Wait(5 * time.Second)
	asking.asks() // it did not teach that this server answers
	asking.Wait(10 * limits.Slow)
	late := begin()
	late.answered()
	late.asks()
	late.Wait(scaled(limits.Slow, 80))
	stray(late)
	late.Wait(scaled(limits.Slow, 40))
	late.hears(200)
	late.Wait(time.Second)
	for _, c := range []struct {
		want string
		s    *scene
	}{{"[]", idle}, {"[slow-application probably]", slow}, {"[]", asking}, {"[slow-application probably slow-application sure]", late}} {
		s, want := c.s, c.want
		s.Kernel(s.c, tcp.KindOwner)
		if have := fmt.Sprint(surely(t, s.Story, s.c.Netns)); have != want {
			t.Errorf("%s, want %s", have, want)
		}
	}
}
