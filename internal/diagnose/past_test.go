package diagnose_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// overflows tells that the server's namespace has counted a full accept queue.
func (s *scene) overflows() {
	s.Add(&tcp.Event{Kind: tcp.KindCounters, Netns: s.v.Netns, Stack: &tcp.Stack{ListenOverflows: 1}})
}

// crosses is a segment that is seen at both ends.
func (s *scene) crosses(from, to *conntest.Socket, h conntest.Header, with ...conntest.Detail) {
	s.Sends(from, h, with...)
	s.Gets(to, h)
}

// keptOut is a connection whose last ACK, and first request, find the accept queue full.
func keptOut() *scene {
	c, v := conntest.Hosts(40000)
	s := &scene{Story: conntest.New(), c: c, v: v, seq: 1001, ack: 5001, win: 502}
	s.overflows()
	s.State(c, tcp.Close, tcp.SynSent, conntest.By(c.Task))
	s.crosses(c, v, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
	s.crosses(v, c, conntest.Header{Flags: conntest.SA, Seq: 5000, Ack: 1001, Window: 65160, Options: conntest.SynOptions}, conntest.Request)
	s.State(c, tcp.SynSent, tcp.Established, conntest.First(1001, 5001))
	s.crosses(c, v, conntest.Header{Flags: conntest.A, Seq: 1001, Ack: 5001, Window: 502, Options: conntest.Stamp})
	s.overflows()
	s.timesOut(3)
	return s
}

// timesOut is a request that has to be sent again so many times.
func (s *scene) timesOut(times uint32) {
	request := conntest.Header{Flags: conntest.PA, Seq: s.seq, Ack: s.ack, Window: 502, Options: conntest.Stamp, Len: 100}
	s.crosses(s.c, s.v, request)
	s.seq += 100
	for i := range times {
		s.Wait(time.Second << i)
		s.again(tcp.RetransmitRTO, i+1, 100)
		s.crosses(s.c, s.v, request)
		s.overflows()
	}
}

// taken has the listener take it at last, and the server answer.
func (s *scene) taken() {
	s.State(s.v, tcp.Listen, tcp.SynRecv)
	s.State(s.v, tcp.SynRecv, tcp.Established, conntest.First(5001, 1001))
	s.Kernel(s.v, tcp.KindOwner, conntest.By(s.v.Task), conntest.Through(tcp.ViaRead))
	s.answers()
}

// answers acknowledges a request, and answers it.
func (s *scene) answers() {
	s.crosses(s.v, s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp})
	s.crosses(s.v, s.c, conntest.Header{Flags: conntest.PA, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp, Len: 200})
	s.ack += 200
	s.crosses(s.c, s.v, conntest.Header{Flags: conntest.A, Seq: s.seq, Ack: s.ack, Window: 502, Options: conntest.Stamp})
}

// TestFullQueueIsPast: a full accept queue explains what was lost because of it, and
// nothing that is lost when the listener has taken the connection.
func TestFullQueueIsPast(t *testing.T) {
	for later, want := range map[bool][]string{
		false: {"accept-queue-full"},
		true:  {"accept-queue-full", "loss-timeouts"},
	} {
		s := keptOut()
		s.taken()
		s.Wait(20 * time.Second)
		if later {
			s.timesOut(2)
			s.answers()
		}
		s.Wait(time.Second)
		s.Kernel(s.c, tcp.KindOwner)
		have := toldOfBoth(t, s)
		slices.Sort(have)
		if have = slices.Compact(have); !slices.Equal(have, want) {
			t.Errorf("lost later %v: %v, want %v", later, have, want)
		}
	}
}

// TestUnreadSinceTaken: what waits for its listener to take the connection is not unread
// since it came, but since then.
func TestUnreadSinceTaken(t *testing.T) {
	for percent, want := range map[int][]string{80: {"accept-queue-full"}, 120: {"accept-queue-full", "slow-application"}} {
		s := keptOut()
		s.State(s.v, tcp.Listen, tcp.SynRecv)
		s.State(s.v, tcp.SynRecv, tcp.Established, conntest.First(5001, 1001))
		s.crosses(s.v, s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq, Window: 508, Options: conntest.Stamp})
		s.Wait(scaled(limits.Slow, percent))
		s.Kernel(s.v, tcp.KindOwner, conntest.By(s.v.Task), conntest.Through(tcp.ViaRead))
		s.Wait(time.Second)
		s.Kernel(s.c, tcp.KindOwner)
		have := toldOfBoth(t, s)
		slices.Sort(have)
		if have = slices.Compact(have); !slices.Equal(have, want) {
			t.Errorf("read after %d %%: %v, want %v", percent, have, want)
		}
	}
}

// TestEpisodesUnite: what goes on when two ends are found to be each other's was told by
// their numbers, and in their episodes: the verdict names both.
func TestEpisodesUnite(t *testing.T) {
	var was []diagnose.Telling
	p := aPair(t)
	p.e = diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		p.said = append(p.said, fmt.Sprint("#", v.End.Number, " ", v.Episode, ".", v.Update, " ", v.Findings[0].Rule.Name))
		was = append(was, v.Was...)
		return nil
	})
	p.moves(0, tcp.SynSent, tcp.Established, 0)
	p.moves(1, tcp.SynSent, tcp.Established, 0)
	drops := func() {
		for range limits.Timeouts {
			c := p.ends[1]
			ev := &tcp.Event{Kind: tcp.KindDrop, Time: p.now, Cookie: c.Cookie, Reason: "NETFILTER_DROP"}
			conntest.Segment(tcp.DirIn, conntest.PA, 1, 100)(ev)
			if err := p.e.Take(&conn.Step{Event: ev, Conn: c}); err != nil {
				t.Fatal(err)
			}
		}
		p.wait(scaled(limits.Calm, 150))
	}
	drops()
	p.moves(0, tcp.Established, tcp.CloseWait, 0)
	drops()
	p.unite()
	p.moves(1, tcp.Established, tcp.Established, 0)
	p.moves(0, tcp.CloseWait, tcp.LastAck, 0)
	p.moves(0, tcp.LastAck, tcp.Close, 0)
	p.wait(time.Second)
	last := p.said[len(p.said)-1]
	if want := "#1 2.1 close-wait-leak"; last != want {
		t.Errorf("said was %q, want %q at last", p.said, want)
	}
	if !slices.Contains(was, diagnose.Telling{Number: 1}) {
		t.Errorf("it was told of before as %v", was)
	}
}
