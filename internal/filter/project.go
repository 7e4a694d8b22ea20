package filter

import "golang.org/x/sys/unix"

// nodeID names a node of the decision diagram that a projection is. A node's
// successors have smaller names.
type nodeID int32

const (
	rejectNode nodeID = iota
	acceptNode
)

// node asks about the tuple; the two leaves ask nothing.
type node struct {
	test    test
	yes, no nodeID
}

// maxVisits bounds the work of one projection.
const maxVisits = 5000

// diagram decides whether some packet with a given tuple is accepted.
type diagram struct {
	machine machine
	nodes   []node
	named   map[node]nodeID
	memo    map[visit]nodeID
	visits  int
}

// visit is a point in the program's run, and where to go if it rejects.
type visit struct {
	state state
	fail  nodeID
}

// Project returns a small program over a tuple (Tuple4Len or Tuple6Len bytes,
// laid out as there) that accepts if some packet with this tuple could match,
// in this one direction: CouldMatch for a complete tuple, fit for the kernel.
// ok is false if it would be too big: then let all pass, and ask CouldMatch.
func (p *Program) Project(ipv4 bool) (insns []Insn, ok bool) {
	p.once.Do(p.prepareFlow)
	insns = p.flow.tuples[family(ipv4)]
	return insns, insns != nil
}

func (p *Program) project(ipv4 bool, tags int) []Insn {
	k, ok := newSkeleton(p.Link, ipv4, tags)
	if !ok {
		return nil
	}
	d := &diagram{
		machine: machine{program: p.Insns, skeleton: k, terms: newTerms()},
		nodes:   make([]node, 2),
		named:   map[node]nodeID{},
		memo:    map[visit]nodeID{},
	}
	root := d.node(visit{fail: rejectNode})
	if d.visits > maxVisits {
		return nil
	}
	return d.layOut(root)
}

// node returns the decision from a point on. Where either way is possible, the
// second is tried when the first rejects.
func (d *diagram) node(v visit) nodeID {
	if id, ok := d.memo[v]; ok {
		return id
	}
	if d.visits++; d.visits > maxVisits {
		return acceptNode
	}
	s := v.state
	var id nodeID
	switch why, t := d.machine.run(&s); why {
	case stopAccept:
		id = acceptNode
	case stopReject:
		id = v.fail
	case stopFork:
		yes, no := d.machine.branch(s)
		if id = d.node(visit{no, v.fail}); id != acceptNode {
			id = d.node(visit{yes, id})
		}
	case stopTerm:
		yes, no := d.machine.branch(s)
		id = d.ask(t, d.node(visit{yes, v.fail}), d.node(visit{no, v.fail}))
	}
	d.memo[v] = id
	return id
}

// ask returns the node for a test; the same node always has the same name.
func (d *diagram) ask(t test, yes, no nodeID) nodeID {
	if yes == no {
		return yes
	}
	n := node{t, yes, no}
	id, ok := d.named[n]
	if !ok {
		id = nodeID(len(d.nodes))
		d.named[n] = id
		d.nodes = append(d.nodes, n)
	}
	return id
}

// layout writes a diagram as a program, backwards: successors come first, so
// every jump's distance is known when it is written.
type layout struct {
	d     *diagram
	code  []Insn // last instruction first
	entry []int  // where in code each node starts
	warm  []int  // where it starts if A holds its term already
}

// layOut returns the program, or nil if it is too long.
func (d *diagram) layOut(root nodeID) []Insn {
	ret := Insn{Code: unix.BPF_RET | unix.BPF_K}
	if root <= acceptNode {
		ret.K = uint32(root)
		return []Insn{ret}
	}
	l := &layout{d: d, entry: make([]int, len(d.nodes)), warm: make([]int, len(d.nodes))}
	l.leaf(rejectNode, ret)
	ret.K = 1
	l.leaf(acceptNode, ret)
	for id, used := acceptNode+1, d.reachable(root); id <= root; id++ {
		if used[id] {
			l.write(id)
		}
	}
	if len(l.code) > MaxInsns {
		return nil
	}
	return reversed(l.code)
}

func (d *diagram) reachable(root nodeID) []bool {
	used := make([]bool, root+1)
	used[root] = true
	for id := root; id > acceptNode; id-- {
		if used[id] {
			used[d.nodes[id].yes], used[d.nodes[id].no] = true, true
		}
	}
	return used
}

func (l *layout) leaf(id nodeID, ret Insn) {
	l.entry[id], l.warm[id] = len(l.code), len(l.code)
	l.code = append(l.code, ret)
}

// write puts a node before what is written: its operands, its test, its jumps.
func (l *layout) write(id nodeID) {
	n := l.d.nodes[id]
	yes, no := l.target(n, n.yes), l.target(n, n.no)
	jump := Insn{Code: unix.BPF_JMP | n.test.op | unix.BPF_K}
	if far := len(l.code) - min(yes, no) - 1; far > 0xff { // beyond a test's reach: by way of two jumps
		l.code = append(l.code, l.always(no))
		l.code = append(l.code, l.always(yes))
		jump.Jf = 1
	} else {
		jump.Jt, jump.Jf = uint8(len(l.code)-yes-1), uint8(len(l.code)-no-1)
	}
	code := l.operands(n.test, &jump)
	l.warm[id] = len(l.code)
	l.code = append(l.code, reversed(append(code, jump))...)
	l.entry[id] = len(l.code) - 1
	if jump.SrcX() {
		l.warm[id] = l.entry[id] // X has to be loaded too
	}
}

// operands returns the code that loads a test's operands.
func (l *layout) operands(t test, jump *Insn) []Insn {
	ts := l.d.machine.terms
	if ts.isConst(t.b) {
		jump.K = ts.list[t.b].k
		return ts.appendCode(nil, t.a, 0)
	}
	jump.Code |= unix.BPF_X
	code := ts.appendCode(nil, t.b, 0)
	code = append(code, Insn{Code: unix.BPF_ST, K: testCell})
	code = ts.appendCode(code, t.a, 0)
	return append(code, Insn{Code: unix.BPF_LDX | unix.BPF_MEM, K: testCell})
}

// target is where a node's successor starts: behind the load of its term if
// the node has just tested the same one.
func (l *layout) target(from node, to nodeID) int {
	if to > acceptNode && l.d.nodes[to].test.a == from.test.a {
		return l.warm[to]
	}
	return l.entry[to]
}

func (l *layout) always(target int) Insn {
	return Insn{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(l.code) - target - 1)}
}

func reversed(p []Insn) []Insn {
	r := make([]Insn, 0, len(p))
	for i := len(p) - 1; i >= 0; i-- {
		r = append(r, p[i])
	}
	return r
}
