package filter

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Insn is one classic BPF instruction, laid out as struct sock_filter. The
// codes are the BPF_ constants of linux/filter.h (golang.org/x/sys/unix).
type Insn struct {
	Code   uint16
	Jt, Jf uint8  // instructions to skip when a test holds, when it does not
	K      uint32 // constant, offset or scratch cell
}

// Class is BPF_LD, BPF_LDX, BPF_ST, BPF_STX, BPF_ALU, BPF_JMP, BPF_RET or BPF_MISC.
func (i Insn) Class() uint16 { return i.Code & 0x07 }

// Mode is how a load finds its value: BPF_IMM, BPF_ABS, BPF_IND, BPF_MEM, BPF_LEN or BPF_MSH.
func (i Insn) Mode() uint16 { return i.Code & 0xe0 }

// Op is the operation of an ALU or a jump instruction: BPF_ADD, BPF_JEQ …
func (i Insn) Op() uint16 { return i.Code & 0xf0 }

// SrcX reports whether an ALU or jump instruction takes X rather than K.
func (i Insn) SrcX() bool { return i.Code&unix.BPF_X != 0 }

// Size is the width of a packet load in bytes: 1, 2 or 4.
func (i Insn) Size() int {
	switch i.Code & 0x18 {
	case unix.BPF_H:
		return 2
	case unix.BPF_B:
		return 1
	}
	return 4
}

// String returns the instruction as tcpdump -dd prints it.
func (i Insn) String() string {
	return fmt.Sprintf("{ 0x%x, %d, %d, 0x%08x }", i.Code, i.Jt, i.Jf, i.K)
}

// MaxInsns is the longest program accepted, the kernel's own BPF_MAXINSNS.
const MaxInsns = unix.BPF_MAXINSNS

// ErrLoop says that a program jumps backwards, which only libpcap's protochain does.
var ErrLoop = errors.New("the program contains a loop")

// validCodes holds every instruction that Match and the kernel know.
var validCodes = makeValidCodes()

func makeValidCodes() (valid [256]bool) {
	for _, size := range []uint16{unix.BPF_W, unix.BPF_H, unix.BPF_B} {
		valid[unix.BPF_LD|size|unix.BPF_ABS] = true
		valid[unix.BPF_LD|size|unix.BPF_IND] = true
	}
	for _, mode := range []uint16{unix.BPF_IMM, unix.BPF_MEM, unix.BPF_LEN} {
		valid[unix.BPF_LD|mode], valid[unix.BPF_LDX|mode] = true, true
	}
	for _, op := range []uint16{unix.BPF_ADD, unix.BPF_SUB, unix.BPF_MUL, unix.BPF_DIV, unix.BPF_MOD,
		unix.BPF_AND, unix.BPF_OR, unix.BPF_XOR, unix.BPF_LSH, unix.BPF_RSH} {
		valid[unix.BPF_ALU|op|unix.BPF_K], valid[unix.BPF_ALU|op|unix.BPF_X] = true, true
	}
	for _, op := range []uint16{unix.BPF_JEQ, unix.BPF_JGT, unix.BPF_JGE, unix.BPF_JSET} {
		valid[unix.BPF_JMP|op|unix.BPF_K], valid[unix.BPF_JMP|op|unix.BPF_X] = true, true
	}
	for _, code := range []uint16{unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, unix.BPF_ST, unix.BPF_STX,
		unix.BPF_ALU | unix.BPF_NEG, unix.BPF_JMP | unix.BPF_JA,
		unix.BPF_RET | unix.BPF_K, unix.BPF_RET | unix.BPF_A,
		unix.BPF_MISC | unix.BPF_TAX, unix.BPF_MISC | unix.BPF_TXA} {
		valid[code] = true
	}
	return valid
}

// Check reports why a program cannot run: an unknown instruction, a jump
// backwards (ErrLoop) or out of the program, a scratch cell that does not
// exist, a division by a constant zero, or no final return.
func Check(p []Insn) error {
	if len(p) == 0 || len(p) > MaxInsns {
		return fmt.Errorf("a program has 1 to %d instructions, this one %d", MaxInsns, len(p))
	}
	for pc, in := range p {
		if err := in.check(len(p) - pc - 1); err != nil {
			return fmt.Errorf("instruction %d %v: %w", pc, in, err)
		}
	}
	if p[len(p)-1].Class() != unix.BPF_RET {
		return errors.New("the program does not end in a return")
	}
	return nil
}

// check judges one instruction that has left more behind it.
func (i Insn) check(left int) error {
	if int(i.Code) >= len(validCodes) || !validCodes[i.Code] {
		return errors.New("unknown instruction")
	}
	switch i.Class() {
	case unix.BPF_JMP:
		return i.checkJump(left)
	case unix.BPF_ALU:
		if divides := i.Op() == unix.BPF_DIV || i.Op() == unix.BPF_MOD; divides && !i.SrcX() && i.K == 0 {
			return errors.New("division by zero")
		}
	}
	if i.usesCell() && i.K >= unix.BPF_MEMWORDS {
		return errors.New("no such scratch cell")
	}
	return nil
}

func (i Insn) checkJump(left int) error {
	far := int64(max(i.Jt, i.Jf))
	if i.Op() == unix.BPF_JA {
		far = int64(int32(i.K))
	}
	switch {
	case far < 0:
		return ErrLoop
	case far >= int64(left):
		return errors.New("jump out of the program")
	}
	return nil
}

// usesCell reports whether K names a cell of the scratch memory.
func (i Insn) usesCell() bool {
	switch i.Class() {
	case unix.BPF_ST, unix.BPF_STX:
		return true
	case unix.BPF_LD, unix.BPF_LDX:
		return i.Mode() == unix.BPF_MEM
	}
	return false
}

// Cells returns the scratch cells that the program names, as a bit set.
func Cells(p []Insn) (used uint16) {
	for _, in := range p {
		if in.usesCell() {
			used |= 1 << (in.K % unix.BPF_MEMWORDS)
		}
	}
	return used
}
