package diagnose_test

import (
	"slices"
	"testing"
	"time"

	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/tcp"
)

// TestAside: what a client says at once behind an answer, and shortly, may ask for
// no answer (HTTP/2's WINDOW_UPDATE). After a pause it is a request.
func TestAside(t *testing.T) {
	for _, c := range []struct {
		name  string
		pause time.Duration
		bytes int
		want  []string
	}{
		{"control frame", 100 * time.Microsecond, int(limits.Aside), nil},
		{"request at once", 100 * time.Microsecond, int(limits.Aside) + 1, []string{"slow-application"}},
		{"small request", 300 * time.Millisecond, int(limits.Aside), []string{"slow-application"}},
	} {
		s := begin()
		s.answered()
		s.Wait(c.pause)
		s.says(c.bytes)
		s.window(508)
		s.Wait(scaled(limits.Slow, 200))
		s.window(508)
		if have := told(t, s, limits); !slices.Equal(have, c.want) {
			t.Errorf("%s: %v, want %v", c.name, have, c.want)
		}
	}
}

// TestFirstResetCounts: data under way meets no socket any more when this end has
// aborted; that is no cause.
func TestFirstResetCounts(t *testing.T) {
	s := begin()
	s.answered()
	s.State(s.c, tcp.Established, tcp.Close, conntest.By(s.c.Task))
	s.Kernel(s.c, tcp.KindSendReset, conntest.Reason("TCP_ABORT_ON_CLOSE"), conntest.Now(tcp.Close))
	s.Wait(2 * time.Millisecond)
	s.Kernel(s.c, tcp.KindSendReset, conntest.Reason("NO_SOCKET"), conntest.Segment(tcp.DirIn, conntest.PA, s.ack, 1000))
	if have, want := told(t, s, limits), []string{"rst-unread-data"}; !slices.Equal(have, want) {
		t.Errorf("%v, want %v", have, want)
	}
}
