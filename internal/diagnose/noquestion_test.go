package diagnose_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// TestSinkReadLate: what lay unread for too long at first, and is read ever since, is told
// of once.
func TestSinkReadLate(t *testing.T) {
	s := atServer()
	s.asked()
	s.Wait(scaled(limits.Slow, 150))
	s.acts(tcp.ViaRead)
	for range 6 * 60 {
		s.Wait(500 * time.Millisecond)
		s.asked()
	}
	s.Wait(10 * limits.Slow)
	s.asked()
	s.Kernel(s.c, tcp.KindOwner)
	first := 0
	e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		if v.Update == 0 {
			first++
		}
		return nil
	})
	table := conn.New(conn.Options{})
	for _, ev := range s.Events {
		if ev.Netns == s.c.Netns {
			if err := table.Tell(ev, e.Take); err != nil {
				t.Fatal(err)
			}
		}
	}
	if first != 1 {
		t.Errorf("it has %d episodes, want 1", first)
	}
}

// TestKernelReads: where nobody is known to listen, and none has the socket, the kernel
// itself may read: that no process does is said, and held against none.
func TestKernelReads(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(*scene)
		want string
	}{
		"nobody is known to listen": {func(s *scene) {}, "slow-application unknown"},
		"a kernel thread listens":   {func(s *scene) { s.listens(tcp.Task{}) }, "slow-application unknown"},
		"a process listens":         {func(s *scene) { s.listens(s.c.Task) }, "slow-application probably"},
		"a process has it":          {func(s *scene) { s.acts(tcp.ViaHeld) }, "slow-application probably"},
	} {
		s := begin()
		s.c, s.v = s.v, s.c
		s.seq, s.ack = s.ack, s.seq
		c.act(s)
		s.asked()
		s.Wait(2 * limits.Slow)
		s.Kernel(s.c, tcp.KindOwner)
		if have := surely(t, s.Story, s.c.Netns); !slices.Equal(have, []string{c.want}) {
			t.Errorf("%s: %v, want %s", name, have, c.want)
		}
	}
}

// TestAnswersElsewhere: that a server answers is known by its address, which means another
// one in each namespace where it is the host's own.
func TestAnswersElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		server string
		want   []string
	}{
		"loopback":   {"127.0.0.1:80", nil},
		"IPv6's":     {"[::1]:80", nil},
		"link-local": {"[fe80::1]:80", nil},
		"any other":  {"10.77.0.2:80", []string{"slow-application probably"}},
	} {
		s := begin()
		s.Events = nil
		open := func(netns uint32, port uint16) *scene {
			cl, v := conntest.Hosts(port)
			at := netip.MustParseAddrPort(c.server)
			cl.Netns, v.Netns = netns, netns+1
			cl.Flow = tcp.Flow{Local: netip.AddrPortFrom(at.Addr(), port), Remote: at}
			v.Flow = cl.Flow.Reverse()
			one := &scene{Story: s.Story, c: cl, v: v, seq: 1001, ack: 5001, win: 502}
			one.Handshake(cl, v)
			return one
		}
		answered := open(11, 40001)
		answered.answered()
		answered.confirmed()
		sink := open(21, 40002)
		sink.asks()
		s.Wait(10 * limits.Slow)
		s.Kernel(sink.c, tcp.KindOwner)
		s.Events = slices.DeleteFunc(s.Events, func(ev *tcp.Event) bool { return ev.Netns == 12 || ev.Netns == 22 })
		if have := surely(t, s.Story, 0); !slices.Equal(have, c.want) {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
	}
}

// TestSubflows: what is asked by one of MPTCP's subflows may be answered by another: none
// is asked for an answer, nor its lateness told.
func TestSubflows(t *testing.T) {
	for name, act := range map[string]func(*scene){
		"never answered": func(s *scene) { s.answered(); s.asks(); s.Wait(10 * limits.Slow) },
		"answered late":  func(s *scene) { s.asks(); s.Wait(2 * limits.Slow); s.hears(200); s.Wait(time.Second) },
		"its SYN is repeated": func(s *scene) {
			s.answered()
			s.Sends(s.c, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
			s.asks()
			s.Wait(10 * limits.Slow)
		},
	} {
		s := begin()
		for _, ev := range s.Events {
			if p := &ev.Packet; p.IsTCP && p.Flags.Has(tcp.SYN|tcp.ACK) {
				p.Frame = slices.Clone(p.Frame)
				copy(p.Frame[p.L4Offset+20:], []byte{30, 4, 0, 0}) // MP_CAPABLE in place of the MSS
			}
		}
		act(s)
		s.Kernel(s.c, tcp.KindOwner)
		if have := surely(t, s.Story, s.c.Netns); len(have) > 0 {
			t.Errorf("%s: %v", name, have)
		}
	}
}

// TestFarewell: what is said at once before a FIN (close_notify, QUIT, GOAWAY) asks for no
// answer: where the server's program then keeps the socket, that is all. A question is
// one even where its client says at once that it was all.
func TestFarewell(t *testing.T) {
	leak := func(s *scene) {
		s.Gets(s.c, conntest.Header{Flags: conntest.FA, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp})
		s.ack++
		s.State(s.c, tcp.Established, tcp.CloseWait)
		s.confirmed()
	}
	for name, c := range map[string]struct {
		at   func() *scene
		act  func(*scene)
		want []string
	}{
		"at the client": {begin, func(s *scene) { s.answered(); s.confirmed(); s.Wait(time.Minute); s.asks(); s.halfCloses() },
			[]string{"fin-wait2-stuck sure"}},
		"at the server": {atServer, func(s *scene) {
			s.asked()
			s.acts(tcp.ViaRead)
			s.says(200)
			s.window(508)
			s.Wait(time.Minute)
			s.asked()
			leak(s)
		}, []string{"close-wait-leak sure"}},
		"a question that waited": {begin, func(s *scene) { s.answered(); s.confirmed(); s.asks(); s.Wait(time.Second); s.halfCloses() },
			[]string{"slow-application probably", "fin-wait2-stuck sure"}},
	} {
		s := c.at()
		c.act(s)
		s.Wait(4 * limits.After)
		s.Kernel(s.c, tcp.KindOwner)
		have := surely(t, s.Story, s.c.Netns)
		slices.Sort(have)
		have = slices.Compact(have)
		slices.Sort(c.want)
		if !slices.Equal(have, c.want) {
			t.Errorf("%s: %v, want %v", name, have, c.want)
		}
	}
}
