package render

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tcpstory/internal/tcp"
)

// socketColumn is a column of now's table.
type socketColumn struct {
	title string
	right bool
	cell  func(*tcp.Socket) string      // "-": there is no such thing; "?": unknown
	idle  func(string) bool             // a cell that is worth no column
	fit   func(*tcp.Socket, int) string // the cell in so many columns
}

// The columns that every table has. A listener's queue is how many connections
// wait to be accepted, and how many may, as in ss.
var (
	columnState   = socketColumn{title: "STATE", cell: stateCell}
	columnRecv    = socketColumn{title: "RECV-Q", right: true, cell: func(s *tcp.Socket) string { return queueCell(s, s.RecvQ) }}
	columnSend    = socketColumn{title: "SEND-Q", right: true, cell: func(s *tcp.Socket) string { return queueCell(s, s.SendQ) }}
	columnLocal   = socketColumn{title: "LOCAL", cell: func(s *tcp.Socket) string { return endCell(s.Flow.Local) }}
	columnRemote  = socketColumn{title: "REMOTE", cell: remoteCell}
	columnProcess = socketColumn{title: "PROCESS", cell: processCell, fit: processIn}
)

// furtherColumns are those that are shown where there is room, the most wanted
// first. One that says nothing of any socket is left out.
var furtherColumns = []socketColumn{
	{title: "WHERE", cell: whereCell, idle: isBlank},
	{title: "TIMER", cell: timerCell, idle: isNone},
	{title: "AGE", right: true, cell: ageCell, idle: isUnknown},
	{title: "DROPS", right: true, cell: fieldCell("drops"), idle: isZero},
	{title: "RETR", right: true, cell: fieldCell("retransmits"), idle: isZero},
	{title: "RTT", right: true, cell: infoTime(func(i *tcp.Info) time.Duration { return i.RTT }), idle: isNone},
	{title: "IDLE-OUT", right: true, cell: infoTime(func(i *tcp.Info) time.Duration { return i.LastSent }), idle: isNone},
	{title: "IDLE-IN", right: true, cell: infoTime(func(i *tcp.Info) time.Duration { return i.LastReceived }), idle: isNone},
	{title: "BYTES-OUT", right: true, cell: fieldCell("bytes_acked"), idle: isNone},
	{title: "BYTES-IN", right: true, cell: fieldCell("bytes_received"), idle: isNone},
	{title: "CWND", right: true, cell: fieldCell("cwnd"), idle: isNone},
	{title: "MSS", right: true, cell: fieldCell("mss"), idle: isNone},
	{title: "UNACKED", right: true, cell: fieldCell("unacked"), idle: isZero},
	{title: "LOST", right: true, cell: fieldCell("lost"), idle: isZero},
	{title: "RTO", right: true, cell: infoTime(func(i *tcp.Info) time.Duration { return i.RTO }), idle: isNone},
	{title: "CONGESTION", cell: fieldCell("congestion"), idle: isNone},
	{title: "COOKIE", right: true, cell: fieldCell("cookie"), idle: isNone},
}

func isBlank(cell string) bool   { return cell == "" }
func isNone(cell string) bool    { return cell == "-" }
func isUnknown(cell string) bool { return cell == "?" || cell == "-" }
func isZero(cell string) bool    { return cell == "0" || cell == "-" }

// fieldCell is what the socket's member of that name holds.
func fieldCell(name string) func(*tcp.Socket) string {
	for i := range SocketFields {
		if SocketFields[i].Name != name {
			continue
		}
		return func(s *tcp.Socket) string {
			if cell := csvCell(SocketFields[i].value(s)); cell != "" {
				return cell
			}
			return "-"
		}
	}
	panic("render: no socket field is named " + name)
}

func stateCell(s *tcp.Socket) string { return s.State.String() }

func queueCell(s *tcp.Socket, n uint32) string {
	switch {
	case !s.Asked:
		return "?"
	case s.Unheld() == tcp.NoSocket:
		return "-"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// endCell is an address and port as netstat has them, IPv6 in brackets; "*" any.
func endCell(a netip.AddrPort) string {
	host := "*"
	if addr := a.Addr(); addr.IsValid() && !addr.IsUnspecified() {
		host = addr.WithZone("").String()
		if addr.Is6() {
			host = "[" + host + "]"
		}
	} else if addr.IsValid() && addr.Is6() {
		host = "[::]" // IPv4, too, unless the socket says otherwise
	} else if addr.IsValid() {
		host = addr.String()
	}
	if a.Port() == 0 {
		return host + ":*"
	}
	return host + ":" + strconv.FormatUint(uint64(a.Port()), 10)
}

func remoteCell(s *tcp.Socket) string {
	if s.Flow.Remote.Port() == 0 {
		return "*"
	}
	return endCell(s.Flow.Remote)
}

// processCell names the processes that hold the socket, or why none does.
func processCell(s *tcp.Socket) string {
	const mostNamed = 2
	return processes(s, mostNamed)
}

// processIn is processCell in so many columns: fewer names, and of the last one's at
// least the number.
func processIn(s *tcp.Socket, width int) string {
	cell := processCell(s)
	if len(cell) > width {
		cell = processes(s, 1)
	}
	if len(cell) <= width {
		return cell
	}
	slash := strings.LastIndexByte(cell, '/')
	if room := width - (len(cell) - slash); slash >= 0 && room > 0 {
		return cell[:room-1] + "~" + cell[slash:]
	}
	return cut(cell, width)
}

// processes names so many of those that hold the socket.
func processes(s *tcp.Socket, most int) string {
	switch u := s.Unheld(); {
	case u == tcp.NoSocket:
		return "-"
	case u == tcp.HolderUnknown || u != tcp.Held && !s.Sought:
		return "?"
	case u != tcp.Held:
		return "(" + u.String() + ")"
	}
	var words []string
	for i := range s.Holders {
		if i > 0 && s.Holders[i].PID == s.Holders[i-1].PID {
			continue // another descriptor
		}
		words = append(words, holderWord(&s.Holders[i]))
	}
	if more := len(words) - most; more > 0 {
		words = append(words[:most], "+"+strconv.Itoa(more))
	}
	return strings.Join(words, " ")
}

// whereCell is the socket's container or network namespace; "" is the host.
func whereCell(s *tcp.Socket) string {
	if p := place(s.Home); p.Container != "" {
		if p.Name != "" {
			return string(appendASCII(nil, []byte(p.Name)))
		}
		return string(appendASCII(nil, []byte(p.Container[:min(len(p.Container), shortID)])))
	}
	return string(appendASCII(nil, []byte(place(s.Namespace).Name)))
}

// timerCell is the timer, when it is due, and what number of repetitions it follows.
func timerCell(s *tcp.Socket) string {
	if !s.Asked {
		return "?"
	}
	if s.Clock == tcp.ClockOff {
		return "-"
	}
	cell := s.Clock.String() + " " + shortTime(s.Due)
	if s.Tries > 0 && !s.Minisock {
		cell += " #" + strconv.FormatUint(uint64(s.Tries), 10)
	}
	return cell
}

// ageMarks say how certain an age is: "~" is inferred, ">" at least.
var ageMarks = [...]string{tcp.AgeAtLeast: ">", tcp.AgeInferred: "~", tcp.AgeRecorded: ""}

func ageCell(s *tcp.Socket) string {
	if s.AgeKnown == tcp.AgeUnknown {
		return "?"
	}
	return ageMarks[s.AgeKnown] + shortTime(s.Age)
}

// infoTime is a time of a connection's; 0 is no sample.
func infoTime(value func(*tcp.Info) time.Duration) func(*tcp.Socket) string {
	return func(s *tcp.Socket) string {
		if s.Info == nil || s.State == tcp.Listen || value(s.Info) == 0 {
			return "-"
		}
		return shortTime(value(s.Info))
	}
}

// shortTime is a time in three figures or so: 43us 1.20ms 58.3s 12m07s 3h12m 4d02h.
func shortTime(d time.Duration) string {
	pair := func(big, small time.Duration, a, b string) string {
		n := strconv.FormatInt(int64(d%big/small), 10)
		return strconv.FormatInt(int64(d/big), 10) + a + strings.Repeat("0", 2-len(n)) + n + b
	}
	switch {
	case d < time.Millisecond:
		return strconv.FormatInt(int64(d/time.Microsecond), 10) + "us"
	case d < time.Second:
		return figures(float64(d)/float64(time.Millisecond)) + "ms"
	case d < time.Minute:
		return figures(float64(d)/float64(time.Second)) + "s"
	case d < time.Hour:
		return pair(time.Minute, time.Second, "m", "s")
	case d < 24*time.Hour:
		return pair(time.Hour, time.Minute, "h", "m")
	}
	return pair(24*time.Hour, time.Hour, "d", "h")
}

// figures writes v, less than 1000, with three figures.
func figures(v float64) string {
	digits := 0
	if v < 10 {
		digits = 2
	} else if v < 100 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
