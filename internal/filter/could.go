package filter

import "tcpstory/internal/tcp"

// maxForks bounds one search for a matching packet; beyond it, one could match.
const maxForks = 1 << 12

// maxTags is how many VLAN tags a connection's packets are assumed to have at most.
const maxTags = 2

// flowFilter is what a program says of connections, computed once.
type flowFilter struct {
	tags   int       // VLAN tags that packets are taken to have
	tuples [2][]Insn // the projections, by family; nil: too big
}

// family indexes flowFilter by address family.
func family(ipv4 bool) int {
	if ipv4 {
		return 0
	}
	return 1
}

// CouldMatch reports whether some packet of a TCP connection, in either
// direction, could match. A zero port, an invalid or an unspecified address is
// unknown and stands for any. The packets considered are not fragments, carry
// no IPv6 extension headers, and no VLAN tag, unless without tags no TCP
// packet at all could match. It errs only towards yes.
//
// With a complete tuple it costs tens of nanoseconds and allocates nothing,
// unless Project finds the program too big.
func (p *Program) CouldMatch(f tcp.Flow) bool {
	p.once.Do(p.prepareFlow)
	four, six := families(f)
	return four && p.couldEither(f, true) || six && p.couldEither(f, false)
}

// families says which address families a flow can be of.
func families(f tcp.Flow) (four, six bool) {
	for _, a := range []struct{ known, is4 bool }{
		{addressed(f.Local.Addr()), f.Local.Addr().Is4()},
		{addressed(f.Remote.Addr()), f.Remote.Addr().Is4()},
	} {
		if a.known {
			return a.is4, !a.is4
		}
	}
	return true, true
}

func (p *Program) couldEither(f tcp.Flow, ipv4 bool) bool {
	tuple := p.flow.tuples[family(ipv4)]
	if tuple == nil || !complete(f) {
		return p.search(f, ipv4, p.flow.tags) || p.search(f.Reverse(), ipv4, p.flow.tags)
	}
	return runTuple(tuple, f, ipv4) || runTuple(tuple, f.Reverse(), ipv4)
}

// runTuple runs a projection over a flow's tuple.
func runTuple(projection []Insn, f tcp.Flow, ipv4 bool) bool {
	var room [Tuple6Len]byte
	tuple := appendTuple(room[:0], f, ipv4)
	return run(projection, tuple, uint32(len(tuple))) != 0
}

// complete reports whether nothing of the flow is unknown.
func complete(f tcp.Flow) bool {
	return addressed(f.Local.Addr()) && addressed(f.Remote.Addr()) && f.Local.Port() != 0 && f.Remote.Port() != 0
}

// prepareFlow finds how many tags to assume, and the projections.
func (p *Program) prepareFlow() {
	p.flow.tags = p.assumedTags()
	for _, ipv4 := range []bool{true, false} {
		p.flow.tuples[family(ipv4)] = p.project(ipv4, p.flow.tags)
	}
}

// assumedTags is the least number of tags with which any TCP packet could match.
func (p *Program) assumedTags() int {
	for tags := 0; tags <= maxTags; tags++ {
		if p.search(tcp.Flow{}, true, tags) || p.search(tcp.Flow{}, false, tags) {
			return tags
		}
	}
	return 0
}

// search looks for a way through the program that accepts a packet from the
// flow's local to its remote end.
func (p *Program) search(f tcp.Flow, ipv4 bool, tags int) bool {
	k, ok := newSkeleton(p.Link, ipv4, tags)
	if !ok {
		return true
	}
	k.putFlow(f)
	m := machine{program: p.Insns, skeleton: k}
	seen := map[state]bool{}
	for open := []state{{}}; len(open) > 0; {
		s := open[len(open)-1]
		open = open[:len(open)-1]
		why, _ := m.run(&s)
		if why == stopAccept || len(seen) == maxForks {
			return true
		}
		if why == stopReject || seen[s] {
			continue
		}
		seen[s] = true
		yes, no := m.branch(s)
		open = append(open, no, yes)
	}
	return false
}
