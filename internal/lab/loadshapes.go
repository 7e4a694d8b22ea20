package lab

import (
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Shape is what a healthy connection of a load does in its life.
type Shape string

// The shapes. In each, nothing is wrong.
const (
	ShapeShort        Shape = "short"         // a request, an answer, the client closes
	ShapeServerCloses Shape = "server-closes" // the same, the server closes first
	ShapeLong         Shape = "long"          // a request now and then
	ShapeIdle         Shape = "idle"          // of a pool: used, left alone, used again
	ShapeHalfClosed   Shape = "half-closed"   // the client has said all, and listens on
	ShapeLongPoll     Shape = "long-poll"     // the answer comes when there is one
	ShapeKeepAlive    Shape = "keep-alive"    // requests, then the server has waited long enough
	ShapeOneWay       Shape = "one-way"       // many bytes in one direction
	ShapeRequests     Shape = "requests"      // many small ones, one after another
	ShapeSlow         Shape = "slow"          // the reader takes its time, and is never full
	ShapeTogether     Shape = "together"      // both ends close at the same time
	ShapeProbe        Shape = "probe"         // a health check: connects, and resets
	ShapeDropped      Shape = "dropped"       // used, left alone, and reset by the client
	ShapeTimedOut     Shape = "timed-out"     // the same by the server
)

// Shapes are all of them that end by FINs.
func Shapes() []Shape {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(shapes)), func(s Shape) bool { return slices.Contains(abrupt[:], s) })
}

// abrupt are those that end by a RST, at a time when nothing is lost by it.
var abrupt = [...]Shape{ShapeProbe, ShapeDropped, ShapeTimedOut}

// AbruptShapes are those that end by a RST.
func AbruptShapes() []Shape { return abrupt[:] }

// pair is the two ends of a connection.
type pair struct{ client, server int }

// scene is something that a connection does, after a pause.
type scene struct {
	after time.Duration
	act   func(*worker, pair) error
}

// pause is how long connections of the long shapes are left alone. A worker that
// the machine keeps from its work makes it longer; it is far from the seconds
// after which anybody wonders.
const pause = 300 * time.Millisecond

// shapes are the lives. The last scene closes both ends.
var shapes = map[Shape][]scene{
	ShapeShort:        {{0, roundTrips(1)}, {0, closeClientFirstAct}},
	ShapeServerCloses: {{0, roundTrips(1)}, {0, closeServerFirstAct}},
	ShapeLong: {{0, roundTrips(1)}, {pause, roundTrips(2)}, {pause, roundTrips(1)}, {pause, roundTrips(3)},
		{pause, closeClientFirstAct}},
	ShapeIdle:       {{0, roundTrips(1)}, {4 * pause, roundTrips(1)}, {4 * pause, closeClientFirstAct}},
	ShapeHalfClosed: {{0, asksAndShutsDown}, {pause, answers}, {pause, answers}, {0, closeServerFirstAct}},
	ShapeLongPoll:   {{0, asks}, {2 * pause, answers}, {0, closeClientFirstAct}},
	ShapeKeepAlive:  {{0, roundTrips(4)}, {pause, roundTrips(1)}, {2 * pause, closeServerFirstAct}},
	ShapeOneWay:     {{0, pours(32)}, {0, closeClientFirstAct}},
	ShapeRequests:   {{0, roundTrips(20)}, {0, closeClientFirstAct}},
	ShapeSlow:       {{0, piles(4)}, {pause / 2, sips(2)}, {pause / 2, sips(2)}, {0, closeServerFirstAct}},
	ShapeTogether:   {{0, roundTrips(1)}, {0, closeTogether}},
	ShapeProbe:      {{0, resetByClient}},
	ShapeDropped:    {{0, roundTrips(2)}, {4 * pause, resetByClient}},
	ShapeTimedOut:   {{0, roundTrips(1)}, {4 * pause, resetByServer}},
}

// roundTrips are requests with their answers.
func roundTrips(n int) func(*worker, pair) error {
	return func(w *worker, p pair) error {
		for range n {
			if err := w.exchange(p.client, p.server); err != nil {
				return err
			}
		}
		return nil
	}
}

func asks(w *worker, p pair) error    { return pass(p.client, p.server, w.buf) }
func answers(w *worker, p pair) error { return pass(p.server, p.client, w.buf) }

func asksAndShutsDown(w *worker, p pair) error {
	if err := asks(w, p); err != nil {
		return err
	}
	return unix.Shutdown(p.client, unix.SHUT_WR)
}

// pours sends many bytes to the server, which reads them as they come.
func pours(n int) func(*worker, pair) error {
	return func(w *worker, p pair) error {
		piece := make([]byte, 8<<10)
		for range n {
			if err := pass(p.client, p.server, piece); err != nil {
				return err
			}
		}
		return nil
	}
}

// piles has answers lie unread at the client; sips takes some of them.
func piles(n int) func(*worker, pair) error {
	return func(w *worker, p pair) error {
		for range n {
			if m, err := unix.Write(p.server, w.buf); err != nil || m != len(w.buf) {
				return fmt.Errorf("write: %d of %d bytes: %w", m, len(w.buf), err)
			}
		}
		return nil
	}
}

func sips(n int) func(*worker, pair) error {
	return func(w *worker, p pair) error {
		for range n {
			if err := readFull(p.client, w.buf); err != nil {
				return err
			}
		}
		return nil
	}
}

func closeClientFirstAct(_ *worker, p pair) error { return closeBoth(p.client, p.server) }
func closeServerFirstAct(_ *worker, p pair) error { return closeBoth(p.server, p.client) }

// closeBoth closes the second end when it has read the end of the first, as
// programs do that wait for it.
func closeBoth(first, second int) error {
	if err := unix.Close(first); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	var b [1]byte
	if n, err := unix.Read(second, b[:]); err != nil || n != 0 {
		return errors.Join(fmt.Errorf("read the end: %d bytes: %w", n, err), unix.Close(second))
	}
	return unix.Close(second)
}

// closeTogether closes the second end whether or not the first one's FIN is there.
func closeTogether(_ *worker, p pair) error {
	return errors.Join(unix.Close(p.client), unix.Close(p.server))
}

func resetByClient(_ *worker, p pair) error { return reset(p.client, p.server) }
func resetByServer(_ *worker, p pair) error { return reset(p.server, p.client) }

// reset has one end reset the connection, and closes the other when it knows.
func reset(first, second int) error {
	if err := unix.SetsockoptLinger(first, unix.SOL_SOCKET, unix.SO_LINGER, &abortive); err != nil {
		return errors.Join(fmt.Errorf("set SO_LINGER: %w", err), unix.Close(first), unix.Close(second))
	}
	if err := unix.Close(first); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	var b [1]byte
	if n, err := unix.Read(second, b[:]); !errors.Is(err, unix.ECONNRESET) {
		return errors.Join(fmt.Errorf("read the reset: %d bytes: %w", n, err), unix.Close(second))
	}
	return unix.Close(second)
}

// parked is a connection between two scenes.
type parked struct {
	pair
	due  time.Time
	left []scene
}

// parking are the parked ones, the earliest first.
type parking []parked

func (p parking) Len() int           { return len(p) }
func (p parking) Less(i, j int) bool { return p[i].due.Before(p[j].due) }
func (p parking) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *parking) Push(x any)        { *p = append(*p, x.(parked)) }
func (p *parking) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	*p = (*p)[:last]
	return x
}

// live plays scenes until one has to wait.
func (w *worker) live(p parked) error {
	for len(p.left) > 0 {
		if wait := p.left[0].after; wait > 0 && p.due.IsZero() {
			p.due = time.Now().Add(wait)
			heap.Push(&w.parking, p)
			return nil
		}
		p.due = time.Time{}
		if err := p.left[0].act(w, p.pair); err != nil {
			return err
		}
		p.left = p.left[1:]
	}
	return nil
}

// resume goes on with those whose pause is over.
func (w *worker) resume(now time.Time) error {
	for len(w.parking) > 0 && !w.parking[0].due.After(now) {
		if err := w.live(heap.Pop(&w.parking).(parked)); err != nil {
			return err
		}
	}
	return nil
}

// finish lets the parked come to their end.
func (w *worker) finish() error {
	for len(w.parking) > 0 {
		time.Sleep(time.Until(w.parking[0].due))
		if err := w.resume(time.Now()); err != nil {
			return err
		}
	}
	return nil
}
