package render

// flowsPerGeneration bounds the memory of relative sequence numbers: the last
// 65,536 flows seen are remembered for certain, and at most twice as many.
// A flow forgotten starts anew, with absolute numbers once; tcpdump never
// forgets, and grows.
const flowsPerGeneration = 1 << 16

// seqKey names a connection whichever way a packet of it goes: the end with
// the lower port first, the lower address where the ports are the same.
type seqKey struct {
	low, high [16]byte
	ports     uint32
	place     uint32
	v6        bool
}

// seqBase is where each end's numbers count from.
type seqBase struct{ low, high uint32 }

// seqTracker keeps the bases of the flows seen, in two generations: when the
// younger is full the older is dropped and they change places.
type seqTracker struct {
	young, old map[seqKey]seqBase
	// place is the network namespace of the sighting at hand: a packet that is
	// seen to leave and to arrive has the same numbers at both.
	place uint32
}

func newSeqTracker() *seqTracker {
	return &seqTracker{young: make(map[seqKey]seqBase), old: make(map[seqKey]seqBase)}
}

// seqNumbers are a segment's numbers as they are printed. sack is what the
// edges of its SACK blocks count from: the peer's base.
type seqNumbers struct{ seq, ack, sack uint32 }

// relative returns the numbers of a segment that carries an ACK. The first of
// its connection, and any with SYN, sets the bases and stays absolute.
// src and dst are addresses in network order.
func (t *seqTracker) relative(src, dst []byte, sport, dport uint16, seq, ack uint32, syn bool) seqNumbers {
	key, reverse := keyOf(src, dst, sport, dport)
	key.place = t.place
	base, known := t.find(key)
	n := seqNumbers{seq: seq, ack: ack}
	own, peer := base.low, base.high
	if reverse {
		own, peer = peer, own
	}
	if known && !syn {
		n.seq, n.ack = seq-own, ack-peer
		n.sack = peer
		return n
	}
	base = seqBase{low: seq, high: ack - 1}
	if reverse {
		base = seqBase{low: ack - 1, high: seq}
	}
	t.store(key, base)
	n.sack = ack - 1
	return n
}

func keyOf(src, dst []byte, sport, dport uint16) (key seqKey, reverse bool) {
	key.v6 = len(src) == 16
	reverse = sport > dport || sport == dport && string(src) > string(dst)
	if reverse {
		src, dst = dst, src
		sport, dport = dport, sport
	}
	copy(key.low[:], src)
	copy(key.high[:], dst)
	key.ports = uint32(sport)<<16 | uint32(dport)
	return key, reverse
}

func (t *seqTracker) find(key seqKey) (seqBase, bool) {
	if base, ok := t.young[key]; ok {
		return base, true
	}
	base, ok := t.old[key]
	if ok {
		t.store(key, base)
	}
	return base, ok
}

func (t *seqTracker) store(key seqKey, base seqBase) {
	if len(t.young) >= flowsPerGeneration {
		t.young, t.old = t.old, t.young
		clear(t.young)
	}
	t.young[key] = base
}
