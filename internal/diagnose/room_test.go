package diagnose_test

import (
	"testing"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// TestFlood: of a flood of SYNs so many are looked at as there is room for, what was
// not is counted, and when they are judged there is room for others. Verdicts come
// by time.
func TestFlood(t *testing.T) {
	const syns, room = 20000, 1 << 14
	story := conntest.New()
	syn := func(port int) {
		_, v := conntest.Hosts(uint16(port))
		v.Cookie = 0 // no socket
		for range limits.Syns {
			story.Gets(v, conntest.Header{Flags: conntest.S, Seq: 1000, Window: 64240, Options: conntest.SynOptions})
			story.Kernel(v, tcp.KindDrop, conntest.Reason("NETFILTER_DROP"), conntest.Segment(tcp.DirIn, conntest.S, 1000, 0))
		}
	}
	for i := range syns {
		syn(20000 + i)
	}
	story.Wait(2 * limits.After)
	syn(50000)
	told, last := 0, int64(0)
	e := diagnose.New(diagnose.Options{}, func(v *diagnose.Verdict) error {
		if told++; v.Time < last {
			t.Errorf("a verdict of %v comes behind one of %v", time.Unix(0, v.Time), time.Unix(0, last))
		}
		last = v.Time
		return nil
	})
	table := conn.New(conn.Options{TellOlder: true})
	for _, ev := range story.Events {
		if err := table.Tell(ev, e.Take); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Pass(story.Events[len(story.Events)-1].Time + 2*int64(limits.After)); err != nil {
		t.Fatal(err)
	}
	if told != room+1 {
		t.Errorf("%d are told, want %d", told, room+1)
	}
	if e.Missed() == 0 {
		t.Error("nothing was missed")
	}
}
