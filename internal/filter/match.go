package filter

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Match runs the program over one frame: its captured bytes, and its length on
// the wire (what "len", "greater" and "less" see). A load past the captured
// bytes makes the answer no, as in libpcap. It allocates nothing and may run in
// several goroutines at once.
func (p *Program) Match(frame []byte, wireLen uint32) bool {
	return run(p.Insns, frame, wireLen) != 0
}

// run interprets a program that Check accepted and returns what it returns.
func run(p []Insn, frame []byte, wire uint32) uint32 {
	var a, x uint32
	var cell [unix.BPF_MEMWORDS]uint32
	ok := true
	for pc := 0; pc < len(p); pc++ {
		in := &p[pc]
		switch in.Code {
		case unix.BPF_LD | unix.BPF_H | unix.BPF_ABS:
			a, ok = load(frame, uint64(in.K), 2)
		case unix.BPF_LD | unix.BPF_B | unix.BPF_ABS:
			a, ok = load(frame, uint64(in.K), 1)
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a, ok = load(frame, uint64(in.K), 4)
		case unix.BPF_LD | unix.BPF_H | unix.BPF_IND:
			a, ok = load(frame, uint64(x)+uint64(in.K), 2)
		case unix.BPF_LD | unix.BPF_B | unix.BPF_IND:
			a, ok = load(frame, uint64(x)+uint64(in.K), 1)
		case unix.BPF_LD | unix.BPF_W | unix.BPF_IND:
			a, ok = load(frame, uint64(x)+uint64(in.K), 4)
		case unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH:
			x, ok = load(frame, uint64(in.K), 1)
			x = x & 0xf << 2
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			pc += in.skip(a == in.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			pc += in.skip(a&in.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_RET | unix.BPF_A:
			return a
		case unix.BPF_MISC | unix.BPF_TAX:
			x = a
		case unix.BPF_MISC | unix.BPF_TXA:
			a = x
		case unix.BPF_ST:
			cell[in.K%unix.BPF_MEMWORDS] = a
		case unix.BPF_STX:
			cell[in.K%unix.BPF_MEMWORDS] = x
		default:
			src := in.K
			if in.SrcX() {
				src = x
			}
			switch in.Class() {
			case unix.BPF_LD:
				a = in.value(&cell, wire)
			case unix.BPF_LDX:
				x = in.value(&cell, wire)
			case unix.BPF_ALU:
				a, ok = calculate(in.Op(), a, src)
			case unix.BPF_JMP:
				pc += in.jump(a, src)
			}
		}
		if !ok {
			return 0
		}
	}
	return 0
}

// load reads size bytes at an offset, in network order.
func load(b []byte, at uint64, size uint64) (uint32, bool) {
	if at+size > uint64(len(b)) {
		return 0, false
	}
	switch size {
	case 1:
		return uint32(b[at]), true
	case 2:
		return uint32(binary.BigEndian.Uint16(b[at:])), true
	}
	return binary.BigEndian.Uint32(b[at:]), true
}

// value is what a load that touches no packet byte yields.
func (i *Insn) value(cell *[unix.BPF_MEMWORDS]uint32, wire uint32) uint32 {
	switch i.Mode() {
	case unix.BPF_MEM:
		return cell[i.K%unix.BPF_MEMWORDS]
	case unix.BPF_LEN:
		return wire
	}
	return i.K
}

// skip returns how many instructions a test with this outcome jumps over.
func (i *Insn) skip(holds bool) int {
	if holds {
		return int(i.Jt)
	}
	return int(i.Jf)
}

func (i *Insn) jump(a, src uint32) int {
	if i.Op() == unix.BPF_JA {
		return int(i.K)
	}
	return i.skip(compare(i.Op(), a, src))
}

// compare is the test of a conditional jump.
func compare(op uint16, a, b uint32) bool {
	switch op {
	case unix.BPF_JEQ:
		return a == b
	case unix.BPF_JGT:
		return a > b
	case unix.BPF_JGE:
		return a >= b
	}
	return a&b != 0 // BPF_JSET
}

// calculate is one ALU operation; a division by zero ends the program.
func calculate(op uint16, a, b uint32) (uint32, bool) {
	switch op {
	case unix.BPF_ADD:
		return a + b, true
	case unix.BPF_SUB:
		return a - b, true
	case unix.BPF_MUL:
		return a * b, true
	case unix.BPF_OR:
		return a | b, true
	case unix.BPF_AND:
		return a & b, true
	case unix.BPF_XOR:
		return a ^ b, true
	case unix.BPF_LSH:
		return a << b, true
	case unix.BPF_RSH:
		return a >> b, true
	case unix.BPF_NEG:
		return -a, true
	}
	return divide(op, a, b)
}

func divide(op uint16, a, b uint32) (uint32, bool) {
	switch {
	case b == 0:
		return 0, false
	case op == unix.BPF_DIV:
		return a / b, true
	}
	return a % b, true // BPF_MOD
}
