package host

import (
	"os"
	"path/filepath"
	"time"
)

// initNetns is the first network namespace's inode from 6.18 on (NET_NS_INIT_INO
// in linux/nsfs.h). Before, no namespace had it: theirs began at 0xF0000000.
const initNetns = 0xEFFFFFF9

// Netns names a network namespace by its inode: its ip-netns(8) name, or else the
// path of a mount that holds it (docker's are in /run/docker/netns). "" means
// that it has no name, or is the host's own: see IsHost. A name that was given
// less than a quarter of a second ago may not be known yet: ask again. The bytes
// are untrusted.
func (n *Names) Netns(inode uint32) string {
	n.refresh()
	if n.isHost(inode) {
		return ""
	}
	return n.netns[inode]
}

// IsHost reports whether the namespace is the host's: that of process 1. Where
// process 1 may not be looked at (CAP_SYS_PTRACE) it is the kernel's first, which
// can be told from 6.18 on; false may then mean unknown.
func (n *Names) IsHost(inode uint32) bool {
	n.refresh()
	return n.isHost(inode)
}

func (n *Names) isHost(inode uint32) bool {
	if n.host != 0 {
		return inode == n.host
	}
	return inode == initNetns
}

// watchedDir is a directory as it was when it was read.
type watchedDir struct {
	path    string
	changed time.Time // zero: it is not there
}

// netnsDirs are where ip-netns(8) keeps its names; mostly one is a link to the other.
func (n *Names) netnsDirs() []string {
	return []string{n.roots.Run + "/netns", n.roots.Var + "/run/netns"}
}

func (n *Names) dirsChanged() bool {
	for _, d := range n.watched {
		if !modified(d.path).Equal(d.changed) {
			return true
		}
	}
	return false
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// scanNetns reads all names anew: inodes are used again, so none is kept.
func (n *Names) scanNetns() {
	n.netns, n.watched, n.host = map[uint32]string{}, nil, 0
	if _, inode, err := inodeOf(n.roots.Proc + "/1/ns/net"); err == nil {
		n.host = uint32(inode)
	}
	for _, dir := range n.netnsDirs() {
		n.watched = append(n.watched, watchedDir{dir, modified(dir)}) // before it is read
		for name, inode := range n.namedIn(dir) {
			if have, ok := n.netns[inode]; !ok || name < have {
				n.netns[inode] = name
			}
		}
	}
	for _, m := range n.mounts.nsfs {
		inode, ok := m.netnsOf()
		if _, named := n.netns[inode]; ok && !named {
			n.netns[inode] = m.point
		}
	}
}

// namedIn reads a directory of names as ip-netns(8) does: a mount or a symbolic
// link, and no plain file that waits for its mount.
func (n *Names) namedIn(dir string) map[string]uint32 {
	found := map[string]uint32{}
	nsfs, _, err := inodeOf(n.roots.Proc + "/self/ns/net")
	if err != nil {
		return found
	}
	entries, _ := os.ReadDir(dir) // unreadable: no names there
	for _, e := range entries {
		dev, inode, err := inodeOf(filepath.Join(dir, e.Name()))
		if err == nil && dev == nsfs {
			found[e.Name()] = uint32(inode)
		}
	}
	return found
}
