package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// sample is what the kernel's socket diagnosis, which ss prints, shows of a host
// at some moment between two times (nanoseconds since 1970).
type sample struct {
	netns    uint32
	family   lab.Family
	from, to int64
	states   map[tcp.Flow]tcp.State
}

// sampler looks at all sockets of some hosts, again and again.
type sampler struct {
	t     *testing.T
	hosts []*lab.Host
	stop  chan struct{}
	done  sync.WaitGroup

	mu      sync.Mutex
	samples []sample
}

// samplePause is how long a sampler rests between two looks.
const samplePause = 20 * time.Millisecond

func sampleStates(t *testing.T, hosts ...*lab.Host) *sampler {
	s := &sampler{t: t, hosts: hosts, stop: make(chan struct{})}
	s.done.Go(func() {
		for {
			for _, h := range s.hosts {
				s.look(h, lab.IPv4)
				s.look(h, lab.IPv6)
			}
			select {
			case <-s.stop:
				return
			case <-time.After(samplePause):
			}
		}
	})
	return s
}

func (s *sampler) look(h *lab.Host, f lab.Family) {
	shot := sample{netns: h.Netns(), family: f, from: time.Now().UnixNano(), states: map[tcp.Flow]tcp.State{}}
	socks, err := h.Sockets(f)
	if err != nil {
		s.t.Errorf("look at the %s's sockets: %v", h.Name(), err)
		return
	}
	shot.to = time.Now().UnixNano()
	for _, sock := range socks {
		shot.states[sock.Flow] = sock.State
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, shot)
}

// end stops looking and returns all samples.
func (s *sampler) end() []sample {
	close(s.stop)
	s.done.Wait()
	return s.samples
}

// standing counts the sockets that the last look at each host has found in a
// state, as far as they are of interest.
func (s *sampler) standing(st tcp.State, of func(tcp.Flow) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shot := range s.samples[max(0, len(s.samples)-2*len(s.hosts)):] {
		for flow, have := range shot.states {
			if have == st && of(flow) {
				n++
			}
		}
	}
	return n
}

// change is a state that a tracer tells, from a time on.
type change struct {
	at    int64
	state tcp.State // Close: nothing is there
	told  time.Time // when it could be read
	from  string    // what it was inferred from
}

// course are the changes of one connection's end, in their order.
type course []change

// during are the states that the end had at some time between two.
func (c course) during(from, to int64) (states []tcp.State) {
	now := tcp.Close
	for _, ch := range c {
		if ch.at > to {
			break
		}
		if ch.at > from {
			states = append(states, now)
		}
		now = ch.state
	}
	return append(states, now)
}

// spot is a tuple in a namespace.
type spot struct {
	netns uint32
	flow  tcp.Flow
}

// courses folds a tracer's JSON into the course of each end, by tuple, which
// several connections may have had.
func courses(t *testing.T, p *proc) map[spot][]course {
	t.Helper()
	type end struct {
		spot
		conn uint64
	}
	byEnd := map[end]course{}
	lines, _, _ := p.out.snapshot()
	for _, l := range lines {
		if gap.MatchString(l.text) {
			t.Logf("%s", l.text)
			continue
		}
		var ev happening
		object(t, l.text)
		if err := json.Unmarshal([]byte(l.text), &ev); err != nil {
			t.Fatal(err)
		}
		if ev.Kind != tcp.KindState.String() || ev.Role == "listener" || ev.RemotePort == 0 {
			continue
		}
		ch := change{at: ev.Time, state: stateNamed(t, ev.New), told: l.at, from: ev.From}
		if ev.Remains != "" {
			ch.state = stateNamed(t, ev.Remains)
		}
		at := end{spot{ev.Netns, ev.flow(t)}, ev.Conn}
		byEnd[at] = append(byEnd[at], ch)
	}
	byPlace := map[spot][]course{}
	for at, c := range byEnd {
		slices.SortStableFunc(c, func(a, b change) int { return int(a.at - b.at) })
		byPlace[at.spot] = append(byPlace[at.spot], c)
	}
	return byPlace
}

func (ev *happening) flow(t *testing.T) tcp.Flow {
	t.Helper()
	end := func(addr string, port uint16) netip.AddrPort {
		a, err := netip.ParseAddr(addr)
		if err != nil {
			t.Fatal(err)
		}
		return netip.AddrPortFrom(a, port)
	}
	return tcp.Flow{Local: end(ev.LocalAddr, ev.LocalPort), Remote: end(ev.RemoteAddr, ev.RemotePort)}
}

// margin is how far from a change a sample may show the state before or after.
const margin = 100 * time.Millisecond

// untraced are the states of which no tracepoint tells; of FIN_WAIT2, not when it is
// an orphan's.
var untraced = []tcp.State{tcp.SynRecv, tcp.TimeWait, tcp.FinWait2}

// comparison holds a tracer's word against samples.
type comparison struct {
	courses map[spot][]course
	asked   func(tcp.Flow) bool // the connections that this tracer has to be right about
	late    time.Duration       // a half-open connection may be unknown for so long

	since map[spot]int64    // half-open, and not told yet
	seen  map[tcp.State]int // how often a socket was seen in a state that was told
	wrong []string
}

// hold compares every sample: whoever is seen in an untraced state was told to be
// in it about that time, and whoever was told to be in it all that time is seen.
func (c *comparison) hold(samples []sample) {
	c.since, c.seen = map[spot]int64{}, map[tcp.State]int{}
	for i := range samples {
		shot := &samples[i]
		from, to := shot.from-int64(margin), shot.to+int64(margin)
		for flow, have := range shot.states {
			if at := (spot{shot.netns, flow}); c.asked(flow) && slices.Contains(untraced, have) {
				c.isTold(shot, at, have, from, to)
			}
		}
		for at := range c.courses {
			if at.netns == shot.netns && (shot.family == lab.IPv4) == at.flow.Local.Addr().Is4() && c.asked(at.flow) {
				c.isSeen(shot, at, from, to)
			}
		}
	}
}

func (c *comparison) isTold(shot *sample, at spot, have tcp.State, from, to int64) {
	for _, course := range c.courses[at] {
		if slices.Contains(course.during(from, to), have) {
			c.seen[have]++
			delete(c.since, at)
			return
		}
	}
	if have == tcp.SynRecv && c.late > 0 {
		if c.since[at] == 0 {
			c.since[at] = shot.from
		}
		if shot.from-c.since[at] < int64(c.late) {
			return
		}
	}
	c.errs(shot, at, "seen in %v, told %v", have, c.courses[at])
}

func (c *comparison) isSeen(shot *sample, at spot, from, to int64) {
	have := shot.states[at.flow]
	if have != tcp.SynRecv {
		delete(c.since, at)
	}
	for _, course := range c.courses[at] {
		told := course.during(from, to)
		if len(told) == 1 && slices.Contains(untraced, told[0]) && have != told[0] {
			c.errs(shot, at, "told to be in %v all the time, seen in %v: %v", told[0], have, c.courses[at])
		}
	}
}

func (c *comparison) errs(shot *sample, at spot, format string, args ...any) {
	when := time.Unix(0, shot.from).UTC().Format("15:04:05.000000")
	c.wrong = append(c.wrong, fmt.Sprintf("%s (%v) %v > %v: %s", when, time.Duration(shot.to-shot.from),
		at.flow.Local, at.flow.Remote, fmt.Sprintf(format, args...)))
}

// String implements fmt.Stringer.
func (ch change) String() string {
	return time.Unix(0, ch.at).UTC().Format("15:04:05.000000 ") + ch.state.String() + " " + ch.from
}
