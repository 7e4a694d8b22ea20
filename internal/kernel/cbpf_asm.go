package kernel

import (
	"fmt"
	"math"

	"github.com/cilium/ebpf/asm"
)

// label is a place in the code that jumps name before it is known.
type label int

const nowhere label = -1

// assembler gathers instructions and resolves their jumps. Jumps get numeric
// distances, so several bodies in one program cannot mix up their labels.
type assembler struct {
	code asm.Instructions
	to   []label // where each instruction jumps
	at   []int   // the instruction that each label stands before
}

func (a *assembler) newLabel() label {
	a.at = append(a.at, len(a.code))
	return label(len(a.at) - 1)
}

// place puts a label before the next instruction.
func (a *assembler) place(l label) { a.at[l] = len(a.code) }

func (a *assembler) emit(code ...asm.Instruction) {
	for _, in := range code {
		a.code, a.to = append(a.code, in), append(a.to, nowhere)
	}
}

func (a *assembler) jump(in asm.Instruction, to label) {
	in.Metadata = asm.Metadata{}
	a.code, a.to = append(a.code, in), append(a.to, to)
}

// finish returns the code that can be reached (the verifier refuses other)
// with its jumps resolved.
func (a *assembler) finish() (asm.Instructions, error) {
	live := a.reachable()
	moved := make([]int, len(a.code)) // new places
	n := 0
	for i := range a.code {
		moved[i] = n
		if live[i] {
			n++
		}
	}
	code := make(asm.Instructions, 0, n)
	for i, in := range a.code {
		if !live[i] {
			continue
		}
		if a.to[i] != nowhere {
			distance := moved[a.at[a.to[i]]] - moved[i] - 1
			if distance > math.MaxInt16 {
				return nil, fmt.Errorf("it is too long for the kernel: use fewer terms, or nets instead of hosts")
			}
			in.Offset = int16(distance)
		}
		code = append(code, in)
	}
	return code, nil
}

// reachable marks the instructions that can run. All jumps go forward.
func (a *assembler) reachable() []bool {
	live := make([]bool, len(a.code))
	live[0] = true
	for i, in := range a.code {
		if !live[i] {
			continue
		}
		if a.to[i] != nowhere {
			live[a.at[a.to[i]]] = true
		}
		if op := in.OpCode.JumpOp(); op != asm.Ja && op != asm.Exit {
			live[i+1] = true
		}
	}
	return live
}
