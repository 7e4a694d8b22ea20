package filtertest

import (
	"math/rand/v2"

	"golang.org/x/sys/unix"

	"tcpstory/internal/filter"
)

// RandomProgram makes a valid program of any instructions, always the same for
// a seed. Most of its fixed offsets lie within an ordinary packet's headers,
// none reaches beyond MaxFrame.
func RandomProgram(seed uint64) []filter.Insn {
	r := rand.New(rand.NewPCG(seed, 3))
	n := 2 + r.IntN(40)
	p := make([]filter.Insn, 0, n)
	for left := n - 1; left > 0; left-- {
		p = append(p, randomInsn(r, left))
	}
	return append(p, randomReturn(r))
}

func randomReturn(r *rand.Rand) filter.Insn {
	if r.IntN(4) == 0 {
		return filter.Insn{Code: unix.BPF_RET | unix.BPF_A}
	}
	return filter.Insn{Code: unix.BPF_RET, K: r.Uint32N(2)}
}

// randomInsn makes an instruction that has left more behind it.
func randomInsn(r *rand.Rand, left int) filter.Insn {
	width := []uint16{unix.BPF_W, unix.BPF_H, unix.BPF_B}[r.IntN(3)]
	class := uint16(r.IntN(2)) // BPF_LD or BPF_LDX
	switch r.IntN(16) {
	case 0, 1, 2:
		return filter.Insn{Code: unix.BPF_LD | width | unix.BPF_ABS, K: randomOffset(r)}
	case 3:
		return filter.Insn{Code: unix.BPF_LD | width | unix.BPF_IND, K: randomOffset(r)}
	case 4:
		return filter.Insn{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: randomOffset(r)}
	case 5:
		return filter.Insn{Code: class | unix.BPF_MEM, K: r.Uint32N(unix.BPF_MEMWORDS)}
	case 6:
		return filter.Insn{Code: class | unix.BPF_IMM, K: randomConstant(r)}
	case 7:
		return filter.Insn{Code: class | unix.BPF_LEN}
	case 8:
		return filter.Insn{Code: unix.BPF_ST + class, K: r.Uint32N(unix.BPF_MEMWORDS)}
	case 9:
		return filter.Insn{Code: unix.BPF_MISC | []uint16{unix.BPF_TAX, unix.BPF_TXA}[class]}
	case 10, 11, 12:
		return randomALU(r)
	case 13:
		if r.IntN(4) == 0 {
			return randomReturn(r)
		}
		return filter.Insn{Code: unix.BPF_JMP | unix.BPF_JA, K: r.Uint32N(uint32(min(left, 4)))}
	}
	return randomTest(r, left)
}

func randomALU(r *rand.Rand) filter.Insn {
	ops := []uint16{unix.BPF_ADD, unix.BPF_SUB, unix.BPF_MUL, unix.BPF_DIV, unix.BPF_MOD, unix.BPF_AND,
		unix.BPF_OR, unix.BPF_XOR, unix.BPF_LSH, unix.BPF_RSH, unix.BPF_NEG}
	in := filter.Insn{Code: unix.BPF_ALU | ops[r.IntN(len(ops))], K: randomConstant(r)}
	if in.Op() == unix.BPF_LSH || in.Op() == unix.BPF_RSH {
		in.K = r.Uint32N(35)
	}
	switch {
	case in.Op() == unix.BPF_NEG:
	case r.IntN(2) == 0:
		in.Code |= unix.BPF_X
	case in.K == 0:
		in.K = 1
	}
	return in
}

func randomTest(r *rand.Rand, left int) filter.Insn {
	op := []uint16{unix.BPF_JEQ, unix.BPF_JGT, unix.BPF_JGE, unix.BPF_JSET}[r.IntN(4)]
	from := []uint16{unix.BPF_K, unix.BPF_X}[r.IntN(2)]
	near := min(left, 6)
	return filter.Insn{Code: unix.BPF_JMP | op | from, Jt: uint8(r.IntN(near)), Jf: uint8(r.IntN(near)), K: randomConstant(r)}
}

func randomOffset(r *rand.Rand) uint32 {
	if r.IntN(8) == 0 {
		return r.Uint32N(MaxFrame - 4)
	}
	return r.Uint32N(60)
}

func randomConstant(r *rand.Rand) uint32 {
	switch r.IntN(4) {
	case 0:
		return uint32(ports[r.IntN(len(ports))])
	case 1:
		return r.Uint32()
	}
	return r.Uint32N(256)
}
