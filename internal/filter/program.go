package filter

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// Program is a compiled expression for one link type. Compile makes it; it is
// read-only afterwards and may be used by several goroutines at once.
type Program struct {
	Insns []Insn       // accepted by Check; returns 0 for no match
	Link  tcp.LinkType // how the frames start that it understands

	// Reach is how many leading bytes of a frame the program may load, as far
	// as that is known before it runs: loads at fixed offsets, and behind an
	// IPv4 header of any length.
	Reach int
	// Computed says that it also loads at offsets computed from packet bytes
	// (TCP payload, say), which may lie beyond Reach.
	Computed bool
	// Refused is why a program that rejects every packet does so, in libpcap's
	// words; else "".
	Refused string

	once sync.Once // guards what flowFilter computes
	flow flowFilter
}

// RejectsAll reports whether no packet of this link type can match.
func (p *Program) RejectsAll() bool { return p.Refused != "" }

// newProgram checks and measures what libpcap made of expr.
func newProgram(expr string, insns []Insn, link tcp.LinkType) (*Program, error) {
	err := Check(insns)
	if errors.Is(err, ErrLoop) {
		return nil, newError(expr, ErrProtochain.Error(), ErrProtochain)
	}
	if err == nil {
		err = checkAncillary(insns)
	}
	if err != nil {
		return nil, newError(expr, err.Error(), err)
	}
	p := &Program{Insns: insns, Link: link}
	p.Reach, p.Computed = reach(insns)
	return p, nil
}

// rejectAll is the program for a link type that no match is possible on.
func rejectAll(link tcp.LinkType, why string) *Program {
	return &Program{Insns: []Insn{{Code: unix.BPF_RET | unix.BPF_K}}, Link: link, Refused: why}
}

// String lists the instructions as tcpdump -dd does.
func (p *Program) String() string {
	text := ""
	for _, in := range p.Insns {
		text += fmt.Sprintln(in)
	}
	return text
}

// readsPacket reports whether the instruction loads bytes of the frame.
func (i Insn) readsPacket() bool {
	switch i.Class() {
	case unix.BPF_LD:
		return i.Mode() == unix.BPF_ABS || i.Mode() == unix.BPF_IND
	case unix.BPF_LDX:
		return i.Mode() == unix.BPF_MSH
	}
	return false
}

// longestIHL is the most that a 4*(x&0xf) load can put into X.
const longestIHL = 4 * 0xf

// reach computes Reach and Computed. X is bounded if nothing but header-length
// loads and small constants is ever put there.
func reach(p []Insn) (end int, computed bool) {
	bound, known := boundX(p)
	for _, in := range p {
		if !in.readsPacket() {
			continue
		}
		far := int(in.K) + in.Size()
		if in.Mode() == unix.BPF_IND {
			computed = computed || !known
			far += bound
		}
		end = max(end, far)
	}
	return end, computed
}

// boundX returns the largest value that X can hold, if that is known.
func boundX(p []Insn) (bound int, known bool) {
	for _, in := range p {
		switch {
		case in.Class() == unix.BPF_LDX && in.Mode() == unix.BPF_MSH:
			bound = max(bound, longestIHL)
		case in.Class() == unix.BPF_LDX && in.Mode() == unix.BPF_IMM && in.K <= longestIHL:
			bound = max(bound, int(in.K))
		case in.Class() == unix.BPF_LDX, in.Code == unix.BPF_MISC|unix.BPF_TAX:
			return 0, false
		}
	}
	return bound, true
}
