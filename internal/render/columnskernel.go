package render

import (
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// columnFacts write what the kernel column says of each kind.
var columnFacts = [...]func(*Columns, *conn.Step){
	tcp.KindState:        (*Columns).transition,
	tcp.KindRetransmit:   (*Columns).retransmit,
	tcp.KindSynAckAgain:  (*Columns).synAckAgain,
	tcp.KindSendReset:    (*Columns).resetSent,
	tcp.KindReceiveReset: (*Columns).resetReceived,
	tcp.KindDrop:         (*Columns).drop,
	tcp.KindSocketError:  (*Columns).socketError,
	tcp.KindOwner:        (*Columns).owner,
	tcp.KindSocket:       (*Columns).existed,

	tcp.KindConnectFailed: (*Columns).connectFailed,
}

func (v *Columns) kernel(s *conn.Step) {
	v.c.to(v.lay.process)
	v.process(s)
	v.c.to(v.lay.move)
	k := s.Event.Kind
	if int(k) < len(columnFacts) && columnFacts[k] != nil {
		columnFacts[k](v, s)
	} else {
		v.c.text(k.String())
	}
}

// process appends who it was; dim where the event itself does not tell, and it
// is the last process that certainly acted on the socket.
func (v *Columns) process(s *conn.Step) {
	c, t := &v.c, &s.Event.Task
	if !t.Known() {
		c.in(styleDim)
		if t = owner(s); t == nil {
			if !s.Event.Inferred { // which nobody has done
				c.text("?")
			}
			c.plain()
			return
		}
	}
	v.task(t, v.lay.move-v.lay.process-1)
	c.plain()
}

// task appends "COMM/PID" in at most room columns, at the name's expense; in
// tight columns, where little of the name would be left, the name alone (the
// heading has the PID).
func (v *Columns) task(t *tcp.Task, room int) {
	whole := len(t.Name()) + len("/") + digits(uint64(t.PID))
	if !v.lay.roomy && whole > room {
		v.c.name(t.Name(), room)
		return
	}
	v.c.name(t.Name(), room-len("/")-digits(uint64(t.PID)))
	v.c.text("/")
	v.c.uint(uint64(t.PID))
}

func (v *Columns) transition(s *conn.Step) {
	c, ev := &v.c, s.Event
	c.in(styleDim)
	c.text(v.stateName(ev.Old))
	if v.lay.roomy {
		c.text(" ")
	}
	c.glyph(glyphTo)
	if v.lay.roomy {
		c.text(" ")
	}
	if !ev.Inferred {
		c.in(stateStyle(ev))
	}
	c.text(v.stateName(ev.New))
	c.plain()
	if s.InStateKnown {
		v.spent(s.InState)
	}
	c.to(v.lay.wire)
	if ev.Errno != 0 {
		v.errno(ev.Errno)
	}
	v.inferred(s)
}

// inferred appends what was not traced; hence dim.
func (v *Columns) inferred(s *conn.Step) {
	what, word := "", remains(s)
	switch {
	case s.Event.Inferred:
		what, word = "inferred: ", s.From.String()
	case s.HalfOpen:
		word = "from the SYN-ACK on"
	case s.Unsent:
		word = "no SYN sent"
	}
	if word != "" {
		v.c.in(styleDim)
		v.c.text(what)
		v.c.text(word)
		v.c.plain()
	}
}

// stateName shortens the one long name where there is no room.
func (v *Columns) stateName(st tcp.State) string {
	if st == tcp.Established && !v.lay.roomy {
		return "ESTAB"
	}
	return st.String()
}

func stateStyle(ev *tcp.Event) style {
	switch {
	case ev.Errno != 0:
		return styleRed
	case ev.New == tcp.Established:
		return styleGreen
	}
	return styleBold
}

// spent appends a duration at the right edge of its column.
func (v *Columns) spent(d time.Duration) {
	n, unit, tenth := shortDuration(d)
	w := digits(n) + len(unit)
	if tenth >= 0 {
		w += 2
	}
	v.c.to(v.lay.wire - 1 - w)
	v.duration(d)
}

// duration appends a duration in at most five columns.
func (v *Columns) duration(d time.Duration) {
	c := &v.c
	n, unit, tenth := shortDuration(d)
	c.uint(n)
	if tenth >= 0 {
		c.text(".")
		c.uint(uint64(tenth))
	}
	if unit == "us" {
		c.glyph(glyphMicro)
		unit = "s"
	}
	c.text(unit)
}

// shortDuration returns a duration in at most five columns; tenth is -1 where
// there is none.
func shortDuration(d time.Duration) (n uint64, unit string, tenth int) {
	for _, u := range [...]struct {
		below, unit, tenthsBelow time.Duration
		name                     string
	}{
		{time.Millisecond, time.Microsecond, 0, "us"},
		{time.Second, time.Millisecond, 10 * time.Millisecond, "ms"},
		{100 * time.Second, time.Second, 100 * time.Second, "s"},
		{100 * time.Minute, time.Minute, 10 * time.Minute, "m"},
		{100 * time.Hour, time.Hour, 0, "h"},
	} {
		if d < u.below {
			tenth = -1
			if d < u.tenthsBelow {
				tenth = int(d % u.unit * 10 / u.unit)
			}
			return uint64(d / u.unit), u.name, tenth
		}
	}
	return uint64(d / (24 * time.Hour)), "d", -1
}

func (v *Columns) errno(n int32) {
	v.c.in(styleRed)
	v.scratch = appendErrno(v.scratch[:0], n)
	v.c.ascii(v.scratch)
	v.c.plain()
}

func (v *Columns) retransmit(s *conn.Step) {
	c, ev := &v.c, s.Event
	c.in(styleYellow)
	c.text("retransmit ")
	c.text(ev.Again.String())
	v.count(ev.Count)
	if ev.Errno != 0 {
		c.text(" failed ")
		v.errno(ev.Errno)
	}
	v.segmentOf(ev)
}

func (v *Columns) synAckAgain(s *conn.Step) {
	v.c.in(styleYellow)
	v.c.text("retransmit SYN-ACK")
	v.count(s.Event.Count)
}

func (v *Columns) count(n uint32) {
	if n > 0 {
		v.c.text(" ")
		v.c.uint(uint64(n))
	}
}

func (v *Columns) resetSent(s *conn.Step) {
	v.c.in(styleRed)
	v.c.text("reset sent ")
	v.c.name([]byte(s.Event.Reason), v.c.room())
}

func (v *Columns) resetReceived(*conn.Step) {
	v.c.in(styleRed)
	v.c.text("reset received")
}

func (v *Columns) drop(s *conn.Step) {
	v.c.in(styleRed)
	v.c.text("drop ")
	v.c.name([]byte(s.Event.Reason), v.c.room())
	v.segmentOf(s.Event)
}

func (v *Columns) socketError(s *conn.Step) {
	v.c.in(styleRed)
	v.c.text("error ")
	v.errno(s.Event.Errno)
	if s.Event.Soft {
		v.c.text(" (soft)")
	}
}

func (v *Columns) connectFailed(s *conn.Step) {
	v.c.in(styleRed)
	v.c.text("connect failed ")
	v.errno(s.Event.Errno)
	v.c.text(" before a SYN")
}

// viaWords say in the present what a process does that was not known before.
var viaWords = [...]string{
	tcp.ViaUnknown: "uses it", tcp.ViaConnect: "connects", tcp.ViaListen: "listens",
	tcp.ViaRead: "reads", tcp.ViaWrite: "writes", tcp.ViaClose: "closes", tcp.ViaHeld: "holds it open",
}

func (v *Columns) owner(s *conn.Step) {
	v.c.in(styleDim)
	v.c.text(viaWords[min(int(s.Event.Via), len(viaWords)-1)])
	v.c.plain()
}

// existed is a socket that stood when what a file holds begins.
func (v *Columns) existed(s *conn.Step) {
	c := &v.c
	c.in(styleDim)
	c.text("existed in ")
	c.text(v.stateName(stateOf(s.Event)))
	if k := s.Conn; k != nil && k.Witnessed {
		c.to(v.lay.wire)
		c.text("opened ")
		v.duration(time.Duration(max(0, s.Event.Time-k.Opened)))
		c.text(" before")
		if k.Opener.Known() && v.lay.roomy { // else the heading has it
			c.text(" by ")
			v.task(&k.Opener, v.c.room())
		}
	}
	c.plain()
}

// segmentOf appends which segment a kernel event is about, and where it was
// going.
func (v *Columns) segmentOf(ev *tcp.Event) {
	p := &ev.Packet
	if !p.IsTCP {
		return
	}
	c := &v.c
	c.in(styleDim)
	c.text(" ")
	switch p.Dir {
	case tcp.DirOut:
		c.glyph(glyphOut)
		c.text(" ")
	case tcp.DirIn:
		c.glyph(glyphIn)
		c.text(" ")
	}
	v.flags(p.Flags)
	if p.PayloadLen > 0 {
		c.text(" len ")
		c.uint(uint64(p.PayloadLen))
	}
}

func (v *Columns) flags(f tcp.Flags) {
	v.scratch, _ = f.AppendText(v.scratch[:0])
	v.c.ascii(v.scratch)
}
