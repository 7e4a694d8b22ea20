package filter

import "golang.org/x/sys/unix"

// termID names a term; the same term always has the same name.
type termID int32

const noTerm termID = 0

// maxTermSize bounds a term's instructions, maxDepth the scratch cells that
// computing it takes (the last cell is for the test itself).
const (
	maxTermSize = 64
	maxDepth    = unix.BPF_MEMWORDS - 2
	testCell    = unix.BPF_MEMWORDS - 1
)

// term is an expression over the tuple: a load (op opLoad: k is the offset, a
// the size), a constant (opConst), or an operation on two terms.
type term struct {
	op   uint16
	a, b termID
	k    uint32
}

const (
	opLoad  = 0x100 + iota // not an ALU operation
	opConst                // nor this
)

// terms holds every term of one projection, each once.
type terms struct {
	list  []term // by termID; the first is no term
	cost  []int  // instructions to compute it
	depth []int  // scratch cells to compute it
	named map[term]termID
}

func newTerms() *terms {
	return &terms{list: make([]term, 1), cost: make([]int, 1), depth: make([]int, 1), named: map[term]termID{}}
}

func (ts *terms) name(t term, cost, depth int) termID {
	id, ok := ts.named[t]
	if !ok {
		id = termID(len(ts.list))
		ts.named[t] = id
		ts.list, ts.cost, ts.depth = append(ts.list, t), append(ts.cost, cost), append(ts.depth, depth)
	}
	return id
}

func (ts *terms) load(at, size int) value {
	return value{term: ts.name(term{op: opLoad, a: termID(size), k: uint32(at)}, 1, 0)}
}

// of returns the term for a value that is a term or a constant.
func (ts *terms) of(v value) (termID, bool) {
	if v.term != noTerm {
		return v.term, true
	}
	if !v.bits.isConst() {
		return noTerm, false
	}
	return ts.name(term{op: opConst, k: v.bits.value}, 1, 0), true
}

func (ts *terms) isConst(id termID) bool { return ts.list[id].op == opConst }

// calculate names the result of an operation, or gives it up as unknown: a
// division by a term could end the program, and a projection cannot say so.
func (ts *terms) calculate(op uint16, a, b value) value {
	up := value{bits: unknown}
	if op == unix.BPF_NEG {
		a, b, op = value{}, a, unix.BPF_SUB
	}
	ta, oka := ts.of(a)
	tb, okb := ts.of(b)
	if !oka || !okb {
		return up
	}
	if (op == unix.BPF_DIV || op == unix.BPF_MOD) && !ts.isConst(tb) {
		return up
	}
	cost, depth := ts.cost[ta]+1, ts.depth[ta]
	if !ts.isConst(tb) {
		cost += ts.cost[tb] + 2
		depth = max(ts.depth[tb], ts.depth[ta]+1)
	}
	if cost > maxTermSize || depth > maxDepth {
		return up
	}
	return value{term: ts.name(term{op: op, a: ta, b: tb}, cost, depth)}
}

// test names a comparison, of which at least one side is a term. ok is false
// if the other side is not known.
func (ts *terms) test(op uint16, a, b value) (t test, ok bool) {
	ta, oka := ts.of(a)
	tb, okb := ts.of(b)
	return test{op: op, a: ta, b: tb}, oka && okb
}

// appendCode appends instructions that leave the term in A and use the scratch
// cells from cell on.
func (ts *terms) appendCode(code []Insn, id termID, cell uint32) []Insn {
	t := ts.list[id]
	switch {
	case t.op == opConst:
		return append(code, Insn{Code: unix.BPF_LD | unix.BPF_IMM, K: t.k})
	case t.op == opLoad:
		width := map[termID]uint16{1: unix.BPF_B, 2: unix.BPF_H, 4: unix.BPF_W}[t.a]
		return append(code, Insn{Code: unix.BPF_LD | width | unix.BPF_ABS, K: t.k})
	case ts.isConst(t.b):
		code = ts.appendCode(code, t.a, cell)
		return append(code, Insn{Code: unix.BPF_ALU | t.op | unix.BPF_K, K: ts.list[t.b].k})
	}
	code = ts.appendCode(code, t.b, cell)
	code = append(code, Insn{Code: unix.BPF_ST, K: cell})
	code = ts.appendCode(code, t.a, cell+1)
	return append(code,
		Insn{Code: unix.BPF_LDX | unix.BPF_MEM, K: cell},
		Insn{Code: unix.BPF_ALU | t.op | unix.BPF_X})
}
