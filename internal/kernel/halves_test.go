package kernel

import (
	"errors"
	"testing"

	"tcpstory/internal/tcp"
)

// TestHowHalfOpenEnds: only a RST that certainly came, or a timer where RSTs would have
// been seen, says how one ended.
func TestHowHalfOpenEnds(t *testing.T) {
	const began, due, signed = 5 << 30, 40000, 20000
	over := uint64(began + due<<16)
	for _, c := range []struct {
		name   string
		unsure bool
		sign   traceHalfSign
		flags  tcp.LifeFlags
		at     uint64
	}{
		{"silence", false, traceHalfSignHALF_SILENCE, 0, over},
		{"a RST", false, traceHalfSignHALF_RESET, tcp.LifeReset, began + signed<<16},
		{"a RST in doubt", false, traceHalfSignHALF_DOUBT, tcp.LifeDoubt, over},
		{"RSTs are not seen", true, traceHalfSignHALF_SILENCE, tcp.LifeDoubt, over},
	} {
		h := halves{unsure: c.unsure}
		if flags, at := h.ended(1, &traceHalf{Began: began, Due: due, SignedAt: signed, Sign: uint8(c.sign)}); flags != c.flags || at != c.at {
			t.Errorf("%s: %#x at %d, want %#x at %d", c.name, flags, at, c.flags, c.at)
		}
	}
}

// TestHalfOpenWalked: what was not told where all that stood were told has ended; but it
// stands, for all that is known, where nobody could look, or nobody had when it began.
func TestHalfOpenWalked(t *testing.T) {
	const second, ending = 1000000000, 100 * 1000000000
	const walked, elsewhere = 1, 2
	for _, c := range []struct {
		name       string
		netns      uint32
		began, due uint64 // seconds
		flags      tcp.LifeFlags
		at         uint64
	}{
		{"its timer was over", walked, 10, 40, 0, 40},
		{"it did not stand", walked, 70, 110, tcp.LifeDoubt, 90},
		{"its timer was over since", walked, 70, 95, tcp.LifeDoubt, 90},
		{"it began later", walked, 95, 110, tcp.LifeIsOpen, 100},
		{"nobody could look", elsewhere, 70, 110, tcp.LifeIsOpen, 100},
		{"nobody could look, its timer was over", elsewhere, 70, 95, 0, 95},
	} {
		h := halves{ending: ending, walked: map[uint32]uint64{walked: 90 * second}}
		d := traceHalf{Began: c.began * second, Due: uint32((c.due - c.began) * second >> 16)}
		flags, at := h.ended(c.netns, &d)
		if flags != c.flags || c.at*second-at > 1<<16 {
			t.Errorf("%s: %#x at %d, want %#x at %d s", c.name, flags, at, c.flags, c.at)
		}
	}
}

// TestHalfOpenGone: the programs look for half-open connections while there is a note, and
// no more when the reader has found none.
func TestHalfOpenGone(t *testing.T) {
	s, err := open(Config{Lives: true}, newFeatures(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Stop(); err != nil { // the notes are ours alone
		t.Fatal(err)
	}
	h := newHalves(s.coll, &s.decode)
	looks := func(made, gone uint64) {
		t.Helper()
		var now uint64
		h.due = 0
		if err := errors.Join(h.made.Set(made), h.look(1<<40), h.gone.Get(&now)); err != nil || now != gone {
			t.Errorf("of %d notes %d are gone, want %d: %v", made, now, gone, err)
		}
	}
	key := traceFlowKey{Lport: 1, Rport: 2}
	if err := h.noted.Put(&key, &traceHalf{Began: 1 << 40, Due: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	looks(0, 0) // made, and not counted yet
	looks(1, 0)
	if err := h.noted.Delete(&key); err != nil {
		t.Fatal(err)
	}
	looks(1, 1)
	looks(2, 2) // it has come and gone
}
