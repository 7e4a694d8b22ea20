package tcp

// Known is what KindKnown adds: what a trace knew of one end of a connection, for
// the next file of a recording to go on from. A KindSocket may have it, too: then that
// is how an end stood when what is in the file begins (ID 0 is no end's number there). The event's own fields tell the end's
// tuple, state, process and place, ISN and PeerISN where its numbers begin (the
// SYNs' own numbers here); of times that are zero nothing is known. Ends are told
// the earlier before the later one. ID 0 is the trace as a whole: how many numbers
// it has given, with the event's Timer counted at Due, and Since, the last gap.
type Known struct {
	ID     uint32 // 1, 2, 3 … among the ends told together
	Peer   uint32 // ID of its other end; 0 none, or not told
	Before uint32 // ID of who had the tuple before, and may be in TIME_WAIT; 0 none
	Suitor uint32 // ID of who may be its other end; 0 none
	Number uint64 // of the conversation; 0 none yet

	Role  uint8 // as internal/conn numbers them
	Why   uint8 // what the end of its small socket will follow from, likewise
	Marks Marks

	Since, Opened, Closed, Last int64 // when: State, the end itself, →CLOSE, the last event; ns since 1970
	Due, Armed                  int64 // of what stands for it: when its end is told, and when that was set
	Undo                        int64 // Due before its last segment; 0: that has not moved it
	Undone                      uint32

	Stamp         uint32 // TSval of its last SYN
	OutEnd, InEnd uint32 // behind the FIN sent, and received
	Sent          uint32 // half-open: what the third ACK has to acknowledge

	Opener Task
	Alias  Flow // its tuple on the wire
}

// Marks is a set of what is true of an end. Recordings hold it: bits keep their
// meaning.
type Marks uint32

// The marks.
const (
	MarkSocket   Marks = 1 << iota // a kernel event vouched for the socket
	MarkOlder                      // it existed before the trace began
	MarkCookie                     // its cookie finds it
	MarkTuple                      // its tuple finds it
	MarkAlias                      // its tuple on the wire finds it
	MarkISN                        // ISN is known
	MarkPeerISN                    // PeerISN is known
	MarkSettled                    // the kernel has told both
	MarkGuessed                    // it is the caller, and its peer is not certain
	MarkUnsent                     // it ended in SYN_SENT, and connect()'s error was not told yet
	MarkStands                     // a request socket or a timewait minisock stands for it
	MarkEmbryo                     // SYN_RECV began with the request socket
	MarkAnswered                   // half-open: the third ACK has come
	MarkHanded                     // there may be a minisock
	MarkRFC1337                    // a RST does not end TIME_WAIT
	MarkOut                        // its FIN was sent,
	MarkOutAcked                   // and acknowledged
	MarkIn                         // the other end's FIN has come,
	MarkInAcked                    // and was acknowledged
	MarkMissed                     // of the trace: some events were lost
	MarkTold                       // people are told of it: KindSocket
)

// Has reports whether all of f are set.
func (m Marks) Has(f Marks) bool { return m&f == f }
