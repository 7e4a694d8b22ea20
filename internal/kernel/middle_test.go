package kernel_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/kernel"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// TestMiddleOfStreams sends streams both ways, with pauses and lost segments, and
// holds what Config.SkipMiddle leaves out against what bpf/middle.h promises, by
// the story of a source that leaves out nothing.
func TestMiddleOfStreams(t *testing.T) {
	for _, topology := range []lab.Topology{lab.Pair, lab.Routed} {
		for _, f := range lab.Families {
			t.Run(fmt.Sprint(topology, "/", f), func(t *testing.T) { middleOf(t, topology, f) })
		}
	}
}

func middleOf(t *testing.T, topology lab.Topology, f lab.Family) {
	l := newLab(t, topology)
	hosts := []*lab.Host{l.Host(lab.Client), l.Host(lab.Server)}
	var all, some []sighted
	c := kernel.Config{Packets: true, Ether: onlyTCP(t)}
	whole := follow(t, c, func(ev *tcp.Event) { all = keepSighted(all, ev) }, hosts...)
	c.SkipMiddle = true
	thin := follow(t, c, func(ev *tcp.Event) { some = keepSighted(some, ev) }, hosts...)
	tr := &traffic{client: hosts[0], server: hosts[1], family: f, workers: 1, closers: fourWay[:1]}
	tr.prepare(t)
	lane := tr.lanes[0][0]
	if err := tr.client.Within(func() error { return threeStreams(lane, hosts[1]) }); err != nil {
		t.Fatal(err)
	}
	quiet(t, hosts...)
	thin.drain()
	whole.drain()
	skipped := thin.source.InTheMiddle()
	thin.end()
	whole.end()
	left := leftOut(t, all, some)
	if uint64(left) != skipped || left+len(some) != len(all) {
		t.Errorf("%d told and %d left out of %d; the programs say that they left out %d", len(some), left, len(all), skipped)
	}
	if left < len(all)/2 {
		t.Errorf("only %d of %d left out: these were streams", left, len(all))
	}
	t.Logf("%d of %d left out", left, len(all))
}

// threeStreams sends there, back, and there again, losing a segment now and then.
func threeStreams(l *lane, loser *lab.Host) error {
	free, err := onOneCPU()
	if err != nil {
		return err
	}
	defer free()
	fd, err := newSocket(l.server.Addr())
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, sockaddr(l.server)); err != nil {
		return err
	}
	p := &pair{client: fd}
	if p.accept(l.listener); p.err != nil {
		return p.err
	}
	var errs []error
	for i, way := range [][2]int{{p.client, p.server}, {p.server, p.client}, {p.client, p.server}} {
		if i == 1 {
			time.Sleep(20 * time.Millisecond) // what is tested: a pause
		}
		for range 4 {
			fault, err := loser.Break(lab.Rule{Hook: lab.Input, Data: true, First: 1})
			errs = append(errs, err, pump(way[0], way[1], 24<<20))
			if err == nil {
				errs = append(errs, fault.Lift())
			}
		}
	}
	return errors.Join(append(errs, unix.Close(p.client), unix.Close(p.server))...)
}

// onOneCPU ties the calling goroutine to a CPU, where all that follows from what it
// does happens, too. What two CPUs do at once two sources may tell in two orders. The
// thread ends with the goroutine, or is let go.
func onOneCPU() (free func(), err error) {
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before) // what was allowed before
		runtime.UnlockOSThread()
	}, unix.SchedSetaffinity(0, &one)
}

// pump sends n bytes from one end to the other.
func pump(from, to, n int) error {
	received := make(chan error, 1)
	go func() {
		free, err := onOneCPU()
		if err != nil {
			received <- err
			return
		}
		defer free()
		buffer := make([]byte, 256<<10)
		for left := n; left > 0; {
			k, err := unix.Read(to, buffer[:min(left, len(buffer))])
			if err != nil || k == 0 {
				received <- fmt.Errorf("%d bytes short: %v", left, err)
				return
			}
			left -= k
		}
		received <- nil
	}()
	piece := bytes.Repeat([]byte("middle"), 10<<10)
	for left := n; left > 0; {
		k, err := unix.Write(from, piece[:min(left, len(piece))])
		if err != nil {
			return err
		}
		left -= k
	}
	return <-received
}

// sighted is a packet as one source has told it.
type sighted struct {
	way      way
	time     int64
	flags    tcp.Flags
	seq, ack uint32
	window   uint16
	payload  uint32
}

// way is a direction of a connection, as one namespace sees it.
type way struct {
	netns uint32
	flow  tcp.Flow
}

func (w way) back() way {
	return way{w.netns, tcp.Flow{Local: w.flow.Remote, Remote: w.flow.Local}}
}

func keepSighted(list []sighted, ev *tcp.Event) []sighted {
	p := &ev.Packet
	if ev.Kind != tcp.KindPacket || !p.IsTCP {
		return list
	}
	return append(list, sighted{way{ev.Netns, p.Flow}, ev.Time, p.Flags, p.Seq, p.Ack, p.Window, uint32(p.PayloadLen)})
}

// same: told by two sources, each with its own reading of the clock.
func (s sighted) same(other sighted) bool {
	s.time, other.time = 0, 0
	return s == other
}

// row is how far a direction has come.
type row struct {
	last sighted
	next uint32 // the number behind all that came
	told int64  // when the latest was told
	row  int    // told since something was not in order
}

func (r *row) comes(s sighted) {
	next := s.seq + s.payload
	if s.flags.Has(tcp.SYN) {
		next++
	}
	if r.last.time == 0 || int32(next-r.next) > 0 {
		r.next = next
	}
	r.last = s
}

// leftOut walks through the whole story and checks that each packet that is missing
// from the other may be. It returns how many are.
func leftOut(t *testing.T, all, some []sighted) (n int) {
	rows, speaker, told := map[way]*row{}, map[way]way{}, map[way][]sighted{}
	for _, s := range some {
		told[s.way] = append(told[s.way], s)
	}
	rowOf := func(w way) *row {
		if rows[w] == nil {
			rows[w] = &row{}
		}
		return rows[w]
	}
	for _, s := range all {
		mine, its := rowOf(s.way), rowOf(s.way.back())
		key := s.way
		if s.way.flow.Local.Compare(s.way.flow.Remote) > 0 {
			key = s.way.back()
		}
		why := remarkable(s, mine, speaker[key] == s.way)
		last := s.payload == 0 && s.ack == its.next // of what is under way
		if list := told[s.way]; len(list) > 0 && s.same(list[0]) {
			told[s.way] = list[1:]
			mine.told = s.time
			if mine.row++; why != "" {
				mine.row, its.row = 1, 0
			}
		} else if n++; why != "" || last || mine.row < 32 || s.time-mine.told > int64(12*time.Millisecond) {
			t.Fatalf("%+v is left out, %d told in a row before, the latest %v before; the last of what is under way: %v; %s", s, mine.row, time.Duration(s.time-mine.told), last, why)
		}
		mine.comes(s)
		if s.payload > 0 {
			speaker[key] = s.way
		}
	}
	for _, list := range told {
		if len(list) > 0 {
			t.Fatalf("%+v is not in the whole story at its place", list[0])
		}
	}
	return n
}

// remarkable says why a row begins anew with a packet; speaks: its end has sent payload last.
func remarkable(s sighted, mine *row, speaks bool) string {
	const pause = 6 * time.Millisecond // 5, and what two readings of the clock differ by
	prev := mine.last
	switch moved := int32(s.ack - prev.ack); {
	case s.flags&^(tcp.ACK|tcp.PSH) != 0:
		return "its flags"
	case s.window == 0:
		return "its window is closed"
	case prev.time == 0 || s.seq != mine.next:
		return "not the next number"
	case s.time-prev.time > int64(pause):
		return "after a pause"
	case s.payload > 0 && !speaks:
		return "another speaks"
	case s.payload > 0 && moved != 0:
		return "data that acknowledges"
	case s.payload == 0 && moved <= 0:
		return "acknowledges nothing new"
	}
	return ""
}
