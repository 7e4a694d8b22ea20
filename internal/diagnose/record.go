package diagnose

import (
	"time"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// stream follows one direction of a connection, as far as rules need it.
type stream struct {
	known   bool
	fin     bool   // it has ended
	next    uint32 // behind the last byte sent
	acked   uint32 // what the other end has acknowledged
	first   uint32 // its first byte's number
	largest uint32 // most payload of one segment that was acknowledged, bytes
	probe   uint32 // payload of a larger one under way, and where it ends
	probeTo uint32
	asked   int64  // when it began to speak after the other had, ns; 0 never
	askSeq  uint32 // and by which segment
	askLen  uint32
	askAck  uint32
	askWin  uint16
	aside   bool   // what it said since then may ask for no answer: it is small, and followed an answer at once
	last    int64  // when it sent something new
	saidAck int64  // when that was acknowledged
	said    int64  // likewise, with data; 0 never
	pace    int64  // the longest pause within what it said since the other spoke, ns
	more    bool   // its last segment announces that more comes
	ended   int64  // when its FIN was sent first; 0 not yet
	ackAt   int64  // when the other end last acknowledged something new
	doubt   bool   // some of it may have been lost by us, and not by the network
	unsure  bool   // its window was closed before that, and was not seen since,
	stood   uint32 // and what was acknowledged then
	zero    int64  // since when its receiver has let it send nothing; 0 not so
	opened  int64  // when that ended last
	probes  uint32 // empty segments that ask for an answer: probes of a closed window since then, and keepalives
	closed  closure
}

// closure is the longest that a receiver has stopped a direction.
type closure struct {
	lasted int64
	probes uint32
	at     int64 // when one that lasted long enough has ended last
}

// outstanding: something was sent that is not acknowledged.
func (s *stream) outstanding() bool { return s.known && int32(s.next-s.acked) > 0 }

// lastByte is the FIN's, which is none of what was said: 1, or 0 where none was sent.
func (s *stream) lastByte() uint32 {
	if s.fin {
		return 1
	}
	return 0
}

// unacked: something was said that is not acknowledged.
func (s *stream) unacked() bool { return s.known && int32(s.next-s.lastByte()-s.acked) > 0 }

// farewell: all that it said since the other end spoke was said at once before its FIN
// (close_notify, QUIT, GOAWAY), and asks for nothing. Who has heard nothing yet asks.
func (s *stream) farewell(other *stream) bool {
	return s.ended != 0 && other.spoke() && s.ended-s.asked < int64(settle)
}

// turn says which direction sent new data last.
type turn uint8

const (
	nobody turn = iota
	ours
	theirs
)

// other is the other direction; of nobody, nobody.
func (t turn) other() turn {
	switch t {
	case ours:
		return theirs
	case theirs:
		return ours
	}
	return nobody
}

// record is what is kept of one end of a connection.
type record struct {
	End
	peer *record // the other end, when it is here too

	in, out    stream
	turn       turn
	saw        seen
	born       bool // it is, or was, a socket: no request socket, and no more than packets
	opened     int64
	gap        int64     // when something was lost last, as far as it is taken in here
	torn       bool      // its beginning was not seen, and something had been lost before
	doubtful   int64     // since when something is in doubt that was lost
	lostBefore uint64    // how much had been lost when the present question was asked
	settled    bool      // the last word about the present question is said, and forgotten
	taken      int64     // when it became ESTABLISHED, ns
	readAt     int64     // when a process has first acted on it that had not made it, ns
	unreadSaid bool      // and the last word about what lay unread until then is said, and forgotten
	before     before    // what the latest segment with data that has arrived has changed
	held       bool      // a process had it before it acted
	mptcp      bool      // MPTCP was agreed on
	begun      bool      // the kernel has told of its socket's birth
	since      int64     // when the state was entered
	closed     int64     // when it went to CLOSE; 0 not yet
	errno      int32     // sk_err at the end
	from       tcp.State // what it was in before CLOSE
	waited     wait      // the slowest answer
	slow       uint32
	mss        uint16 // the smaller of both SYNs'; 0 unknown
	replies    uint32 // requests that were answered
	teaches    bool   // the first of them taught that its server answers
	stalls     stalls

	rtt      time.Duration // that the handshake took, at the client; 0 unknown
	pause    int64         // how long nothing was said before what was sent last
	heard    int64         // when something arrived last
	well     turn          // whose RST it was that took nothing away, as the other end has seen
	hops     uint8         // hop limit of what arrives; 0 unknown
	rstHops  uint8         // of the RST that arrived
	asked    int64         // when a SYN, or an ACK while half open, arrived last
	overflow tally         // of ListenOverflows
	dropped  tally         // of TCPReqQFullDrop
	patience time.Duration // TCP_USER_TIMEOUT, where it has ended the connection
	hung     tcp.State     // the state that it has left at last, after too long,
	hungFor  int64         // and after how long
	pile     *pile         // it is the one that made a pile of TIME_WAIT too high

	due    int64 // when it is looked at next, ns; never is far away
	listed bool  // on the agenda,
	slot   int32 // and where
	next   *record
	told   *told
	file   *dossier
}

// End is whose the record is, as far as it is known.
type End struct {
	Number    uint64
	Cookie    uint64
	Netns     uint32
	Role      conn.Role
	State     tcp.State
	Older     bool // it existed before what was told begins,
	Witnessed bool // … but the trace has seen it begin
	Flow      tcp.Flow
	Task      tcp.Task
	Via       tcp.Via // how Task is known
	Namespace *tcp.Place
	Home      *tcp.Place
	Cgroup    uint64
}

// OlderThanTrace reports an end that nobody has seen begin.
func (n *End) OlderThanTrace() bool { return n.Older && !n.Witnessed }

// seen counts what was seen of a connection.
type seen struct {
	packets             uint32 // of any kind
	synOut, synIn       uint32
	synAckOut, synAckIn uint32
	finOut, finIn       uint32
	rstOut, rstIn       uint32
	ackIn               uint32 // while half open: the third ACK
	synAckAgain         uint32
	syn                 uint32 // SYNs that were sent again
	losses
	sent        uint32 // data segments sent,
	sentTo      uint32 // of them, those up to the mark,
	sentBefore  uint32 // and up to the one before it
	mark        int64  // when the last mark was made: one in Limits.Calm
	reset       resetKind
	resetState  tcp.State
	refused     tcp.Flags // of the segment that a RST answered
	refusedLen  uint32
	untaken     uint32 // data segments that this end lacks, and did not take: not acceptable,
	untakenAt   int64  // the last of them,
	untakenWhy  string // and the kernel's reason
	unexplained uint32 // or the kernel does not say why
	bareSynAck  uint32 // SYN-ACKs without a request socket: SYN cookies
	firstSyn    int64
}

// losses are what was sent again in the present episode.
type losses struct {
	fast, tlp   uint32 // retransmissions by kind
	probing     bool   // the last was a tail loss probe
	probed      uint32 // such probes that were acknowledged
	rto, repair uint32
	row         uint32 // time-outs in a row now
	worst       uint32 // most of them in a row
	rowFrom     int64  // when that row began
	lossFrom    int64  // the first loss of the present spell
	lossTo      int64
	spell       uint32 // losses in it
	worstSpell  uint32
	sentFrom    uint32 // data segments sent before it counts
	deadLen     uint32 // payload of the segment that timed out last
	deadSeq     uint32
	deadAcks    uint32 // duplicate ACKs for what lies in front of it, while it timed out
	needless    uint32 // probes and repetitions of which the receiver says that it had the data
}

// sends counts data segments.
func (w *seen) sends(n uint32, now int64, calm time.Duration) {
	switch pause := time.Duration(now - w.mark); {
	case pause >= 2*calm: // it was quiet
		w.sentBefore, w.sentTo, w.mark = w.sent, w.sent, now
	case pause >= calm:
		w.sentBefore, w.sentTo, w.mark = w.sentTo, w.sent, now
	}
	w.sent += n
}

// resetKind says who ended it by a RST.
type resetKind uint8

const (
	noReset resetKind = iota
	weAborted
	theyAborted
	weRefused // a segment met no socket here
)

// wait is a request that was answered late.
type wait struct {
	from, to int64
	due      int64 // when its acknowledgement was seen, else from
	acked    int64
	aside    bool  // it may not have been a request
	last     int64 // when one was answered late last
}

// stalls are small segments that wait for the acknowledgement of the one before.
type stalls struct {
	count uint32
	sum   int64
	last  int64 // when one waited so last
	sent  int64 // when a small segment left, and nothing since; 0: none has
	ackAt int64 // when it was acknowledged, by an empty segment
}

// before is what was known before a segment.
type before struct {
	end                     uint32 // where the segment ends
	next                    uint32
	slow, replies           uint32
	turn                    turn
	aside, more, settled    bool
	last, said, asked, pace int64
	waited                  wait
}

// keepsBefore keeps what a segment with data that has arrived, and ends there, is about
// to change.
func (r *record) keepsBefore(end uint32) {
	s := &r.in
	r.before = before{end, s.next, r.slow, r.replies, r.turn, s.aside, s.more, r.settled, s.last, s.said, s.asked, s.pace, r.waited}
}

// never is when a record is looked at that has nothing under way.
const never = int64(1<<63 - 1)
