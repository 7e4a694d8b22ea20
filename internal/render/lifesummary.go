package render

import (
	"strconv"

	"tcpstory/internal/life"
	"tcpstory/internal/tcp"
)

// LifeSummary counts what was shown, for the lines at exit. The zero value is
// ready for use.
type LifeSummary struct {
	Connections, Failed uint64 // that have ended
	Open                uint64 // those that were told and stood still (--open)
	Unnoted             uint64 // sockets for whose note the kernel had no room
	HalfUnnoted         uint64 // half-open connections likewise
	HalfOpen            uint64 // those that were not told, and stood still in the end
	losses              Summary
}

// Count counts a line that was shown.
func (s *LifeSummary) Count(l *life.Line) {
	if l.End == life.EndOpen {
		s.Open++
		return
	}
	s.Connections++
	if l.End.Failed() {
		s.Failed++
	}
}

// Lose counts what was lost.
func (s *LifeSummary) Lose(g *tcp.Gap) { s.losses.lose(g) }

// Append appends the lines.
func (s *LifeSummary) Append(dst []byte) []byte {
	dst = appendPlural(dst, s.Connections, "connection", "ended\n")
	dst = append(strconv.AppendUint(dst, s.Failed, 10), " of them failed\n"...)
	if s.Open > 0 {
		dst = append(strconv.AppendUint(dst, s.Open, 10), " open still\n"...)
	}
	if s.HalfOpen > 0 {
		dst = appendPlural(dst, s.HalfOpen, "half-open connection", "not told: no end is known yet (--open tells them)\n")
	}
	dst = s.losses.appendLosses(dst)
	if s.Unnoted > 0 {
		dst = appendPlural(append(dst, "*** "...), s.Unnoted, "connection", "without room for a note: told as if older than tcpstory\n")
	}
	if s.HalfUnnoted > 0 {
		dst = appendPlural(append(dst, "*** "...), s.HalfUnnoted, "repeated SYN-ACK", "without room for a note: such half-open connections may be missing\n")
	}
	return dst
}
