package main

import (
	"errors"
	"maps"
	"slices"
	"time"

	"tcpstory/internal/host"
	"tcpstory/internal/kernel"
	"tcpstory/internal/tcp"
)

// counting is a source that also tells what counters of the namespaces' network
// stacks have moved by, as KindCounters events: what a full queue throws away, no
// tracepoint tells.
type counting struct {
	*named
	wanted  []uint32 // namespaces; empty: all
	spaces  []host.Namespace
	listed  int64 // when spaces was
	known   map[uint32]host.NetStat
	begun   bool             // all that existed was looked at
	active  map[uint32]int64 // when a SYN was there, event time
	last    uint32           // where the last event came from
	missing bool             // some event came from a namespace that is not on the list
	due     int64            // when to look next, ns
	ready   []tcp.Event
}

// How often counters are read: at most one part in countShare of a CPU goes there.
const (
	countEvery = time.Second
	countShare = 10
	listEvery  = 10 * time.Second
	activeFor  = 5 * time.Second // after a SYN: so long its connection may be thrown away
)

// Read implements source.
func (c *counting) Read(ev *tcp.Event) error {
	if len(c.ready) > 0 {
		*ev, c.ready = c.ready[0], c.ready[1:]
		return nil
	}
	err := c.named.Read(ev)
	switch {
	case err == nil:
		c.meet(ev)
		if ev.Time >= c.due+int64(countEvery) { // no lull since: what is still to come must not seem late
			c.look(ev.Time)
		}
	case errors.Is(err, kernel.ErrIdle):
		if now := time.Now().UnixNano(); now >= c.due {
			c.look(now)
		}
		if len(c.ready) > 0 {
			return c.Read(ev)
		}
	}
	return err
}

// meet notes a namespace that is not on the list yet, and where somebody asks for
// connections: elsewhere no queue can be too full. Most events come from where the
// one before came.
func (c *counting) meet(ev *tcp.Event) {
	if ev.Netns == 0 {
		return
	}
	if ev.Netns != c.last {
		c.last = ev.Netns
		c.missing = c.missing || !slices.ContainsFunc(c.spaces, func(ns host.Namespace) bool { return ns.Inode == ev.Netns })
	}
	if asks(ev) {
		c.active[ev.Netns] = ev.Time
	}
}

// asks reports a SYN.
func asks(ev *tcp.Event) bool {
	return ev.Kind == tcp.KindPacket && ev.Packet.IsTCP && ev.Packet.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN
}

// look reads the counters of all namespaces, as those of a time. What cannot be read is
// not told.
func (c *counting) look(at int64) {
	begun := time.Now()
	if c.missing || at-c.listed >= int64(listEvery) {
		c.list(at)
	}
	for _, ns := range c.spaces {
		if _, met := c.known[ns.Inode]; met && at-c.active[ns.Inode] > int64(activeFor) {
			continue
		}
		var n host.NetStat
		err := ns.Do(func() (err error) {
			n, err = host.NetStatHere()
			return err
		})
		if err == nil {
			c.tell(ns.Inode, n, at)
		} else {
			delete(c.known, ns.Inode)
			delete(c.active, ns.Inode) // its number may be another's by now
			c.missing = c.missing || errors.Is(err, host.ErrGone)
		}
	}
	c.begun = true
	c.due = at + max(int64(countEvery), countShare*int64(time.Since(begun)))
}

func (c *counting) list(at int64) {
	found, _, err := c.names.Namespaces()
	if err != nil {
		return
	}
	c.listed, c.missing, c.last = at, false, 0
	c.spaces = slices.DeleteFunc(found, func(ns host.Namespace) bool {
		return len(c.wanted) > 0 && !slices.Contains(c.wanted, ns.Inode)
	})
	if len(c.known)+len(c.active) > mostCounted+2*len(c.spaces) {
		c.forget()
	}
}

// mostCounted is how many namespaces that are no more on the list are remembered, in
// case somebody enters them again.
const mostCounted = 1 << 12

// forget keeps only what is on the list.
func (c *counting) forget() {
	gone := func(netns uint32) bool {
		return !slices.ContainsFunc(c.spaces, func(ns host.Namespace) bool { return ns.Inode == netns })
	}
	maps.DeleteFunc(c.known, func(netns uint32, _ host.NetStat) bool { return gone(netns) })
	maps.DeleteFunc(c.active, func(netns uint32, _ int64) bool { return gone(netns) })
}

// tell makes an event of what has moved, and of what is met first.
func (c *counting) tell(netns uint32, n host.NetStat, at int64) {
	before, met := c.known[netns]
	if met && before == n {
		return
	}
	if met && n.Less(before) { // the number is another namespace's now
		before = host.NetStat{}
	}
	c.known[netns] = n
	s := &tcp.Stack{LocalPorts: n.LocalPorts}
	if met || c.begun { // one that is made while we look begins with zero
		s.ListenOverflows = n.ListenOverflows - before.ListenOverflows
		s.ReqQFullDrop = n.TCPReqQFullDrop - before.TCPReqQFullDrop
		s.ReqQFullCookies = n.TCPReqQFullDoCookies - before.TCPReqQFullDoCookies
	}
	c.ready = append(c.ready, tcp.Event{Kind: tcp.KindCounters, Time: at, Netns: netns, Stack: s})
}
