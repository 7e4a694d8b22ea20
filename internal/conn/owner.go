package conn

import (
	"time"

	"tcpstory/internal/tcp"
)

// learnProcess keeps whose socket it is. Whoever acts on it is its user from then
// on; who merely holds it open is so only while nobody has acted. It reports
// whether the event is to be told: what existed, and an owner who was known as
// such, is no news to people, unless it only held an accepted connection open until now.
func (t *Table) learnProcess(c *Conn, ev *tcp.Event) (news bool) {
	if ev.Cgroup != 0 && ev.Cgroup != c.Cgroup {
		c.Cgroup, c.Home = ev.Cgroup, at(t.places.cgroups, ev.Cgroup)
	}
	switch ev.Kind {
	case tcp.KindSocket:
		news = t.opt.TellOlder || ev.Known != nil && ev.Known.Marks.Has(tcp.MarkTold)
	case tcp.KindOwner:
		if ev.Via == tcp.ViaHeld && (c.gone() || c.Task.Known()) { // closed, or acted on, while it was looked for
			return false
		}
		firstAct := c.Via == tcp.ViaHeld && !c.OlderThanTrace()
		news = ev.Task.Known() && (c.Task.PID != ev.Task.PID || c.Task.Comm != ev.Task.Comm || firstAct)
	default:
		news = true
	}
	if !ev.Task.Known() || ev.Via == tcp.ViaHeld && c.Task.Known() {
		return news
	}
	c.Task, c.Via = ev.Task, ev.Via
	if !c.Opener.Known() {
		c.Opener, c.Met = ev.Task, ev.Time
	}
	return news
}

// isOlder reports a socket that is first met by an event which shows that it
// existed before the trace began: what began before all sockets had been looked at
// was told to begin, and what has ended by now was told to live. Not so where
// events were lost, or left out as another process's.
func (t *Table) isOlder(ev *tcp.Event) bool {
	if begins(ev) {
		return false
	}
	return ev.Starting || ev.Kind == tcp.KindOwner && ev.New == tcp.Close && !t.missed && t.opt.Whose == nil
}

// existed takes in a socket that was there when the trace began.
func (t *Table) existed(c *Conn, ev *tcp.Event) {
	c.Older = true
	c.State = ev.New
	if ev.Minisock != tcp.StateUnknown {
		c.State = ev.Minisock
	}
	switch c.State {
	case tcp.Listen:
		c.Role = RoleListener
		t.doors.open(c)
	case tcp.Established, tcp.CloseWait:
		t.await(c, ev.Time) // it waits to be accepted, maybe
	}
}

// How an accepted connection whose process has neither read nor written is
// looked for among all processes' files.
const (
	firstLook  = 400 * time.Millisecond // most have acted by then
	mostLooks  = 3                      // each later than the one before, by twice as much
	mostWaited = 1 << 16                // connections that wait for a look
)

// unowned is a connection whose process is not known, and when to look for it.
type unowned struct {
	cookie uint64
	due    int64
	looks  int
}

// lookout is a queue of such connections, the earliest first but for the few that
// wait for a second look.
type lookout struct {
	queue []unowned
	head  int
}

func (l *lookout) add(u unowned) {
	if len(l.queue)-l.head >= mostWaited {
		return // its first act, or its end, tells
	}
	if l.head > 0 && len(l.queue) == cap(l.queue) { // use the room in front again
		l.queue = l.queue[:copy(l.queue, l.queue[l.head:])]
		l.head = 0
	}
	l.queue = append(l.queue, u)
}

// take returns the first in the queue if it is due.
func (l *lookout) take(now int64) (u unowned, ok bool) {
	if l.head == len(l.queue) || l.queue[l.head].due > now {
		return u, false
	}
	u = l.queue[l.head]
	l.head++
	return u, true
}

// await puts a connection that nobody has acted on yet in the queue.
func (t *Table) await(c *Conn, now int64) {
	if !c.Task.Known() && c.Cookie != 0 {
		t.lookout.add(unowned{cookie: c.Cookie, due: now + int64(firstLook)})
	}
}

// Unowned reports whether the process of some open connection is not known
// though it should be by now: time for a look through all processes' files.
// Each connection asks for it a few times only.
func (t *Table) Unowned(now int64) bool {
	any := false
	for {
		u, ok := t.lookout.take(now)
		if !ok {
			return any
		}
		if !t.Wants(u.cookie) {
			continue
		}
		any = true
		if u.looks++; u.looks < mostLooks {
			u.due = now + int64(firstLook)<<u.looks
			t.lookout.add(u)
		}
	}
}

// Wants reports whether a socket is open, selected, and its process not known.
func (t *Table) Wants(cookie uint64) bool {
	c := t.cookies.Find(cookie)
	return c != nil && !c.gone() && !c.Task.Known() && t.selects(c)
}
