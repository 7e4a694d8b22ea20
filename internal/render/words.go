package render

import (
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/conn"
	"tcpstory/internal/tcp"
)

// errnoName returns the name of an error number, or "" for 0 and for numbers
// without one. The sign does not matter: the kernel returns errors negated.
func errnoName(n int32) string {
	if n < 0 {
		n = -n
	}
	if n == 0 {
		return ""
	}
	return unix.ErrnoName(unix.Errno(n))
}

// appendErrno appends the error's name, or its number where it has none.
func appendErrno(dst []byte, n int32) []byte {
	if name := errnoName(n); name != "" {
		return append(dst, name...)
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// remainsWords say what the kernel keeps of a connection whose socket it closes.
var remainsWords = [...]string{
	tcp.TimeWait: "now TIME_WAIT", tcp.FinWait2: "now FIN_WAIT2, orphan", tcp.Close: "no room for TIME_WAIT",
}

// remains is the word for what a →CLOSE leaves behind, "" for nothing.
func remains(s *conn.Step) string {
	if int(s.Remains) < len(remainsWords) {
		return remainsWords[s.Remains]
	}
	return ""
}

// gapWords say what the causes of a gap mean.
var gapWords = [...]string{
	tcp.GapNone:      "cause unknown",
	tcp.GapRingFull:  "ring buffer full",
	tcp.GapRecursion: "program interrupted itself",
	tcp.GapUndecided: "beyond what the filter could read",
}

// atMost: skipped calls are counted for the whole host, and most of a program's
// calls tell no event; undecided packets need not have matched.
func atMost(c tcp.GapCause) bool { return c != tcp.GapRingFull }

func gapWord(c tcp.GapCause) string {
	if int(c) < len(gapWords) {
		return gapWords[c]
	}
	return gapWords[0]
}

// appendGap appends what was lost, and why, in words.
func appendGap(dst []byte, g *tcp.Gap) []byte {
	dst = append(dst, "*** "...)
	if atMost(g.Cause) {
		dst = append(dst, "up to "...)
	}
	dst = strconv.AppendUint(dst, g.Lost, 10)
	dst = append(dst, " event"...)
	if g.Lost != 1 {
		dst = append(dst, 's')
	}
	dst = append(append(dst, " lost here: "...), gapWord(g.Cause)...)
	if g.Hook != "" {
		dst = appendASCII(append(dst, ", "...), []byte(g.Hook))
	}
	return append(dst, " ***"...)
}

// appendEnd appends an address and port as tcpdump does; '?' is unknown. The
// remote end of a listener is "*": any.
func appendEnd(dst []byte, a netip.AddrPort, listens bool) []byte {
	addr := a.Addr()
	if listens && a.Port() == 0 {
		return append(dst, '*')
	}
	if addr.IsValid() && (listens || !addr.IsUnspecified()) {
		dst = addr.WithZone("").AppendTo(dst)
	} else {
		dst = append(dst, '?')
	}
	dst = append(dst, '.')
	if a.Port() == 0 {
		return append(dst, '?')
	}
	return strconv.AppendUint(dst, uint64(a.Port()), 10)
}

// listens reports whether the step is about a listener, which has no other end.
func listens(s *conn.Step) bool {
	return s.Conn != nil && s.Conn.Role == conn.RoleListener
}

// appendMillis appends a duration in milliseconds with three decimals.
func appendMillis(dst []byte, d time.Duration) []byte {
	us := int64(d / time.Microsecond)
	dst = strconv.AppendInt(dst, us/1000, 10)
	return append(dst, '.', '0'+byte(us/100%10), '0'+byte(us/10%10), '0'+byte(us%10))
}

// owner returns the last process that certainly acted on the step's socket, or
// nil.
func owner(s *conn.Step) *tcp.Task {
	if s.Conn != nil && s.Conn.Task.Known() {
		return &s.Conn.Task
	}
	return nil
}

// shortID is how much of a container's id people use.
const shortID = 12

// whereabouts is where an end lives, in one word: its container's name, else the
// beginning of its id, else its network namespace's name; "" unknown, or the host
// itself. It is untrusted.
func whereabouts(c *conn.Conn) string {
	if p := c.Home; p != nil && p.Container != "" {
		if p.Name != "" {
			return p.Name
		}
		return p.Container[:min(len(p.Container), shortID)]
	}
	if c.Namespace != nil {
		return c.Namespace.Name
	}
	return ""
}
