package sockets

import (
	"os"
	"strconv"
	"strings"
	"time"

	"tcpstory/internal/tcp"
)

// What starts the timers that tell an age.
const (
	timeWait    = 60 * time.Second // TCP_TIMEWAIT_LEN
	firstSynAck = time.Second      // TCP_TIMEOUT_INIT
)

// settings are those of a namespace that say how long a state lasts; 0 unknown.
type settings struct{ finTimeout time.Duration }

// readSettings reads those of the calling thread's namespace.
func readSettings() (s settings) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fin_timeout") // it is the reader's namespace's
	if err != nil {
		return s
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
		s.finTimeout = time.Duration(n) * time.Second
	}
	return s
}

// age tells how long the socket has been in its state, where its timer began with
// it. What a timer was set to is not told: TIME_WAIT's is a constant; a half-open
// connection's is one second before the first repetition, and depends on who
// repeated what afterwards; an orphan's FIN_WAIT2 may have a time of its own
// (TCP_LINGER2).
func (set settings) age(s *tcp.Socket) {
	switch {
	case s.Minisock && s.State == tcp.TimeWait:
		runs(s, timeWait, tcp.AgeTimer)
	case s.Minisock && s.State == tcp.FinWait2 && set.finTimeout > 0:
		runs(s, set.finTimeout, tcp.AgeInferred)
	case s.State == tcp.NewSynRecv && s.Tries == 0:
		runs(s, firstSynAck, tcp.AgeInferred)
	}
}

// runs takes the socket's timer to have begun at so much.
func runs(s *tcp.Socket, from time.Duration, ground tcp.AgeGround) {
	switch {
	case s.Due > from: // it was set to something else
	case s.Due == 0:
		s.Age, s.AgeKnown = from, tcp.AgeAtLeast
	default:
		s.Age, s.AgeKnown = from-s.Due, ground
	}
}
