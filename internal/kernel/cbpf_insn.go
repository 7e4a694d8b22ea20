package kernel

import (
	"fmt"
	"math"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// insn translates the i-th instruction.
func (t *translator) insn(i int) error {
	in := t.program[i]
	switch in.Class() {
	case unix.BPF_LD:
		return t.load(i, regA)
	case unix.BPF_LDX:
		return t.load(i, regX)
	case unix.BPF_ST:
		t.emit(asm.StoreMem(asm.RFP, cellOff(in.K), regA, asm.Word))
	case unix.BPF_STX:
		t.emit(asm.StoreMem(asm.RFP, cellOff(in.K), regX, asm.Word))
	case unix.BPF_ALU:
		t.calculate(i)
	case unix.BPF_JMP:
		t.branch(i)
	case unix.BPF_RET:
		t.ret(i)
	default:
		t.transfer(i)
	}
	return nil
}

func (t *translator) load(i int, dst asm.Register) error {
	in := t.program[i]
	switch in.Mode() {
	case unix.BPF_IMM:
		t.emit(asm.Mov.Imm32(dst, int32(in.K)))
	case unix.BPF_LEN:
		t.emit(asm.Mov.Reg32(dst, regWire))
	case unix.BPF_MEM:
		t.emit(asm.LoadMem(dst, asm.RFP, cellOff(in.K), asm.Word))
	case unix.BPF_ABS:
		return t.loadFixed(dst, in.K, in.Size())
	case unix.BPF_IND:
		t.loadComputed(dst, in.K, in.Size())
	case unix.BPF_MSH:
		err := t.loadFixed(dst, in.K, 1)
		t.emit(asm.And.Imm32(dst, 0xf), asm.LSh.Imm32(dst, 2))
		return err
	}
	return nil
}

// loadFixed loads from a constant offset: only caplen is to be asked.
func (t *translator) loadFixed(dst asm.Register, k uint32, size int) error {
	if uint64(k)+uint64(size) > uint64(t.bufSize) {
		return fmt.Errorf("it asks for byte %d of a packet, and the kernel looks at the first %d: leave that part out, or filter a capture file", uint64(k)+uint64(size)-1, t.bufSize)
	}
	end := int(k) + size
	if _, ok := t.shortFor[end]; !ok {
		t.shortFor[end] = t.newLabel()
	}
	t.jump(asm.JLT.Imm(regCaplen, int32(end), ""), t.shortFor[end])
	t.emit(asm.LoadMem(dst, regFrame, int16(t.dataOff+int(k)), sizes[size]))
	t.fromNetwork(dst, size)
	return nil
}

// loadComputed loads from X+k. The verifier wants the end of the load below a
// constant before it is added to a pointer; caplen comes second.
func (t *translator) loadComputed(dst asm.Register, k uint32, size int) {
	end := uint64(k) + uint64(size)
	if end > math.MaxInt32 {
		t.jump(asm.Ja.Label(""), t.reject) // no packet is that long
		return
	}
	t.emit(asm.Mov.Reg32(regScratch, regX), asm.Add.Imm(regScratch, int32(end)))
	if end > uint64(t.bufSize) {
		t.jump(asm.Ja.Label(""), t.beyond)
		return
	}
	t.jump(asm.JGT.Imm(regScratch, int32(t.bufSize), ""), t.beyond)
	t.jump(asm.JGT.Reg(regScratch, regCaplen, ""), t.short)
	t.emit(asm.Add.Reg(regScratch, regFrame),
		asm.LoadMem(dst, regScratch, int16(t.dataOff-size), sizes[size]))
	t.fromNetwork(dst, size)
}

var sizes = map[int]asm.Size{1: asm.Byte, 2: asm.Half, 4: asm.Word}

func (t *translator) fromNetwork(dst asm.Register, size int) {
	if size > 1 {
		t.emit(asm.HostTo(asm.BE, dst, sizes[size]))
	}
}

var aluOps = map[uint16]asm.ALUOp{
	unix.BPF_ADD: asm.Add, unix.BPF_SUB: asm.Sub, unix.BPF_MUL: asm.Mul, unix.BPF_DIV: asm.Div,
	unix.BPF_MOD: asm.Mod, unix.BPF_AND: asm.And, unix.BPF_OR: asm.Or, unix.BPF_XOR: asm.Xor,
	unix.BPF_LSH: asm.LSh, unix.BPF_RSH: asm.RSh, unix.BPF_NEG: asm.Neg,
}

// calculate differs from eBPF in two ways: a division by zero ends the program
// (in eBPF it yields 0), a shift by 32 or more yields 0 (in eBPF: modulo 32).
func (t *translator) calculate(i int) {
	in := t.program[i]
	op := aluOps[in.Op()]
	shifts := op == asm.LSh || op == asm.RSh
	switch {
	case in.Op() == unix.BPF_NEG:
		t.emit(asm.Neg.Imm32(regA, 0))
	case shifts && in.SrcX():
		t.shift(op)
	case shifts && in.K >= 32:
		t.emit(asm.Mov.Imm32(regA, 0))
	case !in.SrcX():
		t.emit(op.Imm32(regA, int32(in.K)))
	default:
		if op == asm.Div || op == asm.Mod {
			t.jump(asm.JEq.Imm32(regX, 0, ""), t.reject)
		}
		t.emit(op.Reg32(regA, regX))
	}
}

func (t *translator) shift(op asm.ALUOp) {
	small, done := t.newLabel(), t.newLabel()
	t.jump(asm.JLT.Imm32(regX, 32, ""), small)
	t.emit(asm.Mov.Imm32(regA, 0))
	t.jump(asm.Ja.Label(""), done)
	t.place(small)
	t.emit(op.Reg32(regA, regX))
	t.place(done)
}

// jumpOps has each test and its opposite, where eBPF has one.
var jumpOps = map[uint16][2]asm.JumpOp{
	unix.BPF_JEQ: {asm.JEq, asm.JNE}, unix.BPF_JGT: {asm.JGT, asm.JLE}, unix.BPF_JGE: {asm.JGE, asm.JLT},
	unix.BPF_JSET: {asm.JSet, asm.InvalidJumpOp},
}

func (t *translator) branch(i int) {
	in := t.program[i]
	if in.Op() == unix.BPF_JA {
		t.jump(asm.Ja.Label(""), label(i+1+int(in.K)))
		return
	}
	yes, no := label(i+1+int(in.Jt)), label(i+1+int(in.Jf))
	ops := jumpOps[in.Op()]
	if in.Jt == 0 && ops[1] != asm.InvalidJumpOp {
		t.test(i, ops[1], no)
		return
	}
	t.test(i, ops[0], yes)
	if in.Jf != 0 {
		t.jump(asm.Ja.Label(""), no)
	}
}

func (t *translator) test(i int, op asm.JumpOp, to label) {
	if in := t.program[i]; in.SrcX() {
		t.jump(op.Reg32(regA, regX, ""), to)
	} else {
		t.jump(op.Imm32(regA, int32(in.K), ""), to)
	}
}

func (t *translator) ret(i int) {
	in := t.program[i]
	switch {
	case in.Code == unix.BPF_RET|unix.BPF_A:
		t.jump(asm.JEq.Imm32(regA, 0, ""), t.reject)
	case in.K == 0:
		t.jump(asm.Ja.Label(""), t.reject)
		return
	}
	t.emit(asm.Mov.Imm(regA, verdictMatch), asm.Return())
}

func (t *translator) transfer(i int) {
	if t.program[i].Code == unix.BPF_MISC|unix.BPF_TAX {
		t.emit(asm.Mov.Reg32(regX, regA))
	} else {
		t.emit(asm.Mov.Reg32(regA, regX))
	}
}
