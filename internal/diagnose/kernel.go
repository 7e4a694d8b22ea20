package diagnose

import (
	"strconv"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// kernel takes in what is no packet.
func (e *Engine) kernel(r *record, s *conn.Step) {
	ev := s.Event
	c := Clue{Time: ev.Time, Errno: ev.Errno, Reason: plainReason(ev.Reason)}
	if p := &ev.Packet; p.IsTCP {
		c.Flags, c.Seq, c.Len = p.Flags, p.Seq, uint32(p.PayloadLen)
	}
	switch ev.Kind {
	case tcp.KindState:
		e.moves(r, s)
		return
	case tcp.KindSocket:
		e.existed(r, s)
		return
	case tcp.KindRetransmit:
		c.Sight, c.Again = Resent, ev.Again
		e.resent(r, ev)
	case tcp.KindSynAckAgain:
		c.Sight = SynAckAgain
		r.saw.synAckAgain = max(r.saw.synAckAgain+1, ev.Count)
	case tcp.KindDrop:
		c.Sight = DroppedOut
		if ev.Packet.Dir == tcp.DirIn {
			c.Sight = DroppedIn
			e.lacked(r, &c)
		}
		if r.open() && c.Sight == DroppedIn {
			r.file.drop(of(c.Sight), ev.Time-int64(e.lim.Calm))
		}
	case tcp.KindSendReset:
		c.Sight = ResetSent
		e.resets(r, s)
	case tcp.KindReceiveReset:
		c.Sight = ResetReceived
		if r.saw.reset = theyAborted; ev.New != tcp.Close {
			r.saw.resetState = ev.New
		}
	case tcp.KindSocketError:
		c.Sight = Failed
		if ev.Soft {
			c.Sight = NotedError
		} else if ev.Errno != 0 {
			r.errno = ev.Errno
		}
	case tcp.KindConnectFailed:
		c.Sight = ConnectFailed
		r.errno, r.closed = ev.Errno, ev.Time
		e.wake(r, ev.Time)
	default:
		return
	}
	e.note(r, c)
	if r.told != nil && r.closed == 0 {
		e.wake(r, ev.Time)
	}
	switch {
	case c.Sight == DroppedIn && r.born:
		e.wake(r, ev.Time+int64(settle))
	case r.due == never:
		e.wake(r, ev.Time+int64(e.lim.After))
	}
}

// resent counts a retransmission by its kind.
func (e *Engine) resent(r *record, ev *tcp.Event) {
	w := &r.saw
	if ev.Errno < 0 {
		return // it could not even be sent
	}
	switch {
	case ev.Again == tcp.RetransmitSYN:
		w.syn++
		return
	case ev.Packet.PayloadLen == 0:
		return // a FIN: those that wait for it are judged by their state
	}
	switch pause := ev.Time - w.lossTo; {
	case w.spell == 0:
		w.sentFrom = w.sentBefore
	case pause >= int64(e.lim.Calm) && ev.Count <= 1:
		r.losesAnew() // no acknowledgement was seen that ended the episode
	}
	switch ev.Again {
	case tcp.RetransmitFast:
		w.fast++
	case tcp.RetransmitTLP:
		w.tlp++
		w.probing = true
	case tcp.RetransmitLossRepair:
		w.repair++
	case tcp.RetransmitRTO:
		w.rto++
		w.probing = false
		if w.row == 0 || ev.Count <= 1 {
			w.rowFrom, w.deadAcks = ev.Time, 0
		}
		w.row = max(ev.Count, 1)
		w.worst = max(w.worst, w.row)
		w.deadLen, w.deadSeq = uint32(ev.Packet.PayloadLen), ev.Packet.Seq
	}
	if ev.Time-w.lossTo > int64(e.lim.Spell) {
		w.spell, w.lossFrom = 0, ev.Time
	}
	w.spell++
	w.worstSpell = max(w.worstSpell, w.spell)
	w.lossTo = ev.Time
	if w.row >= e.lim.Timeouts || w.fast >= e.lim.Fast {
		e.wake(r, ev.Time+int64(settle))
	}
}

// losesAnew begins an episode: what was sent in the last minute or two is what it is
// held against, not all that went well before.
func (r *record) losesAnew() {
	r.saw.losses = losses{sentFrom: r.saw.sentBefore}
	if t := r.told; t != nil && (r.peer == nil || r.peer.saw.spell == 0) { // else the other end's goes on
		t.end(t.rules & losing.rules)
	}
}

// resets says who resets whom. What was under way when a RST ended the connection
// meets no socket afterwards, and is answered by more of them: the first counts.
func (e *Engine) resets(r *record, s *conn.Step) {
	kind := weAborted
	if answersSegment(s.Event) {
		if r.saw.reset == weAborted || r.saw.reset == theyAborted {
			return
		}
		kind = weRefused
		r.saw.refused, r.saw.refusedLen = s.Event.Packet.Flags, uint32(s.Event.Packet.PayloadLen)
		e.wake(r, s.Event.Time+int64(settle))
	}
	r.saw.reset, r.saw.resetState = kind, s.Event.New
}

// answersSegment: the RST was nobody's, and names the segment that it answers.
func answersSegment(ev *tcp.Event) bool {
	return ev.Kind == tcp.KindSendReset && ev.Packet.IsTCP && ev.Packet.Dir == tcp.DirIn
}

// existed is for a socket that is older than the trace.
func (e *Engine) existed(r *record, s *conn.Step) {
	ev := s.Event
	r.State, r.since = s.Conn.State, ev.Time
	r.born = ev.New != tcp.NewSynRecv
	e.note(r, Clue{Sight: Existed, Time: ev.Time, New: r.State})
	e.entered(r, ev.Time)
}

// moves follows the transitions.
func (e *Engine) moves(r *record, s *conn.Step) {
	ev := s.Event
	r.born = r.born || !ev.Inferred
	r.begun = r.begun || !ev.Inferred && (ev.Old == tcp.Listen || ev.Old == tcp.Close)
	e.leaves(r, ev)
	r.State, r.since = ev.New, ev.Time
	switch {
	case ev.New == tcp.Established:
		e.established(r, ev.Time)
		return
	case ev.New == tcp.Close:
		e.closes(r, s, ev.Old)
		return
	case ev.New == tcp.TimeWait:
		e.entered(r, ev.Time)
		e.last(r, ev.Time)
		return
	}
	e.note(r, Clue{Sight: Moved, Time: ev.Time, Old: ev.Old, New: ev.New})
	e.entered(r, ev.Time)
}

// leaves remembers a state that has lasted too long.
func (e *Engine) leaves(r *record, ev *tcp.Event) {
	switch r.State {
	case tcp.CloseWait, tcp.FinWait2, tcp.FinWait1, tcp.LastAck:
		gaveUp := ev.New == tcp.Close && ev.Errno == int32(unix.ETIMEDOUT)
		if ev.New != r.State && (gaveUp || r.told != nil && ev.Time-r.quiet() >= int64(e.lim.After)) {
			r.hung, r.hungFor = r.State, ev.Time-r.since
		}
	}
}

// established drops the evidence about the handshake where it went well.
func (e *Engine) established(r *record, now int64) {
	r.taken = now
	if r.told != nil {
		e.judge(r, now)
		r.getsThrough()
	}
	if r.saw.bareSynAck > 0 { // the counters of the namespace tell why, and later
		e.rest(r)
		e.wake(r, now+int64(countersLate))
		return
	}
	r.saw.syn = 0
	e.shelve(r)
	e.rest(r)
}

// getsThrough is for a connection that its listener has taken at last: what kept it out
// explains what both ends have lost until now, and nothing after.
func (r *record) getsThrough() {
	t := r.told
	if t == nil || r.Role != conn.RoleServer || t.rules&opening == 0 {
		return
	}
	t.past |= t.rules & opening
	for _, end := range [...]*record{r, r.peer} {
		if end != nil {
			end.saw.losses = losses{sentFrom: end.saw.sentBefore}
		}
	}
}

// entered has a state looked at that should not last.
func (e *Engine) entered(r *record, now int64) {
	switch r.State {
	case tcp.SynSent, tcp.SynRecv, tcp.CloseWait, tcp.FinWait1, tcp.FinWait2, tcp.LastAck, tcp.Closing:
		e.watched.set(r, now+int64(e.lim.After))
	}
}

// closes is for →CLOSE.
func (e *Engine) closes(r *record, s *conn.Step, from tcp.State) {
	ev := s.Event
	if ev.Errno != 0 {
		r.errno = ev.Errno
	}
	r.patience, r.from = ev.UserTimeout, from
	e.note(r, Clue{Sight: Moved, Time: ev.Time, Old: from, New: tcp.Close, Errno: ev.Errno})
	switch s.Remains {
	case tcp.FinWait2: // it stands on, without its owner
		r.State, r.since = tcp.FinWait2, ev.Time
		e.entered(r, ev.Time)
		return
	case tcp.TimeWait:
		r.State = tcp.TimeWait
	}
	if s.Unsent {
		r.errno = int32(unix.EADDRNOTAVAIL)
	}
	e.last(r, ev.Time)
}

// last has the last word said soon.
func (e *Engine) last(r *record, now int64) {
	if r.closed != 0 {
		return
	}
	r.closed = now
	wait := settle
	if p := r.peer; p != nil && !p.born && p.saw.synIn > 0 {
		wait = countersLate // it never became a socket
	}
	e.watched.set(r, now+int64(wait))
}

// plainReason is the kernel's word for a reason. What a recording has in its place may be
// a stranger's text, and goes into the sentences of findings.
func plainReason(reason string) string {
	for i := range len(reason) {
		if c := reason[i]; c <= ' ' || c > '~' || c == '\\' || c == '"' {
			quoted := strconv.QuoteToASCII(reason)
			return quoted[1 : len(quoted)-1]
		}
	}
	return reason
}
