package kernel

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"tcpstory/internal/filter"
)

// A filter expression runs in the kernel as the body of a stub that the BPF
// programs call (bpf/frame.h):
//
//	static __noinline int stub(struct frame *f, __u32 caplen, __u32 wire)
//
// The first caplen bytes of the frame are in f's data, wire is its length as
// sent. The body returns a verdict. It calls nothing and uses the stack only
// for the scratch cells that the program names.
const (
	verdictNo     = 0
	verdictMatch  = 1
	verdictShort  = 2 // a load lies behind caplen, but not behind wire: call again with more
	verdictBeyond = 3 // a computed load lies behind the data array, but not behind wire: undecidable here
)

// The registers of the body. Only R0 to R5 are used: nothing is saved.
const (
	regA       = asm.R0 // classic BPF's accumulator; at the end the verdict
	regFrame   = asm.R1
	regCaplen  = asm.R2
	regWire    = asm.R3
	regX       = asm.R4 // classic BPF's index register
	regScratch = asm.R5 // at "short" and "beyond": where the load would have ended
)

// translator writes the body for one classic BPF program.
type translator struct {
	assembler
	program  []filter.Insn
	dataOff  int // offset of the data array in struct frame
	bufSize  int // length of the data array
	reject   label
	short    label
	beyond   label
	shortFor map[int]label // by the end of a fixed load
}

// translate turns a classic BPF program into the body of the stub called
// symbol. bufSize bytes of packet are readable at dataOff behind the first
// argument, whatever caplen says; a program with a fixed offset behind them is
// refused, for it could never be served. The instructions suit every kernel
// from 5.1 on (32-bit jumps), and hold no jump that cannot be reached.
func translate(insns []filter.Insn, symbol string, dataOff, bufSize int) (asm.Instructions, error) {
	if err := filter.Check(insns); err != nil {
		return nil, fmt.Errorf("translate the filter for %s: %w", symbol, err)
	}
	if dataOff < 4 || dataOff+bufSize > 1<<15 {
		return nil, fmt.Errorf("translate the filter for %s: %d bytes at %d are beyond a load's reach", symbol, bufSize, dataOff)
	}
	t := &translator{program: insns, dataOff: dataOff, bufSize: bufSize, shortFor: map[int]label{}}
	t.at = make([]int, len(insns)) // the first labels are the instructions
	t.reject, t.short, t.beyond = t.newLabel(), t.newLabel(), t.newLabel()
	t.start()
	for i := range insns {
		t.place(label(i))
		if err := t.insn(i); err != nil {
			return nil, fmt.Errorf("translate the filter for %s: %w", symbol, err)
		}
	}
	t.ends()
	body, err := t.finish()
	if err != nil {
		return nil, fmt.Errorf("translate the filter for %s: %w", symbol, err)
	}
	body[0] = body[0].WithSymbol(symbol)
	return body, nil
}

// start clears what the program may read before it writes. The upper halves of
// the arguments are not defined.
func (t *translator) start() {
	t.emit(asm.Mov.Reg32(regCaplen, regCaplen), asm.Mov.Reg32(regWire, regWire),
		asm.Mov.Imm(regA, 0), asm.Mov.Imm(regX, 0))
	cells := filter.Cells(t.program)
	for k := uint32(0); k < unix.BPF_MEMWORDS; k++ {
		if cells&(1<<k) != 0 {
			t.emit(asm.StoreMem(asm.RFP, cellOff(k), regA, asm.Word))
		}
	}
}

// cellOff is where a scratch cell is on the stack: low cells take little of it.
func cellOff(k uint32) int16 { return -4 * int16(k+1) }

// ends writes what loads jump to when a byte is not there.
func (t *translator) ends() {
	for _, end := range sortedKeys(t.shortFor) {
		t.place(t.shortFor[end])
		t.emit(asm.Mov.Imm(regScratch, int32(end)))
		t.jump(asm.Ja.Label(""), t.short)
	}
	t.place(t.short)
	t.jump(asm.JGT.Reg(regScratch, regWire, ""), t.reject)
	t.emit(asm.Mov.Imm(regA, verdictShort), asm.Return())
	t.place(t.beyond)
	t.jump(asm.JGT.Reg(regScratch, regWire, ""), t.reject)
	t.emit(asm.Mov.Imm(regA, verdictBeyond), asm.Return())
	t.place(t.reject)
	t.emit(asm.Mov.Imm(regA, verdictNo), asm.Return())
}

func sortedKeys(m map[int]label) []int {
	var keys []int
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// replaceBody puts a body in the place of a stub, wherever the program has a
// copy of it. The first instruction keeps the stub's name, type and line
// information, which the kernel asks for; the other lines are lost.
func replaceBody(ps *ebpf.ProgramSpec, stub string, body asm.Instructions) error {
	start := slices.IndexFunc(ps.Instructions, func(in asm.Instruction) bool { return in.Symbol() == stub })
	if start < 0 {
		return fmt.Errorf("put the filter into program %s: it has no function %s: rebuild its object", ps.Name, stub)
	}
	end := start + 1
	for end < len(ps.Instructions) && ps.Instructions[end].Symbol() == "" {
		end++
	}
	body = slices.Clone(body)
	body[0].Metadata = ps.Instructions[start].Metadata
	ps.Instructions = slices.Concat(ps.Instructions[:start], body, ps.Instructions[end:])
	return nil
}
