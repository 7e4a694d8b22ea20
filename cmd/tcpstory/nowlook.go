package main

import (
	"fmt"
	"slices"
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/host"
	"tcpstory/internal/render"
	"tcpstory/internal/sockets"
	"tcpstory/internal/tcp"
)

// looker looks at the sockets as they stand, again and again.
type looker struct {
	*nowOptions
	names  *host.Names
	could  func(tcp.Flow) bool   // nil: all
	inums  []uint32              // --netns
	below  []string              // --cgroup
	places map[uint32]*tcp.Place // of this look
	homes  map[uint64]*tcp.Place // likewise
}

func newLooker(o *nowOptions) (*looker, error) {
	l := &looker{nowOptions: o, names: host.New()}
	var err error
	if l.could, err = o.couldMatch(); err != nil {
		return nil, err
	}
	if err := l.chooseCgroups(); err != nil {
		return nil, err
	}
	for _, name := range o.netns {
		inum, err := namedNetns(name)
		if err != nil {
			return nil, err
		}
		l.inums = append(l.inums, inum)
	}
	return l, nil
}

// chooseCgroups finds out what the cgroups are called that are asked for: sockets in
// and below them are known by that.
func (l *looker) chooseCgroups() error {
	ids, err := l.chooseHere(l.names)
	for i, id := range ids {
		path := l.names.Cgroup(id).Path
		if path == "" {
			return fmt.Errorf("--cgroup %s: its sockets cannot be told: %s", l.nowOptions.cgroups[i], l.names.Lack())
		}
		l.below = append(l.below, path)
	}
	return err
}

// couldMatch is the filter expression; nil: there is none.
func (o *nowOptions) couldMatch() (func(tcp.Flow) bool, error) {
	if o.expr == "" {
		return nil, nil
	}
	sel, err := newSelection(o.expr, tcp.LinkEthernet, tcp.LinkRaw)
	if err != nil {
		return nil, err
	}
	return sel.could(), nil
}

// look takes one look: at the sockets of all namespaces, then at who holds them.
func (l *looker) look() (*snapshot, error) {
	l.places, l.homes = map[uint32]*tcp.Place{}, map[uint64]*tcp.Place{} // inodes are used again, names change
	enter, notes, err := l.entrances()
	if err != nil {
		return nil, err
	}
	found, failed := sockets.Look(enter, l.mask(sockets.AllStates))
	switch {
	case len(failed) > 0 && len(failed) == len(enter):
		return nil, failed[0]
	case len(failed) > 0:
		notes = append(notes, fmt.Sprintf("%d of %d network namespaces are missing: %v", len(failed), len(enter), failed[0]))
	}
	if slices.Contains(l.wanted, tcp.Close) {
		notes = append(notes, "the kernel lists no socket in CLOSE: those that are bound are in --state bound-inactive (6.8 or later)")
	}
	v := &snapshot{notes: notes, SocketView: render.SocketView{Time: time.Now()}}
	for i := range found {
		l.take(v, &found[i])
	}
	denied, err := seekHolders(v.Sockets)
	if err != nil {
		return nil, err
	}
	if denied > deniedAlways {
		v.notes = append(v.notes, fmt.Sprintf("%d processes may not be looked at: sockets that only they hold have ? for their process (run it with sudo)", denied))
	}
	v.Sockets = slices.DeleteFunc(v.Sockets, func(s tcp.Socket) bool { return !l.isAskedFor(&s) })
	return v, nil
}

// entrances lead into the namespaces that are asked for.
func (l *looker) entrances() (enter []sockets.Entrance, notes []string, err error) {
	found, denied, err := l.names.Namespaces()
	if err != nil {
		return nil, nil, err
	}
	if denied > deniedAlways && len(l.inums) == 0 {
		notes = append(notes, fmt.Sprintf("%d processes may not be looked at: namespaces that only they live in are missing", denied))
	}
	for i, ns := range found {
		switch {
		case len(l.inums) > 0 && !slices.Contains(l.inums, ns.Inode):
		case i == 0:
			enter = append(enter, sockets.Entrance{Netns: ns.Inode, Do: func(f func() error) error { return f() }})
		default:
			enter = append(enter, sockets.Entrance{Netns: ns.Inode, Do: func(f func() error) error { return ifThere(ns.Do(f)) }})
		}
	}
	return enter, notes, nil
}

// take adds a namespace's sockets that the expression and --state select.
func (l *looker) take(v *snapshot, n *sockets.Namespace) {
	v.all += len(n.Sockets)
	if n.Torn {
		v.notes = append(v.notes, fmt.Sprintf("the sockets of network namespace %d changed while they were listed: some may be missing", n.Netns))
	}
	where := l.namespace(n.Netns)
	first := len(v.Sockets)
	for i := range n.Sockets {
		s := &n.Sockets[i]
		if !l.isWanted(s.State) || l.could != nil && !conn.Matches(l.could, s.Flow) {
			continue
		}
		s.Namespace = where
		s.Home = l.home(s.Cgroup)
		v.Sockets = append(v.Sockets, *s)
	}
	slices.SortFunc(v.Sockets[first:], func(a, b tcp.Socket) int { return render.CompareSockets(&a, &b) })
	if n.Refused.Known {
		v.Namespaces = append(v.Namespaces, render.NamespaceCounts{
			Netns: n.Netns, Name: where.Name, Overflows: n.Refused.Overflows, Drops: n.Refused.Drops,
		})
	}
}

// namespace is what a network namespace is called.
func (l *looker) namespace(inode uint32) *tcp.Place {
	if p := l.places[inode]; p != nil {
		return p
	}
	p := &tcp.Place{Name: l.names.Netns(inode)}
	l.places[inode] = p
	return p
}

// home is what a cgroup is called, and which container it is.
func (l *looker) home(id uint64) *tcp.Place {
	if id == 0 {
		return nil
	}
	if p := l.homes[id]; p != nil {
		return p
	}
	c := l.names.Cgroup(id)
	p := &tcp.Place{Name: c.Name, Path: c.Path, Container: c.Container, Runtime: c.Runtime}
	l.homes[id] = p
	return p
}

// seekHolders finds the processes that hold the sockets.
func seekHolders(list []tcp.Socket) (denied int, err error) {
	wanted := make(map[uint32]bool, len(list))
	for i := range list {
		list[i].Sought = true
		if list[i].Inode != 0 {
			wanted[list[i].Inode] = true
		}
	}
	if len(wanted) == 0 {
		return 0, nil
	}
	held, denied, err := sockets.Holders("/proc", func(inode uint32) bool { return wanted[inode] })
	for i := range list {
		list[i].Holders = held[list[i].Inode]
	}
	return denied, err
}

// isAskedFor is -p, --comm and --cgroup.
func (l *looker) isAskedFor(s *tcp.Socket) bool {
	if len(l.below) > 0 && !slices.ContainsFunc(l.below, func(path string) bool {
		return s.Home != nil && isBelow(s.Home.Path, path)
	}) {
		return false
	}
	if len(l.processes)+len(l.comms) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Holders, func(h tcp.Holder) bool {
		return slices.Contains(l.processes, h.PID) || slices.Contains(l.comms, string(h.Name()))
	})
}
