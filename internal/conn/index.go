package conn

import "tcpstory/internal/tcp"

// key is a tuple in a form that hashes fast: IPv4 as IPv4-mapped, no pointers.
type key struct {
	local, remote         [16]byte
	localPort, remotePort uint16
}

func keyOf(f tcp.Flow) (k key) {
	if a := f.Local.Addr(); a.IsValid() {
		k.local = a.As16()
	}
	if a := f.Remote.Addr(); a.IsValid() {
		k.remote = a.As16()
	}
	k.localPort, k.remotePort = f.Local.Port(), f.Remote.Port()
	return k
}

// node is a connection's place under one tuple. Nodes live inside their Conn.
type node struct {
	key    key
	linked bool
	conn   *Conn
	next   *node // the same tuple in another network namespace
}

// index finds connections by tuple. Under each tuple stands at most one
// connection per network namespace, the latest first.
type index map[key]*node

// find returns the connection with that tuple in that namespace; netns 0 means
// whichever.
func (x index) find(netns uint32, f tcp.Flow) (*Conn, *node) {
	for n := x[keyOf(f)]; n != nil; n = n.next {
		if n.conn.Netns == netns || netns == 0 || n.conn.Netns == 0 {
			return n.conn, n
		}
	}
	return nil, nil
}

// link puts n under the tuple f for its connection, in place of an older
// connection of the same namespace, which it returns.
func (x index) link(n *node, c *Conn, f tcp.Flow) (older *Conn) {
	x.unlink(n)
	k := keyOf(f)
	head := x[k]
	for p := &head; *p != nil; p = &(*p).next {
		if (*p).conn.Netns == c.Netns {
			old := *p
			older, *p = old.conn, old.next
			old.next, old.linked = nil, false
			break
		}
	}
	*n = node{key: k, conn: c, next: head, linked: true}
	x[k] = n
	return older
}

// unlink takes n out, if it is in.
func (x index) unlink(n *node) {
	if !n.linked {
		return
	}
	head := x[n.key]
	for p := &head; *p != nil; p = &(*p).next {
		if *p == n {
			*p = n.next
			break
		}
	}
	n.next, n.linked = nil, false
	if head == nil {
		delete(x, n.key)
	} else {
		x[n.key] = head
	}
}
