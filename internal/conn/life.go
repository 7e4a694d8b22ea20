package conn

import "tcpstory/internal/tcp"

// create takes a Conn from the free list. It is loose until it is known to be a
// socket.
func (t *Table) create(ev *tcp.Event) *Conn {
	c := t.free
	if c == nil {
		c = new(Conn)
	} else {
		t.free, c.next = c.next, nil
	}
	c.Netns, c.Opened = ev.Netns, ev.Time
	c.Namespace = at(t.places.namespaces, ev.Netns)
	return c
}

// touch moves c to the end of its list: it is the last one to be forgotten.
func (t *Table) touch(c *Conn, now int64) {
	c.last = now
	switch {
	case c.gone():
	case c.Socket:
		t.live.append(c)
	default:
		t.loose.append(c)
	}
}

// end marks c as closed; it stays for a while, for its last packets.
func (t *Table) end(c *Conn, now int64) {
	if c.gone() {
		return
	}
	c.Closed = now
	t.ended.append(c)
	t.doors.close(c)
}

// expire forgets what has been kept long enough, and keeps within the limits.
func (t *Table) expire(now int64) {
	for t.dues.minisocks() > t.opt.MaxEnded/4*3 { // the last words of others need some room
		t.drop(t.dues.oldest())
	}
	for c := t.ended.first; c != nil; c = t.ended.first {
		if now-c.Closed <= int64(t.opt.Linger) && t.ended.n+t.dues.minisocks() <= t.opt.MaxEnded {
			break
		}
		t.drop(c)
	}
	for c := t.loose.first; c != nil; c = t.loose.first {
		if now-c.last <= int64(t.opt.Idle) && t.loose.n <= t.opt.MaxLoose {
			break
		}
		t.drop(c)
	}
	for t.Len() > t.opt.Max {
		t.dropOldest()
	}
}

// dropOldest makes room: what has ended first, then what packets alone told,
// then the longest silent socket.
func (t *Table) dropOldest() {
	for _, l := range [...]*list{&t.ended, &t.dues.waiting, &t.dues.others, &t.loose, &t.live} {
		if l.first == nil {
			continue
		}
		if !l.first.gone() {
			t.forgotten++
		}
		t.drop(l.first)
		return
	}
}

// drop forgets c and keeps it for its next use.
func (t *Table) drop(c *Conn) {
	c.leave()
	t.doors.close(c)
	if c.stands && t.selects(c) {
		t.unended++
	}
	t.disarm(c)
	t.index.unlink(&c.tuple)
	t.index.unlink(&c.wire)
	t.cookies.Remove(c.Cookie, c)
	if c.Peer != nil {
		c.Peer.Peer = nil
	}
	*c = Conn{next: t.free}
	t.free = c
}
