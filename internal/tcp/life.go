package tcp

import "time"

// Life is what KindLife adds: what the kernel's socket knows of itself when it
// ends. Event.Old is the state that it ended in, Event.Errno its sk_err, Task the
// last process that certainly acted on it. Times are wall clock, nanoseconds since
// 1970; 0 unknown.
type Life struct {
	Began       int64 // connect(), or the first SYN-ACK
	Established int64
	Shut        int64 // the first FIN, whoever's
	ShutToo     int64 // what came behind it: FIN_WAIT2, CLOSING or LAST_ACK
	FirstRead   int64 // the process has taken its first bytes

	BytesSent, BytesRetrans uint64 // payload; what was sent again counts in both
	Unacked                 uint32 // bytes written and not acknowledged, a FIN included
	RTTMin                  uint32 // microseconds; 0 no sample
	MSS, Cwnd               uint32
	Idle                    time.Duration // since data last went either way; in steps of a jiffy
	Flags                   LifeFlags
}

// LifeFlags are facts about a life (enum life_flag of bpf/event.h).
type LifeFlags uint32

// The facts.
const (
	LifeOut        LifeFlags = 1 << iota // connect() opened it
	LifeIn                               // a SYN that came did
	LifeWasOpen                          // it has been ESTABLISHED
	LifeOwnFIN                           // its own FIN is in the stream
	LifeFINFirst                         // before the other end's
	LifePeerFIN                          // the other end's was taken in
	LifeMinisock                         // a timewait minisock goes on in its place
	LifeHadFile                          // some process has had it as a file
	LifeOwnerComes                       // a KindOwner event may follow
	LifeResetComes                       // a KindSendReset event follows if the reset was our own
	LifeIsOpen                           // it goes on
	LifeChosen                           // a process that was asked for has used it
	LifeGuessed                          // Began is when the handshake ended
	LifeHalf                             // a request that was answered and never became a connection
	LifeReset                            // which a RST that came has ended
	LifeDoubt                            // what has ended it is not certain
)

// Has reports whether all of g are set.
func (f LifeFlags) Has(g LifeFlags) bool { return f&g == g }
