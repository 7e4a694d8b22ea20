package filter

import "golang.org/x/sys/unix"

// The abstract machine runs a program over a skeleton: over every packet of a
// connection at once. A value is partly known bits, or an expression over the
// connection's tuple, which only the projected program will know.

// value is what a register or cell holds: a term, or (term 0) known bits.
type value struct {
	term termID
	bits tnum
}

func (v value) isConst() bool { return v.term == noTerm && v.bits.isConst() }

// state is a point in the program's run. It is comparable: a key.
type state struct {
	pc   int
	a, x value
	cell [unix.BPF_MEMWORDS]value
}

// stop says why a run paused.
type stop uint8

const (
	stopAccept stop = iota
	stopReject
	stopFork // either outcome of the test is possible
	stopTerm // the outcome depends on the tuple: test holds it
)

// test is a comparison of a term with a constant or another term.
type test struct {
	op   uint16
	a, b termID
}

// machine runs program over skeleton. With terms nil the tuple is what the
// skeleton knows of it; else loads of it become terms.
type machine struct {
	program  []Insn
	skeleton *skeleton
	terms    *terms
}

// run advances s to the next stop. At stopFork and stopTerm s.pc is the jump.
func (m *machine) run(s *state) (stop, test) {
	for {
		in := m.program[s.pc]
		switch in.Class() {
		case unix.BPF_LD:
			s.a = m.load(in, s)
		case unix.BPF_LDX:
			s.x = m.load(in, s)
		case unix.BPF_ST:
			s.cell[in.K] = s.a
		case unix.BPF_STX:
			s.cell[in.K] = s.x
		case unix.BPF_ALU:
			if in.divides() && m.source(in, s) == (value{}) {
				return stopReject, test{}
			}
			s.a = m.calculate(in.Op(), s.a, m.source(in, s))
		case unix.BPF_JMP:
			if why, t := m.jump(in, s); why != stopAccept {
				return why, t
			}
			continue
		case unix.BPF_RET:
			return result(in, s), test{}
		default:
			m.transfer(in, s)
		}
		s.pc++
	}
}

func (i Insn) divides() bool { return i.Op() == unix.BPF_DIV || i.Op() == unix.BPF_MOD }

// result judges a return; a value that may be other than zero accepts.
func result(in Insn, s *state) stop {
	v := value{bits: constant(in.K)}
	if in.Code == unix.BPF_RET|unix.BPF_A {
		v = s.a
	}
	if v == (value{}) {
		return stopReject
	}
	return stopAccept
}

func (m *machine) transfer(in Insn, s *state) {
	if in.Code == unix.BPF_MISC|unix.BPF_TAX {
		s.x = s.a
	} else {
		s.a = s.x
	}
}

// source is the second operand of an ALU or jump instruction.
func (m *machine) source(in Insn, s *state) value {
	if in.SrcX() {
		return s.x
	}
	return value{bits: constant(in.K)}
}

// load is what a load instruction yields. A load may run past the end of some
// packets, which rejects them; others are longer.
func (m *machine) load(in Insn, s *state) value {
	switch in.Mode() {
	case unix.BPF_ABS:
		return m.loadPacket(uint64(in.K), in.Size())
	case unix.BPF_IND:
		if s.x.isConst() {
			return m.loadPacket(uint64(s.x.bits.value)+uint64(in.K), in.Size())
		}
		return value{bits: tnum{mask: unknown.mask >> (32 - 8*in.Size())}}
	case unix.BPF_MSH:
		return value{bits: m.skeleton.headerLength(uint64(in.K))}
	case unix.BPF_MEM:
		return s.cell[in.K]
	case unix.BPF_IMM:
		return value{bits: constant(in.K)}
	}
	return value{bits: unknown} // BPF_LEN
}

func (m *machine) loadPacket(at uint64, size int) value {
	k := m.skeleton
	if m.terms != nil && at >= uint64(k.tuple) && at+uint64(size) <= uint64(k.tuple+k.tupleLen) {
		return m.terms.load(int(at)-k.tuple, size)
	}
	return value{bits: k.load(at, size)}
}

func (m *machine) calculate(op uint16, a, b value) value {
	if a.term != noTerm || b.term != noTerm {
		return m.terms.calculate(op, a, b)
	}
	return value{bits: a.bits.calculate(op, b.bits)}
}

// jump takes a jump whose outcome is certain and returns stopAccept, or stops.
func (m *machine) jump(in Insn, s *state) (stop, test) {
	if in.Op() == unix.BPF_JA {
		s.pc += 1 + int(in.K)
		return stopAccept, test{}
	}
	b := m.source(in, s)
	if s.a.term != noTerm || b.term != noTerm {
		if t, ok := m.terms.test(in.Op(), s.a, b); ok {
			return stopTerm, t
		}
		return stopFork, test{}
	}
	yes, no := s.a.bits.compare(in.Op(), b.bits)
	if yes && no {
		return stopFork, test{}
	}
	s.pc += 1 + in.skip(yes)
	return stopAccept, test{}
}

// branch returns the states after either outcome of the jump that s stopped at.
func (m *machine) branch(s state) (yes, no state) {
	in := m.program[s.pc]
	yes, no = s, s
	yes.pc += 1 + int(in.Jt)
	no.pc += 1 + int(in.Jf)
	if b := m.source(in, &s); in.Op() == unix.BPF_JEQ && b.isConst() {
		yes.a = b
	}
	return yes, no
}
