package life

import (
	"cmp"
	"slices"
	"time"
)

// MostGroups is how many groups a Tally keeps apart; what comes later is counted
// in one group for all others.
const MostGroups = 512

// Group is what was counted of the connections with one key.
type Group struct {
	Key                    string // untrusted
	Others                 bool   // it is what was not kept apart
	Connections            uint64
	Ended                  [ends]uint64 // by End
	TX, RX                 uint64       // of those that tell
	Silent                 uint64       // connections of which one of both is unknown
	Connect, Duration, RTT Sketch
}

// Failed is how many of them failed.
func (g *Group) Failed() (n uint64) {
	for e, k := range g.Ended {
		if End(e).Failed() {
			n += k
		}
	}
	return n
}

func (g *Group) add(l *Line) {
	g.Connections++
	g.Ended[l.End]++
	g.TX += uint64(max(l.TX, 0))
	g.RX += uint64(max(l.RX, 0))
	if l.TX == Unknown || l.RX == Unknown {
		g.Silent++
	}
	g.Connect.Add(l.Connect)
	g.Duration.Add(l.Duration)
	if l.SRTT > 0 {
		g.RTT.Add(time.Duration(l.SRTT) * time.Microsecond)
	}
}

// Tally counts connections in groups and in all. Its memory is bounded by
// MostGroups.
type Tally struct {
	All    Group
	groups map[string]*Group
	others *Group
}

// Add counts a line under a key, of which it keeps a copy.
func (t *Tally) Add(key []byte, l *Line) {
	t.All.add(l)
	g := t.groups[string(key)]
	switch {
	case g != nil:
	case len(t.groups) < MostGroups:
		if t.groups == nil {
			t.groups = map[string]*Group{}
		}
		g = &Group{Key: string(key)}
		t.groups[g.Key] = g
	case t.others == nil:
		t.others = &Group{Others: true}
		fallthrough
	default:
		g = t.others
	}
	g.add(l)
}

// Groups are the groups, the largest first, and the others last.
func (t *Tally) Groups() []*Group {
	list := make([]*Group, 0, len(t.groups)+1)
	for _, g := range t.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *Group) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Key, b.Key))
	})
	if t.others != nil {
		list = append(list, t.others)
	}
	return list
}
