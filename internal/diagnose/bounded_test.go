package diagnose_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMillion: after very many connections (with TCPSTORY_LONG a million), in trouble
// each, and one in ten in a namespace of its own, as much memory is in use as after a few.
func TestMillion(t *testing.T) {
	const first, slack = 100_000, 4 << 20
	all := 300_000
	if os.Getenv("TCPSTORY_LONG") != "" {
		all = 1_000_000
	}
	told := 0
	e := diagnose.New(diagnose.Options{}, func(*diagnose.Verdict) error { told++; return nil })
	var before uint64
	ev, c := &tcp.Event{}, &conn.Conn{}
	step := &conn.Step{Event: ev, Conn: c}
	take := func(kind tcp.Kind) {
		ev.Kind, ev.Cookie, ev.Netns = kind, c.Cookie, c.Netns
		ev.Time += int64(20 * time.Microsecond)
		if err := e.Take(step); err != nil {
			t.Fatal(err)
		}
	}
	flow := conntest.Flow("10.77.0.1:40000", "10.77.0.2:80")
	ev.Time = conntest.Start
	for i := range all {
		if i == first {
			before = inUse()
		}
		number := uint64(i + 1)
		*c = conn.Conn{Number: number, Cookie: number, Netns: uint32(number), Role: conn.RoleClient, State: tcp.SynSent, Opened: ev.Time}
		c.Flow = flow
		if i%10 == 0 {
			*ev = tcp.Event{Time: ev.Time, Stack: &tcp.Stack{LocalPorts: 1000}}
			take(tcp.KindCounters)
		}
		*ev = tcp.Event{Time: ev.Time, Old: tcp.Close, New: tcp.SynSent}
		take(tcp.KindState)
		c.State, c.Closed = tcp.Close, ev.Time
		*ev = tcp.Event{Time: ev.Time, Old: tcp.SynSent, New: tcp.Close, Errno: 111}
		take(tcp.KindState)
	}
	if err := e.End(); err != nil {
		t.Fatal(err)
	}
	if after := inUse(); after > before+slack {
		t.Errorf("%d bytes in use after %d connections, %d after %d", after, all, before, first)
	}
	if told != all {
		t.Errorf("%d are told, want %d", told, all)
	}
	runtime.KeepAlive(e)
}
