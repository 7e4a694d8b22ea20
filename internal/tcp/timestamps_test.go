package tcp

import (
	"math/rand/v2"
	"testing"
)

// segmentWith is a raw IPv4 SYN with these TCP options, cut to so many bytes.
func segmentWith(options []byte, cut int) *Packet {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	n := 40 + len(options)
	f := append([]byte{0x45, 0, 0, byte(n), 0, 1, 0, 0, 64, protoTCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2},
		0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 0, byte(20+len(options))/4<<4, byte(SYN), 0, 1, 0, 0, 0, 0)
	f = append(f, options...)
	p := &Packet{Frame: f[:min(cut, len(f))], Length: uint32(n), Link: LinkRaw}
	p.Decode()
	return p
}

func TestTimestamps(t *testing.T) {
	stamp := []byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8}
	for name, c := range map[string]struct {
		options []byte
		cut     int
		want    bool
	}{
		"alone":            {stamp, 99, true},
		"as Linux":         {append([]byte{2, 4, 5, 180, 4, 2}, stamp...), 99, true},
		"behind NOPs":      {append([]byte{1, 1}, stamp...), 99, true},
		"none":             {[]byte{2, 4, 5, 180}, 99, false},
		"no options":       {nil, 99, false},
		"behind the end":   {append([]byte{0, 0}, stamp...), 99, false},
		"of wrong length":  {[]byte{8, 9, 1, 2, 3, 4, 5, 6, 7, 8}, 99, false},
		"of no length":     {append([]byte{3, 0}, stamp...), 99, false},
		"beyond the rest":  {[]byte{3, 40, 7, 8}, 99, false},
		"not all captured": {stamp, 49, false},
		"no header":        {stamp, 30, false},
	} {
		value, echo := segmentWith(c.options, c.cut).Timestamps()
		if got := value == 0x01020304 && echo == 0x05060708; got != c.want || !c.want && value|echo != 0 {
			t.Errorf("%s: %#x, %#x", name, value, echo)
		}
	}
}

// TestTimestampsOfNonsense: options are anybody's bytes.
func TestTimestampsOfNonsense(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		options := make([]byte, r.IntN(41))
		for i := range options {
			options[i] = byte(r.IntN(12))
		}
		segmentWith(options, 30+r.IntN(60)).Timestamps()
	}
}
