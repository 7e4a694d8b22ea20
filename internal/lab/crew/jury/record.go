package jury

import "fmt"

// Act is what a process did with a socket.
type Act uint8

// The acts. Same numbers as enum act in ../src/crew.h (a test compares them).
const (
	Name Act = iota + 1 // the process has the name Comm from now on
	Listen
	Connect
	Accept
	Hold // holds the socket from now on: inherited, or received
	Read
	Write
	Shutdown
	Close // of this process's own copy
	Exit  // ends with the socket open
	Gone  // its parent has waited for it
)

var actNames = [...]string{
	Name: "name", Listen: "listen", Connect: "connect", Accept: "accept", Hold: "hold", Read: "read",
	Write: "write", Shutdown: "shutdown", Close: "close", Exit: "exit", Gone: "gone",
}

// String returns the act's name in lower case.
func (a Act) String() string {
	if int(a) < len(actNames) && actNames[a] != "" {
		return actNames[a]
	}
	return fmt.Sprintf("act %d", uint8(a))
}

// Record is one line of a process's own log.
type Record struct {
	Act           Act
	From, To      int64 // before and after the system call; To 0: it did not return
	Cookie        uint64
	PID, TID      uint32 // PID: the thread group
	Result        int32  // bytes of Read and Write, or -errno
	Local, Remote uint16
	Server        bool   // the socket was accepted, or listens
	Comm          string // of the thread group's leader
}

// overlaps reports whether the act may have happened in a span of time.
func (r *Record) overlaps(from, to int64) bool { return r.To >= from && r.From <= to }

// takes and leaves are the acts by which a process comes to hold a socket, and
// ceases to.
var (
	takes  = [Gone + 1]bool{Listen: true, Connect: true, Accept: true, Hold: true}
	leaves = [Gone + 1]bool{Close: true, Exit: true}
)

// acts on the socket, in the sense; Accept and Hold only hold it.
var acts = [Gone + 1]bool{Listen: true, Connect: true, Read: true, Write: true, Shutdown: true, Close: true, Exit: true}
