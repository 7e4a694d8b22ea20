package flight

import (
	"errors"
	"math/rand/v2"
	"testing"

	"tcpstory/internal/tcp"
)

// TestRing holds the ring against a list: what it has is what came last, in order,
// whole, and as much as fits but for what one entry takes.
func TestRing(t *testing.T) {
	for _, size := range []int{headLen, 100, 1000, 4096} {
		r := NewRing(make([]byte, size))
		rnd := rand.New(rand.NewPCG(1, uint64(size)))
		var came []Entry
		for i := range 5000 {
			row := make([]byte, rnd.IntN(min(size-headLen+1, 300)))
			for j := range row {
				row[j] = byte(i + j)
			}
			e := Entry{Time: int64(i), Conn: uint64(i % 7), Cookie: uint64(i), Kind: tcp.KindState, Old: tcp.SynSent, New: tcp.State(i % 12), Row: row}
			r.Put(&e)
			came = append(came, e)
			holds(t, r, came, size)
		}
	}
}

func holds(t *testing.T, r *Ring, came []Entry, size int) {
	t.Helper()
	want := came[len(came)-r.Len():]
	bytes := 0
	err := r.All(func(e *Entry) error {
		w := &want[0]
		want = want[1:]
		bytes += headLen + len(e.Row)
		if e.Time != w.Time || e.Conn != w.Conn || e.Cookie != w.Cookie || e.Kind != w.Kind || e.Old != w.Old || e.New != w.New || string(e.Row) != string(w.Row) {
			return errors.New("another entry")
		}
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Fatalf("after %d: %v, %d are missing", len(came), err, len(want))
	}
	if r.Len() == 0 || r.Len() < len(came) && bytes < size-3*(headLen+300) {
		t.Fatalf("after %d: %d entries, %d of %d bytes", len(came), r.Len(), bytes, size)
	}
}

// TestRingTooLong: what can never fit is counted, and nothing else goes for it.
func TestRingTooLong(t *testing.T) {
	r := NewRing(make([]byte, 100))
	r.Put(&Entry{Time: 1})
	r.Put(&Entry{Time: 2, Row: make([]byte, 100)})
	if r.Len() != 1 || r.TooLong() != 1 {
		t.Errorf("%d entries, %d too long", r.Len(), r.TooLong())
	}
}

func TestRingDoesNotAllocate(t *testing.T) {
	r := NewRing(make([]byte, 1<<12))
	e := Entry{Row: make([]byte, 120)}
	if n := testing.AllocsPerRun(1000, func() { r.Put(&e) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
