package conn_test

import (
	"testing"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// Each connect() that fails before a SYN is a conversation that begins and ends
// there, also with a socket that has failed before or connects afterwards.
func TestFailedConnects(t *testing.T) {
	c, v := conntest.Hosts(40000)
	tab := conn.New(conn.Options{})
	for i, w := range apply(t, tab, conntest.NoRoute(c)) {
		if w.number != uint64(i+1) || w.cookie != c.Cookie || w.role != conn.RoleClient || w.task != "nc" {
			t.Errorf("attempt %d: conversation %d, cookie %d, %v of %q", i+1, w.number, w.cookie, w.role, w.task)
		}
		if w.Flow.Remote != c.Flow.Remote || w.Flow.Local.Port() != 0 || !w.Selected {
			t.Errorf("attempt %d: %v, selected %v", i+1, w.Flow, w.Selected)
		}
	}
	for _, w := range apply(t, tab, conntest.Whole(c, v)) {
		if w.number != 3 {
			t.Fatalf("%v: conversation %d, want the third", &w, w.number)
		}
	}
}

// A connect() without a free port is inferred from its two transitions; what it
// returned, where the kernel tells, belongs to the same conversation.
func TestConnectWithoutPort(t *testing.T) {
	c, _ := conntest.Hosts(40000)
	for _, told := range []bool{false, true} {
		tab := conn.New(conn.Options{})
		steps := apply(t, tab, conntest.NoPort(c, told))
		for i, w := range steps {
			if w.number != 1 || w.Unsent != (i == 1) {
				t.Errorf("%v: conversation %d, unsent %v", &w, w.number, w.Unsent)
			}
		}
		if last := steps[len(steps)-1]; told && (last.ev.Kind != tcp.KindConnectFailed || last.cookie != c.Cookie) {
			t.Errorf("%v is of %d", &last, last.cookie)
		}
		for _, w := range apply(t, tab, conntest.NoPort(c, told)) {
			if w.number != 2 {
				t.Errorf("again, %v: conversation %d", &w, w.number)
			}
		}
	}
}

// A process that closes while its SYN is on the way, and an error from outside,
// are no failures of connect() itself.
func TestSentAndGivenUp(t *testing.T) {
	c, _ := conntest.Hosts(40000)
	closed := conntest.New()
	closed.State(c, tcp.Close, tcp.SynSent, conntest.By(c.Task))
	closed.State(c, tcp.SynSent, tcp.Close, conntest.By(c.Task))
	for _, s := range []*conntest.Story{closed, conntest.Refused(conntest.Hosts(40001)), conntest.BlackHole(conntest.Hosts(40002))} {
		for _, w := range apply(t, conn.New(conn.Options{}), s) {
			if w.Unsent {
				t.Errorf("%v with port %d and errno %d: unsent", &w, w.ev.Flow.Local.Port(), w.ev.Errno)
			}
		}
	}
}

// A failed attempt with a live connection's own tuple (bound, and in use) takes
// nothing away from it.
func TestFailedAttemptInUse(t *testing.T) {
	c, v := conntest.Hosts(40000)
	tab := conn.New(conn.Options{})
	s := conntest.New()
	s.Handshake(c, v)
	other := *c
	other.Cookie++
	other.Cookie <<= 8
	s.Kernel(&other, tcp.KindConnectFailed, conntest.By(conntest.NC), conntest.Errno(99), conntest.Now(tcp.Close))
	s.Gets(c, conntest.Header{Flags: conntest.PA, Seq: 5001, Ack: 1001, Len: 10})
	got := apply(t, tab, s)
	if last := got[len(got)-1]; last.cookie != c.Cookie || last.number != 1 {
		t.Errorf("its packet went to conversation %d, cookie %d", last.number, last.cookie)
	}
}
