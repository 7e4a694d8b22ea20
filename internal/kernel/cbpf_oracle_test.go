package kernel

import (
	"golang.org/x/sys/unix"

	"tcpstory/internal/filter"
)

// oracle says what verdict a program must give, from the meaning of classic
// BPF alone: nothing is shared with translate or with filter's interpreter.
type oracle struct {
	frame   []byte // as captured
	wire    uint32
	bufSize uint64
	a, x    uint32
	cell    [unix.BPF_MEMWORDS]uint32
	missing int // the verdict when a load failed
}

func (o *oracle) judge(p []filter.Insn) int {
	for pc := 0; ; pc++ {
		in := p[pc]
		switch in.Class() {
		case unix.BPF_RET:
			if in.Code == unix.BPF_RET|unix.BPF_A && o.a != 0 || in.Code != unix.BPF_RET|unix.BPF_A && in.K != 0 {
				return verdictMatch
			}
			return verdictNo
		case unix.BPF_JMP:
			pc += o.jump(in)
		default:
			if !o.step(in) {
				return o.missing
			}
		}
	}
}

func (o *oracle) jump(in filter.Insn) int {
	b := in.K
	if in.SrcX() {
		b = o.x
	}
	holds := map[uint16]bool{unix.BPF_JEQ: o.a == b, unix.BPF_JGT: o.a > b, unix.BPF_JGE: o.a >= b, unix.BPF_JSET: o.a&b > 0}
	switch {
	case in.Op() == unix.BPF_JA:
		return int(in.K)
	case holds[in.Op()]:
		return int(in.Jt)
	}
	return int(in.Jf)
}

func (o *oracle) step(in filter.Insn) (ok bool) {
	ok = true
	switch in.Class() {
	case unix.BPF_LD:
		o.a, ok = o.load(in)
	case unix.BPF_LDX:
		o.x, ok = o.load(in)
	case unix.BPF_ST:
		o.cell[in.K] = o.a
	case unix.BPF_STX:
		o.cell[in.K] = o.x
	case unix.BPF_ALU:
		ok = o.calculate(in)
	case unix.BPF_MISC:
		if in.Code == unix.BPF_MISC|unix.BPF_TAX {
			o.x = o.a
		} else {
			o.a = o.x
		}
	}
	return ok
}

func (o *oracle) load(in filter.Insn) (v uint32, ok bool) {
	switch in.Mode() {
	case unix.BPF_IMM:
		return in.K, true
	case unix.BPF_MEM:
		return o.cell[in.K], true
	case unix.BPF_LEN:
		return o.wire, true
	case unix.BPF_IND:
		return o.bytes(uint64(in.K)+uint64(o.x), uint64(in.Size()))
	case unix.BPF_MSH:
		v, ok = o.bytes(uint64(in.K), 1)
		return v % 16 * 4, ok
	}
	return o.bytes(uint64(in.K), uint64(in.Size()))
}

func (o *oracle) bytes(at, size uint64) (v uint32, ok bool) {
	switch end := at + size; {
	case end <= uint64(len(o.frame)):
		for _, b := range o.frame[at:end] {
			v = v<<8 + uint32(b)
		}
		return v, true
	case end > uint64(o.wire):
		o.missing = verdictNo
	case end > o.bufSize:
		o.missing = verdictBeyond
	default:
		o.missing = verdictShort
	}
	return 0, false
}

func (o *oracle) calculate(in filter.Insn) bool {
	b := uint64(in.K)
	if in.SrcX() {
		b = uint64(o.x)
	}
	a := uint64(o.a)
	switch in.Op() {
	case unix.BPF_ADD:
		a += b
	case unix.BPF_SUB:
		a -= b
	case unix.BPF_MUL:
		a *= b
	case unix.BPF_AND:
		a &= b
	case unix.BPF_OR:
		a |= b
	case unix.BPF_XOR:
		a ^= b
	case unix.BPF_LSH:
		a <<= b
	case unix.BPF_RSH:
		a >>= b
	case unix.BPF_NEG:
		a = -a
	default: // BPF_DIV, BPF_MOD
		if b == 0 {
			o.missing = verdictNo
			return false
		}
		a = map[uint16]uint64{unix.BPF_DIV: a / b, unix.BPF_MOD: a % b}[in.Op()]
	}
	o.a = uint32(a)
	return true
}
