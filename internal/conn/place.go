package conn

import "tcpstory/internal/tcp"

// mostPlaces is how many namespaces, and how many cgroups, are remembered before
// all are forgotten: containers come and go, and their ids are never used again.
const mostPlaces = 1 << 12

// places are what namespaces and cgroups are called. An entry exists, empty,
// from the first connection on that is there; its name may come later, and then
// shows with that connection, too.
type places struct {
	namespaces map[uint32]*tcp.Place
	cgroups    map[uint64]*tcp.Place
}

func newPlaces() places {
	return places{namespaces: map[uint32]*tcp.Place{}, cgroups: map[uint64]*tcp.Place{}}
}

// at returns the entry of a namespace or cgroup; nil for 0, which is unknown.
func at[K comparable](m map[K]*tcp.Place, k K) *tcp.Place {
	var unknown K
	if k == unknown {
		return nil
	}
	p := m[k]
	if p == nil {
		if len(m) >= mostPlaces {
			clear(m)
		}
		p = new(tcp.Place)
		m[k] = p
	}
	return p
}

// learn takes in a KindPlace event.
func (p *places) learn(ev *tcp.Event) {
	entry := at(p.namespaces, ev.Netns)
	if ev.Cgroup != 0 {
		entry = at(p.cgroups, ev.Cgroup)
	}
	if entry != nil && ev.Place != nil {
		*entry = *ev.Place
	}
}
