package diagnose_test

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// dyingMisses are those of connections that are reset or forgotten, and the second
// numbers of rules that have more than one.
var dyingMisses = []nearMiss{
	{"rst-linger", "nor of one", nil, func(percent int) *scene {
		s := resting(percent)
		s.aborts()
		return s
	}},
	{"rst-by-peer", "nor of one", nil, func(percent int) *scene {
		s := resting(percent)
		s.aborted()
		return s
	}},
	{"rst-by-peer", "where it is the server's", nil, func(percent int) *scene {
		s := begin()
		s.inParts(2 * limits.Rest)
		s.Wait(scaled(4*limits.Rest, mirrored(percent)))
		s.aborted()
		return s
	}},
	{"rst-linger", "where it is the server's", nil, func(percent int) *scene {
		s := atServer()
		s.asked()
		s.acts(tcp.ViaRead)
		for range 2 {
			s.Wait(2 * limits.Rest)
			s.says(200)
			s.window(508)
		}
		s.Wait(scaled(4*limits.Rest, mirrored(percent)))
		s.aborts()
		return s
	}},
	{"slow-application", "since events were lost", nil, func(percent int) *scene {
		s := begin()
		s.see = []uint32{s.c.Netns, 0} // what is lost is nobody's
		s.answered()
		s.asks()
		s.loses()
		s.Wait(scaled(2*limits.Slow, percent))
		s.State(s.c, tcp.Established, tcp.Close, conntest.By(s.c.Task))
		return s
	}},
	{"slow-application", "from the request's last", nil, func(percent int) *scene { // which nobody reads
		s := atServer()
		s.asked()
		s.Wait(scaled(limits.Slow, percent))
		s.acts(tcp.ViaRead)
		return s
	}},
	{"middlebox-forgot", "idle", []string{"retransmit-timeout", "loss-timeouts"}, func(percent int) *scene {
		s := begin()
		s.see = []uint32{s.c.Netns, s.v.Netns}
		s.answered()
		s.confirmed()
		s.Wait(scaled(limits.Idle, percent))
		s.says(100)
		for i := range uint32(2) {
			s.Wait(200 * time.Millisecond << i)
			s.again(tcp.RetransmitRTO, i+1, 100)
		}
		s.Wait(time.Second)
		s.State(s.c, tcp.Established, tcp.Close, conntest.Errno(int32(unix.ETIMEDOUT)))
		return s
	}},
	{"slow-application", "no request", nil, func(percent int) *scene {
		s := begin()
		s.answered()
		s.says(int(limits.Aside) * percent / 100)
		s.window(508)
		s.Wait(2 * limits.Slow)
		s.window(508)
		return s
	}},
	{"nagle-delayed-ack", "each for", nil, func(percent int) *scene { // longer than any acknowledgement is delayed
		s := begin()
		for range 10 {
			s.stall(scaled(limits.StallMax, mirrored(percent)))
		}
		return s
	}},
	{"mtu-black-hole", "time-outs", nil, func(percent int) *scene {
		s := begin()
		s.answered()
		n := int(limits.Large)
		s.says(n)
		for i := range pick(percent, limits.HoleTimeouts) {
			s.Wait(300 * time.Millisecond << i)
			s.again(tcp.RetransmitRTO, i+1, n)
			s.Gets(s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq - uint32(n), Window: 508, Options: conntest.Sack})
		}
		return s
	}},
	{"loss", "fast", nil, func(percent int) *scene { // now and then
		s := begin()
		for range limits.Fast {
			s.says(1000)
			s.again(tcp.RetransmitFast, 0, 1000)
			s.window(508)
			s.Wait(scaled(limits.Spell, mirrored(percent)))
		}
		return s
	}},
	{"time-wait-pile", "connections", nil, func(percent int) *scene {
		n := limitOf("time-wait-pile", "connections") * percent / 100
		return piled(n, n*100/int(limits.PortShare)) // enough of the ports
	}},
}

// mirrored is for numbers of which more is healthier.
func mirrored(percent int) int { return 200 - percent }

// resting is a connection that has had its answer, and is at rest for a while.
func resting(percent int) *scene {
	s := begin()
	s.answered()
	s.confirmed()
	s.Wait(scaled(limits.Rest, mirrored(percent)))
	return s
}

// limitOf is a whole number as the table publishes it.
func limitOf(rule, of string) int {
	for _, l := range diagnose.RuleOf(rule).Limits(&limits) {
		if n, err := strconv.Atoi(l.Value); err == nil && strings.Contains(l.What, of) {
			return n
		}
	}
	panic(rule + " has no number " + of)
}

// piled is a client with n connections in TIME_WAIT to one destination, of so many ports.
func piled(n, ports int) *scene {
	c, v := conntest.Hosts(40000)
	s := &scene{Story: conntest.New(), c: c, v: v}
	s.Add(&tcp.Event{Kind: tcp.KindCounters, Netns: c.Netns, Stack: &tcp.Stack{LocalPorts: uint32(ports)}})
	for i := range n {
		one, _ := conntest.Hosts(uint16(20000 + i))
		s.State(one, tcp.FinWait2, tcp.Close, conntest.Left(tcp.TimeWait, time.Minute))
	}
	return s
}
