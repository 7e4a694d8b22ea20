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
		if flags, at := h.ended(&traceHalf{Began: began, Due: due, SignedAt: signed, Sign: uint8(c.sign)}); flags != c.flags || at != c.at {
			t.Errorf("%s: %#x at %d, want %#x at %d", c.name, flags, at, c.flags, c.at)
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
