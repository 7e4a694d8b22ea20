package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tcpstory/internal/host"
	"tcpstory/internal/kernel"
	"tcpstory/internal/tcp"
)

// named is a source that tells what namespaces and cgroups are called, as
// KindPlace events, before the first event from there.
type named struct {
	*kernel.Source
	names   *host.Names
	netns   lookups[uint32]
	cgroups lookups[uint64]

	places []tcp.Event // to be told before held
	held   tcp.Event
	waits  bool
}

// nameAgain is after how long a number that had no name is looked up once more: a
// namespace may be named, a container's files be written after its first packet.
const nameAgain = time.Second

// mostLookups is how many numbers are remembered as looked up.
const mostLookups = 1 << 12

// lookups remembers which numbers have been looked up, and when again.
type lookups[K comparable] struct {
	last K // most events come from where the one before came
	next int64
	due  map[K]int64
}

// tellAgain is after how long a name that was found is told once more: the table
// forgets names when there are too many.
const tellAgain = time.Minute

// isDue reports whether k is to be looked up now.
func (l *lookups[K]) isDue(k K, now int64) bool {
	var unknown K
	if k == unknown || k == l.last && now < l.next {
		return false
	}
	l.last, l.next = k, l.due[k]
	return now >= l.next
}

// put notes the outcome of looking k up.
func (l *lookups[K]) put(k K, now int64, found bool) {
	if l.due == nil || len(l.due) >= mostLookups {
		l.due = map[K]int64{}
	}
	l.last, l.next = k, now+int64(nameAgain)
	if found {
		l.next = now + int64(tellAgain)
	}
	l.due[k] = l.next
}

// Read implements source.
func (n *named) Read(ev *tcp.Event) error {
	if len(n.places) > 0 {
		*ev, n.places = n.places[0], n.places[1:]
		return nil
	}
	if n.waits {
		n.waits = false
		*ev = n.held
		return nil
	}
	if err := n.Source.Read(ev); err != nil {
		return err
	}
	ev.Decode()
	n.look(ev)
	if len(n.places) == 0 {
		return nil
	}
	n.held, n.waits = *ev, true
	return n.Read(ev)
}

// look looks up what ev's numbers are called, where that is due.
func (n *named) look(ev *tcp.Event) {
	if n.netns.isDue(ev.Netns, ev.Time) {
		name := n.names.Netns(ev.Netns)
		n.netns.put(ev.Netns, ev.Time, name != "" || n.names.IsHost(ev.Netns))
		if name != "" {
			n.places = append(n.places, tcp.Event{Kind: tcp.KindPlace, Time: ev.Time, Netns: ev.Netns, Place: &tcp.Place{Name: name}})
		}
	}
	if n.cgroups.isDue(ev.Cgroup, ev.Time) {
		c := n.names.Cgroup(ev.Cgroup)
		n.cgroups.put(ev.Cgroup, ev.Time, c.Path != "" && (c.Container == "" || c.Name != ""))
		if c.Path != "" {
			n.places = append(n.places, tcp.Event{Kind: tcp.KindPlace, Time: ev.Time, Cgroup: ev.Cgroup,
				Place: &tcp.Place{Name: c.Name, Path: c.Path, Container: c.Container, Runtime: c.Runtime}})
		}
	}
}

// deniedAlways: a hypervisor's own process 1 lets nobody look.
const deniedAlways = 1

// entrances are the network namespaces whose sockets are looked at when the trace
// begins: those asked for, or all that are found. The note says what may be missing.
func entrances(names *host.Names, wanted []uint32) ([]kernel.Entrance, string, error) {
	found, denied, err := names.Namespaces()
	if err != nil {
		return nil, "", err
	}
	note := ""
	if denied > deniedAlways && len(wanted) == 0 {
		note = fmt.Sprintf("%d processes may not be looked at: sockets that exist in namespaces of theirs may be missing (tcpstory doctor says more)", denied)
	}
	var enter []kernel.Entrance
	for i, ns := range found {
		switch {
		case len(wanted) > 0 && !slices.Contains(wanted, ns.Inode):
		case i == 0: // our own, where we are: that needs no right
			enter = append(enter, func(f func() error) error { return f() })
		default:
			enter = append(enter, func(f func() error) error { return ifThere(ns.Do(f)) })
		}
	}
	return enter, note, nil
}

// ifThere forgives a namespace that has gone since it was found: its sockets have, too.
func ifThere(err error) error {
	if errors.Is(err, host.ErrGone) {
		return nil
	}
	return err
}
