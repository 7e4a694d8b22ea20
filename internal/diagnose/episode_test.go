package diagnose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// ownWindow tells the other end how much it may send.
func (s *scene) ownWindow(n uint16) {
	s.Sends(s.c, conntest.Header{Flags: conntest.A, Seq: s.seq, Ack: s.ack, Window: n, Options: conntest.Stamp})
}

// comings act troubles out that come and go, on an open connection.
var comings = map[string]func(*scene){
	"slow-application": func(s *scene) {
		s.asks()
		s.Wait(scaled(limits.Slow, 120))
		s.hears(200)
		s.confirmed()
	},
	"own-zero-window": func(s *scene) {
		s.ownWindow(0)
		s.Wait(scaled(limits.After, 120))
		s.ownWindow(500)
	},
	"peer-zero-window": func(s *scene) {
		s.window(0)
		s.Sends(s.c, conntest.Header{Flags: conntest.A, Seq: s.seq - 1, Ack: s.ack, Window: 502, Options: conntest.Stamp})
		s.window(0)
		s.Wait(scaled(limits.After, 120))
		s.window(500)
	},
	"nagle-delayed-ack": func(s *scene) {
		for range limits.Stalls {
			s.stall(40 * time.Millisecond)
		}
	},
	"mtu-black-hole": func(s *scene) {
		n := int(limits.Large) + int(s.seq)/100 // larger than what was acknowledged, in pieces
		s.says(n)
		for i := range limits.HoleTimeouts {
			s.Wait(300 * time.Millisecond << i)
			s.again(tcp.RetransmitRTO, i+1, n)
			s.Gets(s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq - uint32(n), Window: 508, Options: conntest.Sack})
		}
		s.Wait(300 * time.Millisecond)
		s.window(508)
		s.hears(200)
		s.confirmed()
	},
	"loss": func(s *scene) {
		for range limits.Fast {
			s.says(1000)
			s.again(tcp.RetransmitFast, 0, 1000)
			s.window(508)
		}
		s.hears(200)
		s.confirmed()
	},
	"loss-timeouts": func(s *scene) {
		s.says(100)
		for i := range limits.Timeouts {
			s.Wait(200 * time.Millisecond << i)
			s.again(tcp.RetransmitRTO, i+1, 100)
		}
		s.window(508)
		s.hears(200)
		s.confirmed()
	},
	"tail-loss": func(s *scene) {
		for range limits.Probes {
			s.probed()
		}
		s.hears(200)
		s.confirmed()
	},
	"unacceptable-segments": func(s *scene) {
		for range limits.Timeouts {
			s.Kernel(s.c, tcp.KindDrop, conntest.Reason("TCP_RFC7323_PAWS"), conntest.Segment(tcp.DirIn, conntest.PA, s.ack, 100))
		}
	},
	"dropped-locally": func(s *scene) {
		for range limits.Timeouts {
			s.Kernel(s.c, tcp.KindDrop, conntest.Reason("NETFILTER_DROP"), conntest.Segment(tcp.DirIn, conntest.PA, s.ack, 100))
		}
	},
}

// episodes are the verdicts of a story, as episode and update, with their first rule and
// numbers, and which of them were the last word of it.
func episodes(t *testing.T, s *scene) (list []string) {
	t.Helper()
	e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		f := v.Findings[0]
		last := ""
		if !f.Standing {
			last = " last"
		}
		list = append(list, fmt.Sprint(v.Episode, ".", v.Update, " ", f.Rule.Name, " ", f.Numbers, last))
		for _, c := range v.Evidence {
			if v.Update == 0 && v.Time-c.Time > int64(limits.Calm) {
				t.Errorf("%s: evidence of %v before", f.Rule.Name, time.Duration(v.Time-c.Time))
			}
		}
		return nil
	})
	table := conn.New(conn.Options{})
	for _, ev := range s.Events {
		if ev.Netns == s.c.Netns || ev.Kind == tcp.KindGap {
			if err := table.Tell(ev, e.Take); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := e.End(); err != nil {
		t.Fatal(err)
	}
	return list
}

// passes lets so much time pass on an idle connection.
func (s *scene) passes(d time.Duration) {
	s.Wait(d)
	s.Kernel(s.c, tcp.KindOwner)
}

// TestEpisodes: a trouble that comes again after a healthy spell is told anew, counted
// anew, and with its own evidence; one that comes sooner is the same.
func TestEpisodes(t *testing.T) {
	for rule, act := range comings {
		t.Run(rule, func(t *testing.T) {
			run := func(pause time.Duration) []string {
				s := begin()
				s.answered()
				s.confirmed()
				act(s)
				s.passes(pause)
				act(s)
				s.passes(2 * limits.Calm)
				return episodes(t, s)
			}
			again := run(scaled(limits.Calm, 120))
			var first, second []string
			for _, v := range again {
				if v[0] == '0' {
					first = append(first, v[1:])
				} else {
					second = append(second, v[1:])
				}
			}
			for _, list := range [][]string{first, second} {
				want := ".0 " + rule + " "
				if len(list) == 0 || !strings.HasPrefix(list[0], want) || len(list) > 2 ||
					!strings.HasSuffix(list[len(list)-1], " last") && rule != "mtu-black-hole" { // that it is over is not seen
					t.Fatalf("%q", again)
				}
				if bare := strings.TrimSuffix(list[0], " last"); bare != strings.TrimSuffix(first[0], " last") {
					t.Errorf("%q is counted otherwise than %q", list[0], first[0])
				}
			}
			for _, v := range run(scaled(limits.Calm, 80)) {
				if v[0] != '0' {
					t.Errorf("too soon: %q", v)
				}
			}
		})
	}
	for i := range diagnose.Rules {
		r := &diagnose.Rules[i]
		published := r.Limits != nil && slices.ContainsFunc(r.Limits(&limits), func(l diagnose.Limit) bool { return l.What == "told anew when it was gone for" })
		if _, acted := comings[r.Name]; acted != published {
			t.Errorf("%s: publishes when it speaks anew %v, is acted out %v", r.Name, published, acted)
		}
	}
}

// TestEpisodeHasLastWord: what came after the first word of an episode is in its last,
// and what goes on again for as long as would have ended it is told before.
func TestEpisodeHasLastWord(t *testing.T) {
	slow := comings["slow-application"]
	s := begin()
	s.answered()
	for range 3 {
		slow(s)
		s.Wait(10 * time.Second)
	}
	s.passes(2 * limits.Calm)
	if have, want := episodes(t, s), []string{"0.0 slow-application [{answers 1}]", "0.1 slow-application [{answers 1}] last", "0.2 slow-application [{answers 3}] last"}; !slices.Equal(have, want) {
		t.Errorf("%q, want %q", have, want)
	}
	s = begin()
	s.answered()
	closed := comings["own-zero-window"]
	closed(s)
	s.Wait(10 * time.Second)
	closed(s)
	s.Wait(10 * time.Second)
	s.ownWindow(0)
	s.passes(5 * limits.Calm)
	if have, want := episodes(t, s), []string{"0.0 own-zero-window [{probes 0}]", "0.1 own-zero-window [{probes 0}] last", "0.2 own-zero-window [{probes 0}]"}; !slices.Equal(have, want) {
		t.Errorf("%q, want %q", have, want)
	}
}

// TestEpisodeWithoutWord: what was told as going on, and is so no more though nothing was
// counted, is over, too.
func TestEpisodeWithoutWord(t *testing.T) {
	s := begin()
	s.answered()
	for range 2 {
		s.asks()
		s.Wait(scaled(limits.Slow, 120))
		s.says(10) // what the client says now is no answer, and needs none
		s.hears(0)
		s.loses()
		s.ack += 10
		s.passes(scaled(limits.Calm, 120))
		s.passes(scaled(limits.Calm, 120))
		s.seq, s.ack = s.seq+10, s.ack+10
		s.answered()
	}
	var firsts int
	for _, v := range episodes(t, s) {
		if v[1:3] == ".0" {
			firsts++
		}
	}
	if firsts != 2 {
		t.Errorf("%d first words: %q", firsts, episodes(t, s))
	}
}

// TestLossOfLate: a bad minute of a connection that went well for hours is told: what it
// is held against is what was sent of late. A few losses in the stream that goes on are
// no more than they were.
func TestLossOfLate(t *testing.T) {
	stream := func(s *scene, d time.Duration, each time.Duration) {
		for range int(d / each) {
			s.says(1000)
			s.window(508)
			s.Wait(each)
		}
		s.hears(200)
		s.confirmed()
	}
	s := begin()
	s.answered()
	stream(s, 2*time.Minute, 20*time.Millisecond) // 6,000
	s.passes(time.Hour)
	comings["loss"](s)
	s.passes(time.Second)
	if have := episodes(t, s); len(have) == 0 {
		t.Error("a bad minute after an hour is not told")
	}
	s = begin()
	s.answered()
	for range 3 {
		stream(s, 2*time.Minute, 20*time.Millisecond)
		comings["loss"](s)
		stream(s, 2*time.Minute, 20*time.Millisecond)
	}
	if have := episodes(t, s); len(have) != 0 {
		t.Errorf("4 losses of 6,000 segments: %q", have)
	}
}

// TestCrowdCountsEpisodes: a connection that is counted in a crowd is counted again when
// it is in trouble anew, and not before.
func TestCrowdCountsEpisodes(t *testing.T) {
	const n = 10
	s := conntest.New()
	all := make([]*scene, n)
	for i := range all {
		c, v := conntest.Hosts(uint16(20000 + i))
		all[i] = &scene{Story: s, c: c, v: v, seq: 1001, ack: 5001, win: 502}
		s.Handshake(c, v)
		all[i].answered()
		all[i].confirmed()
	}
	for range 2 {
		for range 2 {
			for _, one := range all {
				comings["loss"](one)
			}
			s.Wait(limits.Calm / 2)
		}
		all[0].passes(limits.Calm)
	}
	have := countedOf(t, s)
	if want := []string{"7 loss 0", "7 loss 0"}; !slices.Equal(have.crowds, want) {
		t.Errorf("%+v, want %q", have, want)
	}
}

// TestEpisodeOfBothEnds: what one end's trouble explains of the other end is over with
// it, and is not said when the explanation is.
func TestEpisodeOfBothEnds(t *testing.T) {
	s := begin()
	both := func(from, to *conntest.Socket, h conntest.Header) {
		s.Sends(from, h)
		s.Wait(300 * time.Millisecond) // more than what is looked at together
		s.Gets(to, h)
	}
	shut := conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq, Options: conntest.Stamp}
	probe := conntest.Header{Flags: conntest.A, Seq: s.seq - 1, Ack: s.ack, Window: 502, Options: conntest.Stamp}
	open := shut
	open.Window = 508
	for range 2 {
		both(s.v, s.c, shut)
		both(s.c, s.v, probe)
		both(s.v, s.c, shut)
		s.Wait(scaled(limits.After, 120))
		both(s.v, s.c, open)
		s.passes(2 * limits.Calm)
	}
	const rule = "own-zero-window"
	if have := toldOfBoth(t, s); len(have) != 4 || slices.ContainsFunc(have, func(r string) bool { return r != rule }) {
		t.Errorf("%v, want %s, twice, each with its last word", have, rule)
	}
}

// TestGapEndsNoEpisode: a wait of which a gap leaves in doubt whether it goes on is not
// over, and is not told anew when numbers prove that it does.
func TestGapEndsNoEpisode(t *testing.T) {
	s := begin()
	s.answered()
	s.confirmed()
	s.asks()
	s.Wait(scaled(limits.Slow+limits.After, 120))
	s.loses()
	s.passes(scaled(limits.Calm, 240))
	s.window(508)
	s.passes(scaled(limits.Calm, 120))
	s.hears(200)
	s.confirmed()
	s.passes(2 * limits.Calm)
	have := episodes(t, s)
	if len(have) < 2 || slices.ContainsFunc(have, func(v string) bool { return v[0] != '0' }) || !strings.HasSuffix(have[len(have)-1], " last") {
		t.Errorf("%q", have)
	}
}

// TestLateBeginningEndsEpisodes: what was said of a connection that came about late does
// not keep what is said of it later in one episode.
func TestLateBeginningEndsEpisodes(t *testing.T) {
	c, v := conntest.Hosts(40000)
	s := &scene{Story: conntest.New(), c: c, v: v, seq: 1001, ack: 5001, win: 502}
	s.State(c, tcp.Close, tcp.SynSent, conntest.By(c.Task))
	s.calls()
	s.Wait(scaled(limits.After, 120))
	s.calls()
	s.Gets(c, conntest.Header{Flags: conntest.SA, Seq: 5000, Ack: 1001, Window: 65160, Options: conntest.SynOptions})
	s.State(c, tcp.SynSent, tcp.Established)
	s.answered()
	s.confirmed()
	for range 2 {
		comings["slow-application"](s)
		s.passes(scaled(limits.Calm, 120))
	}
	var rules []string
	for _, v := range episodes(t, s) {
		if f := strings.Fields(v); strings.HasSuffix(f[0], ".0") {
			rules = append(rules, f[0]+" "+f[1])
		}
	}
	if want := []string{"0.0 syn-unanswered", "1.0 slow-application"}; !slices.Equal(rules, want) {
		t.Errorf("%q, want %q: %q", rules, want, episodes(t, s))
	}
}
