package render

import (
	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// JSON is the sink for programs: one object per line with the members that
// JSONFields lists.
type JSON struct {
	*Writer
	// Event appends an event as an object by which it can be read back; nil: it is
	// left out. Those that are inferred follow from others.
	Event func(b []byte, ev *tcp.Event) []byte

	o     object
	clock rfc3339
}

// NewJSON returns a JSON sink.
func NewJSON(w *Writer) *JSON { return &JSON{Writer: w} }

// jsonFacts write what is particular to each kind.
var jsonFacts = [...]func(*object, *conn.Step){
	tcp.KindState:       jsonState,
	tcp.KindPacket:      jsonPacket,
	tcp.KindRetransmit:  jsonRetransmit,
	tcp.KindSynAckAgain: jsonSynAck,
	tcp.KindSendReset:   jsonReset,
	tcp.KindDrop:        jsonDrop,
	tcp.KindSocketError: jsonError,
	tcp.KindSocket:      jsonSocket,
	tcp.KindGap:         jsonGap,

	tcp.KindConnectFailed: jsonError,
}

// Write appends one event.
func (j *JSON) Write(s *conn.Step) error {
	ev := s.Event
	o := &j.o
	o.b = append(j.buf, '{')
	o.known(fSeq, ev.Seq)
	o.key(fTime)
	o.b = append(j.clock.append(append(o.b, '"'), ev.Time), '"')
	o.int(fTimeNs, ev.Time)
	o.word(fKind, ev.Kind.String())
	jsonPlace(o, s)
	if k := ev.Kind; int(k) < len(jsonFacts) && jsonFacts[k] != nil {
		jsonFacts[k](o, s)
	}
	if j.Event != nil && !ev.Inferred {
		o.key(fEvent)
		o.b = j.Event(o.b, ev)
	}
	return j.commit(append(o.b, '}', '\n'))
}

// Begin writes what was asked for, a JSON object.
func (j *JSON) Begin(trace []byte) error {
	o := &j.o
	o.b = append(j.buf, '{')
	o.word(fKind, kindTrace)
	o.key(fTrace)
	return j.commit(append(append(o.b, trace...), '}', '\n'))
}

// Keep writes an event that is not shown.
func (j *JSON) Keep(ev *tcp.Event) error {
	if j.Event == nil {
		return j.err
	}
	o := &j.o
	o.b = append(j.buf, '{')
	o.word(fKind, kindHidden)
	o.key(fEvent)
	return j.commit(append(j.Event(o.b, ev), '}', '\n'))
}

// Kinds of lines that show no event.
const (
	kindTrace  = "trace"
	kindHidden = "hidden"
)

// jsonPlace writes which connection it is, and whose.
func jsonPlace(o *object, s *conn.Step) {
	ev, cookie := s.Event, s.Event.Cookie
	if c := s.Conn; c != nil {
		o.known(fConn, c.Number)
		if c.Role != conn.RoleUnknown {
			o.word(fRole, c.Role.String())
		}
		cookie = c.Cookie
	}
	o.known(fCookie, cookie)
	o.known(fNetns, uint64(ev.Netns))
	if s.Conn != nil && s.Conn.Namespace != nil {
		o.text(fNetnsName, s.Conn.Namespace.Name)
	}
	if s.Conn != nil || ev.Kind != tcp.KindPacket {
		o.end(fLocalAddr, fLocalPort, s.Flow.Local)
		o.end(fRemoteAddr, fRemotePort, s.Flow.Remote)
	}
	if s.Conn != nil && s.Conn.Peer != nil {
		o.known(fPeerCookie, s.Conn.Peer.Cookie)
	}
	if ev.Kind != tcp.KindState && ev.New != tcp.StateUnknown {
		o.word(fState, stateOf(ev).String())
	}
	jsonProcess(o, s)
}

// stateOf is the state in an event that is no transition. All minisocks are in
// TIME_WAIT to those who only look at them from outside.
func stateOf(ev *tcp.Event) tcp.State {
	if ev.Minisock != tcp.StateUnknown {
		return ev.Minisock
	}
	return ev.New
}

func jsonProcess(o *object, s *conn.Step) {
	if t := &s.Event.Task; t.Known() && s.Event.Kind != tcp.KindSocket { // who holds a socket does nothing to it
		o.uint(fPid, uint64(t.PID))
		o.known(fTid, uint64(t.TID))
		o.bytes(fComm, t.Name())
	}
	c := s.Conn
	if c == nil {
		return
	}
	if c.Task.Known() {
		o.task(fOwnerPid, fOwnerComm, &c.Task)
		o.word(fOwnerVia, c.Via.String())
	}
	if c.Opener.PID != c.Task.PID {
		o.task(fOpenerPid, fOpenerComm, &c.Opener)
	}
	o.known(fCgroup, c.Cgroup)
	if p := c.Home; p != nil {
		o.text(fCgroupPath, p.Path)
		o.text(fContainer, p.Container)
		o.text(fContainerName, p.Name)
		o.text(fRuntime, p.Runtime)
	}
	o.when(fOlder, c.OlderThanTrace())
}

func jsonState(o *object, s *conn.Step) {
	o.word(fOldState, s.Event.Old.String())
	o.word(fNewState, s.Event.New.String())
	if s.InStateKnown {
		o.micros(fInStateUs, s.InState)
		o.when(fInStateInferred, s.HalfOpen)
	}
	if s.Remains != tcp.StateUnknown {
		o.word(fInferredState, s.Remains.String())
	}
	if s.Event.Inferred {
		o.when(fInferred, true)
		o.word(fInferredFrom, s.From.String())
	}
	if s.Event.Errno != 0 {
		jsonError(o, s)
	}
	o.when(fNoSYN, s.Unsent)
}

func jsonRetransmit(o *object, s *conn.Step) {
	o.word(fRetransmit, s.Event.Again.String())
	o.known(fRetransmitCount, uint64(s.Event.Count))
	if s.Event.Errno != 0 {
		jsonError(o, s)
	}
	jsonSegment(o, &s.Event.Packet)
}

func jsonSynAck(o *object, s *conn.Step) { o.known(fRetransmitCount, uint64(s.Event.Count)) }

func jsonReset(o *object, s *conn.Step) {
	o.text(fReason, s.Event.Reason)
	jsonSegment(o, &s.Event.Packet)
}

func jsonDrop(o *object, s *conn.Step) {
	o.text(fReason, s.Event.Reason)
	o.known(fIfindex, uint64(s.Event.Packet.Ifindex))
	jsonSegment(o, &s.Event.Packet)
}

func jsonError(o *object, s *conn.Step) {
	n := s.Event.Errno
	if n < 0 {
		n = -n
	}
	o.int(fErrno, int64(n))
	if name := errnoName(n); name != "" {
		o.word(fError, name)
	}
	o.when(fSoft, s.Event.Soft)
}

// jsonSocket writes the counters of a socket that existed at start.
func jsonSocket(o *object, s *conn.Step) {
	o.known(fRetransmitCount, uint64(s.Event.Count))
	if c := s.Conn; c != nil && s.Event.Known != nil {
		o.known(fSinceNs, uint64(c.Since))
		if c.Witnessed {
			o.known(fOpenedNs, uint64(c.Opened))
		}
	}
	n := s.Event.Counters
	if n == nil {
		return
	}
	for _, c := range [...]struct {
		f field
		v uint64
	}{
		{fBytesAcked, n.BytesAcked}, {fBytesReceived, n.BytesReceived}, {fSegsOut, uint64(n.SegsOut)}, {fSegsIn, uint64(n.SegsIn)},
		{fRetransmits, uint64(n.Retransmits)}, {fSrttUs, uint64(n.SRTT)}, {fBacklog, uint64(n.Backlog)}, {fMaxBacklog, uint64(n.MaxBacklog)},
	} {
		o.known(c.f, c.v)
	}
}

func jsonGap(o *object, s *conn.Step) {
	g := &s.Event.Gap
	o.word(fCause, g.Cause.String())
	o.uint(fLost, g.Lost)
	o.text(fHook, g.Hook)
}

// jsonSegment writes what a kernel event knows of its segment.
func jsonSegment(o *object, p *tcp.Packet) {
	if !p.IsTCP {
		return
	}
	if p.Dir != tcp.DirUnknown {
		o.word(fDirection, p.Dir.String())
	}
	jsonFlags(o, p.Flags)
	o.uint(fTCPSeq, uint64(p.Seq))
	o.int(fLength, int64(p.PayloadLen))
}

func jsonFlags(o *object, f tcp.Flags) {
	o.key(fFlags)
	o.b, _ = f.AppendText(append(o.b, '"'))
	o.b = append(o.b, '"')
}
