package life

import "tcpstory/internal/tcp"

// Patience is how long, event time, a line waits for what follows its record: a
// reset of our own at once, the process that closes the socket when it does. Then
// the files of all processes are asked, and at the end of LastPatience nobody more.
const (
	Patience     = 100e6
	LastPatience = 1000e6
	mostWaiting  = 1 << 16
)

// Desk puts lines together: those that lack nothing go on at once, the others
// when it has come, or has not. It is for one goroutine.
type Desk struct {
	line    Line // the latest
	waiting map[uint64]*Line
	order   []uint64 // cookies, by the time of the end; some are gone from waiting
}

// Take takes an event in and gives out what is whole now. The line is valid
// during the call.
func (d *Desk) Take(ev *tcp.Event, give func(*Line) error) error {
	switch ev.Kind {
	case tcp.KindLife:
		d.line.Fill(ev)
		if !d.line.AskOwner && !d.line.AskEnd {
			return give(&d.line)
		}
		return d.wait(give)
	case tcp.KindOwner:
		if l := d.waiting[ev.Cookie]; l != nil && l.AskOwner {
			l.Task, l.Via, l.AskOwner, l.Nobody = ev.Task, ev.Via, false, false
			return d.whole(l, give)
		}
	case tcp.KindSendReset:
		if l := d.waiting[ev.Cookie]; l != nil && l.AskEnd {
			l.End, l.AskEnd = EndRSTSent, false
			return d.whole(l, give)
		}
	}
	return nil
}

func (d *Desk) wait(give func(*Line) error) error {
	if len(d.waiting) >= mostWaiting {
		return give(&d.line)
	}
	if d.waiting == nil {
		d.waiting = map[uint64]*Line{}
	}
	if before := d.waiting[d.line.Cookie]; before != nil { // the socket has connected again
		if err := before.giveUp(give); err != nil {
			return err
		}
	}
	l := d.line
	d.waiting[l.Cookie] = &l
	d.order = append(d.order, l.Cookie)
	return nil
}

func (d *Desk) whole(l *Line, give func(*Line) error) error {
	if l.AskOwner || l.AskEnd {
		return nil
	}
	delete(d.waiting, l.Cookie)
	return give(l)
}

// Unowned reports whether a line has waited for its process long enough, at time
// now, for the files of all processes to be asked.
func (d *Desk) Unowned(now int64) bool {
	for _, cookie := range d.order {
		if l := d.waiting[cookie]; l != nil && l.AskOwner {
			return now-l.Time >= Patience
		}
	}
	return false
}

// Wants reports whether a line waits for the process of this socket.
func (d *Desk) Wants(cookie uint64) bool {
	l := d.waiting[cookie]
	return l != nil && l.AskOwner
}

// Expire gives out what has waited too long at time now.
func (d *Desk) Expire(now int64, give func(*Line) error) error {
	for len(d.order) > 0 {
		l := d.waiting[d.order[0]]
		if l != nil {
			limit := int64(Patience)
			if l.AskOwner {
				limit = LastPatience
			}
			if now-l.Time < limit {
				return nil
			}
			delete(d.waiting, l.Cookie)
			if err := l.giveUp(give); err != nil {
				return err
			}
		}
		d.order = d.order[1:]
	}
	return nil
}

// giveUp gives out a line of which something has not come.
func (l *Line) giveUp(give func(*Line) error) error {
	l.Nobody = l.Nobody && !l.AskOwner // it may be accepted yet
	return give(l)
}

// Flush gives out all that waits.
func (d *Desk) Flush(give func(*Line) error) error { return d.Expire(1<<62, give) }
