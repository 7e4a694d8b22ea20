package main

import (
	"testing"

	"tcpstory/internal/host"
)

// TestCountingForgets: of namespaces that are gone so many are remembered, and no more;
// those that are there, all.
func TestCountingForgets(t *testing.T) {
	c := &counting{known: map[uint32]host.NetStat{}, active: map[uint32]int64{}}
	c.spaces = []host.Namespace{{Inode: 1}, {Inode: 2}}
	for i := range uint32(3 * mostCounted) {
		c.known[i], c.active[i] = host.NetStat{}, 1
	}
	c.forget()
	if len(c.known) != 2 || len(c.active) != 2 {
		t.Errorf("%d and %d are remembered", len(c.known), len(c.active))
	}
}
