package filter

import (
	"math/bits"

	"golang.org/x/sys/unix"
)

// tnum is a value of which some bits are known (the kernel verifier's
// tristate number): mask has the unknown bits, value the known ones.
type tnum struct{ value, mask uint32 }

// unknown is a value with no known bit.
var unknown = tnum{mask: ^uint32(0)}

func constant(v uint32) tnum { return tnum{value: v} }

func (t tnum) isConst() bool { return t.mask == 0 }
func (t tnum) most() uint32  { return t.value | t.mask }

// calculate is what is known of an ALU operation's result. A result that is
// not modelled is unknown.
func (a tnum) calculate(op uint16, b tnum) tnum {
	switch op {
	case unix.BPF_AND:
		v := a.value & b.value
		return tnum{v, a.most() & b.most() &^ v}
	case unix.BPF_OR:
		v := a.value | b.value
		return tnum{v, (a.mask | b.mask) &^ v}
	case unix.BPF_XOR:
		mask := a.mask | b.mask
		return tnum{(a.value ^ b.value) &^ mask, mask}
	case unix.BPF_ADD:
		return a.add(b)
	case unix.BPF_SUB:
		return a.sub(b)
	}
	return a.byConst(op, b)
}

// add and sub are tnum_add and tnum_sub of kernel/bpf/tnum.c: a carry or a
// borrow that may come out of an unknown bit makes the bits it reaches unknown.
func (a tnum) add(b tnum) tnum {
	sum := a.value + b.value
	mask := (sum + a.mask + b.mask) ^ sum | a.mask | b.mask
	return tnum{sum &^ mask, mask}
}

func (a tnum) sub(b tnum) tnum {
	diff := a.value - b.value
	mask := (diff + a.mask) ^ (diff - b.mask) | a.mask | b.mask
	return tnum{diff &^ mask, mask}
}

// byConst models the operations that are tractable only with a known b.
func (a tnum) byConst(op uint16, b tnum) tnum {
	if op == unix.BPF_NEG {
		return constant(0).sub(a)
	}
	if !b.isConst() {
		return unknown
	}
	switch op {
	case unix.BPF_LSH:
		return tnum{a.value << b.value, a.mask << b.value}
	case unix.BPF_RSH:
		return tnum{a.value >> b.value, a.mask >> b.value}
	case unix.BPF_MUL:
		if bits.OnesCount32(b.value) == 1 {
			return a.byConst(unix.BPF_LSH, constant(uint32(bits.TrailingZeros32(b.value))))
		}
	}
	v, ok := calculate(op, a.value, b.value)
	if !a.isConst() || !ok {
		return unknown
	}
	return constant(v)
}

// compare says which outcomes of a jump's test are possible.
func (a tnum) compare(op uint16, b tnum) (yes, no bool) {
	switch op {
	case unix.BPF_JEQ:
		known := ^(a.mask | b.mask)
		yes = (a.value^b.value)&known == 0
		return yes, !yes || known != ^uint32(0)
	case unix.BPF_JGT:
		return a.most() > b.value, a.value <= b.most()
	case unix.BPF_JGE:
		return a.most() >= b.value, a.value < b.most()
	}
	return a.most()&b.most() != 0, a.value&b.value == 0 // BPF_JSET
}
