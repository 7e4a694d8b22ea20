package kernel

import (
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
