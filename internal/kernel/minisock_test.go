package kernel_test

import (
	"slices"
	"testing"
	"time"

	"tcpstory/internal/kernel"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// closes makes connections of some closers and returns their →CLOSE, by the
// server's port.
func closes(t *testing.T, l *lab.Lab, family lab.Family, n int, closers ...*closer) (*traffic, []tcp.Event) {
	t.Helper()
	tr := &traffic{client: l.Host(lab.Client), server: l.Host(lab.Server), family: family, workers: 1, closers: closers}
	tr.prepare(t)
	var ends []tcp.Event
	s := follow(t, kernel.Config{States: true}, func(ev *tcp.Event) {
		if ev.Kind == tcp.KindState && ev.New == tcp.Close && ev.Old != tcp.Listen {
			ends = append(ends, *ev)
		}
	}, tr.client, tr.server)
	tr.run(t, n)
	quiet(t, tr.client, tr.server)
	s.drain()
	s.end()
	return tr, ends
}

// TestMinisocks: what is told to have taken over at →CLOSE is what the kernel's
// socket diagnosis shows; nothing has after a reset.
func TestMinisocks(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		l := newLab(t, lab.Pair)
		tr, ends := closes(t, l, family, 300, append(slices.Clone(fourWay), resetting...)...)
		told := map[tcp.Flow]bool{}
		for _, ev := range ends {
			plan := tr.ports[ev.Flow.Local.Port()]
			if plan == nil {
				plan = tr.ports[ev.Flow.Remote.Port()]
			}
			takesOver(t, plan.Name, &ev)
			if ev.Minisock != tcp.StateUnknown {
				told[ev.Flow] = true
			}
		}
		n := 0
		for _, h := range l.Hosts() {
			socks, err := h.Sockets(family)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range socks {
				if s.State != tcp.TimeWait {
					continue
				}
				if n++; !told[s.Flow] {
					t.Errorf("%v is in TIME_WAIT, and was not told to be", s.Flow)
				}
			}
		}
		if n != len(told) || n < 100 {
			t.Errorf("%d sockets in TIME_WAIT, %d minisocks told", n, len(told))
		}
	})
}

// takesOver holds one →CLOSE against how its connection was closed.
func takesOver(t *testing.T, name string, ev *tcp.Event) {
	t.Helper()
	want := []tcp.State{tcp.StateUnknown}
	switch {
	case ev.Errno != 0 || ev.Old != tcp.FinWait2 && ev.Old != tcp.Closing:
	case name == "client first" || name == "server first" || ev.Old == tcp.Closing:
		want = []tcp.State{tcp.TimeWait}
	case name == "orphans" || name == "both at once":
		want = []tcp.State{tcp.TimeWait, tcp.FinWait2}
	}
	if !slices.Contains(want, ev.Minisock) {
		t.Errorf("%s: %v→CLOSE (error %d) leaves %v, want one of %v", name, ev.Old, ev.Errno, ev.Minisock, want)
		return
	}
	if ev.Minisock == tcp.StateUnknown {
		if ev.Timer != (tcp.Timer{}) || ev.Expects != 0 {
			t.Errorf("%s: a timer of nothing: %+v", name, ev)
		}
		return
	}
	// tcp_fin_timeout is 60 s, too.
	if left := time.Duration(ev.Timer.Expires-ev.Timer.Now) * ev.Timer.Tick; (left - time.Minute).Abs() > 2*ev.Timer.Tick {
		t.Errorf("%s: %v→CLOSE: the timer of %v runs %v", name, ev.Old, ev.Minisock, left)
	}
	if ev.Expects == 0 || ev.RFC1337 {
		t.Errorf("%s: expects %d, shielded from resets: %v", name, ev.Expects, ev.RFC1337)
	}
}

// TestMinisockSettings: a table without room is told as such, and so is a host on
// which a RST does not end TIME_WAIT.
func TestMinisockSettings(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		l := newLab(t, lab.Pair)
		const room = 5
		for key, value := range map[string]string{"net.ipv4.tcp_max_tw_buckets": "5", "net.ipv4.tcp_rfc1337": "1"} {
			if err := l.Host(lab.Client).Sysctl(key, value); err != nil {
				t.Fatal(err)
			}
		}
		_, ends := closes(t, l, family, 20, fourWay[0])
		count := map[tcp.State]int{}
		for _, ev := range ends {
			if ev.Old == tcp.FinWait2 {
				count[ev.Minisock]++
			}
			if ev.RFC1337 != (ev.Minisock == tcp.TimeWait) {
				t.Errorf("%v→CLOSE leaves %v, shielded from resets: %v", ev.Old, ev.Minisock, ev.RFC1337)
			}
		}
		if count[tcp.TimeWait] != room || count[tcp.Close] < 15 || len(count) != 2 {
			t.Errorf("the table has room for %d: %v", room, count)
		}
	})
}

// TestSynAckTimers: a SYN-ACK that is sent again tells when the request socket's
// timer fires next. tcp_synack_retries is 1 here, but the client's SYNs come
// again, too.
func TestSynAckTimers(t *testing.T) {
	onEach(t, func(t *testing.T, family lab.Family) {
		s := actOut(t, "syn-recv", family)
		again := s.at(lab.Server, tcp.KindSynAckAgain)
		if len(again) == 0 {
			t.Fatal("no SYN-ACK was sent again")
		}
		for _, ev := range again {
			left := (time.Duration(ev.Timer.Expires-ev.Timer.Now) * ev.Timer.Tick).Round(10 * time.Millisecond)
			if left != time.Second && left != 2*time.Second && left != 4*time.Second {
				t.Errorf("SYN-ACK %d: the next time-out comes in %v", ev.Count, left)
			}
		}
	})
}
