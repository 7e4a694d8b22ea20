package main

import (
	"tcpstory/internal/host"
	"tcpstory/internal/life"
	"tcpstory/internal/render"
	"tcpstory/internal/tcp"
)

// lifePlaces gives a row what its numbers are called, each looked up once, and
// again now and then where it had no name.
type lifePlaces struct {
	names   *host.Names
	netns   lookups[uint32]
	cgroups lookups[uint64]
	spaces  map[uint32]string
	homes   map[uint64]*tcp.Place
}

func (p *lifePlaces) row(l *life.Line) render.LifeRow {
	if p.names == nil {
		return render.LifeRow{Line: l}
	}
	if p.netns.isDue(l.Netns, l.Time) {
		name := p.names.Netns(l.Netns)
		p.netns.put(l.Netns, l.Time, name != "" || p.names.IsHost(l.Netns))
		p.spaces = bounded(p.spaces)
		p.spaces[l.Netns] = name
	}
	if p.cgroups.isDue(l.Cgroup, l.Time) {
		c := p.names.Cgroup(l.Cgroup)
		p.cgroups.put(l.Cgroup, l.Time, c.Path != "" && (c.Container == "" || c.Name != ""))
		p.homes = bounded(p.homes)
		p.homes[l.Cgroup] = &tcp.Place{Name: c.Name, Path: c.Path, Container: c.Container, Runtime: c.Runtime}
	}
	return render.LifeRow{Line: l, Namespace: p.spaces[l.Netns], Home: p.homes[l.Cgroup]}
}

// bounded is m, or an empty map where m has too much.
func bounded[K comparable, V any](m map[K]V) map[K]V {
	if m == nil || len(m) >= mostLookups {
		return map[K]V{}
	}
	return m
}
