package diagnose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/kernel/middletest"
	"tcpstory/internal/tcp"
)

// upload is a stream of which one segment in so many is lost, and sent again at once.
func upload(lost int) *scene {
	const size, segments = 1448, 20000
	s := begin()
	s.answered()
	for i := range segments {
		s.Wait(100 * time.Microsecond)
		s.says(size)
		if i%2 == 1 {
			s.acknowledgesTo(2 * size) // the latest two are on their way
		}
		if i%lost == lost/2 {
			s.acknowledgesTo(2 * size) // again: something is missing
			s.again(tcp.RetransmitFast, 1, size)
		}
	}
	s.Wait(time.Millisecond)
	s.window(508)
	s.hears(200)
	return s
}

// acknowledgesTo acknowledges all but the last bytes that were sent.
func (s *scene) acknowledgesTo(but int) {
	s.Gets(s.c, conntest.Header{Flags: conntest.A, Seq: s.ack, Ack: s.seq - uint32(but), Window: 508, Options: conntest.Stamp})
}

// ofSent takes the number of segments out of what is said of loss.
func ofSent(t *testing.T, said []string) (text string, sent int) {
	t.Helper()
	text = strings.Join(said, "\n")
	before, after, ok := strings.Cut(text, " of ")
	if !ok {
		return text, 0
	}
	if _, err := fmt.Sscanf(after, "%d sent", &sent); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return before, sent
}

// TestMiddleLeftOut: what is said of a stream is the same whether its middle was told or
// left out; of segments sent, those of the latest 10 ms may be missing.
func TestMiddleLeftOut(t *testing.T) {
	for _, c := range []struct {
		lost int // one in so many
		want bool
	}{{400, false}, {125, false}, {80, true}, {20, true}} {
		whole := upload(c.lost)
		want, sent := ofSent(t, texts(t, whole))
		m, sparing := middletest.New(), *whole.Story
		sparing.Events = slices.DeleteFunc(slices.Clone(whole.Events), func(ev *tcp.Event) bool {
			ev.Decode()
			return m.Leaves(ev)
		})
		have, some := ofSent(t, texts(t, &scene{Story: &sparing, c: whole.c, v: whole.v}))
		if strings.Contains(want, "fast retransmission") != c.want || have != want || some > sent || some < sent-100 {
			t.Errorf("one in %d lost, %d of %d left out: %q of %d, want %q of %d", c.lost, m.Left, len(whole.Events), have, some, want, sent)
		}
		if m.Left < len(whole.Events)/10 {
			t.Errorf("one in %d lost: only %d of %d left out", c.lost, m.Left, len(whole.Events))
		}
	}
}
