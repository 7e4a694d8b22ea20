// Package middletest leaves out of a story, for tests, what the programs may leave out of it
// (kernel.Config.SkipMiddle, bpf/middle.h).
package middletest

import (
	"time"

	"tcpstory/internal/tcp"
)

// Middle tells, event by event, which segments may be left out. A test of
// internal/kernel holds the programs to the same rules. Not for concurrent use.
type Middle struct {
	Left    int // segments left out so far
	ends    map[end]*course
	speaker map[end]bool // its last payload is the latest of both ends
}

// end is one end of a connection as one namespace sees it send.
type end struct {
	netns uint32
	flow  tcp.Flow
}

func (e end) other() end {
	return end{e.netns, tcp.Flow{Local: e.flow.Remote, Remote: e.flow.Local}}
}

// course is what an end has sent of late.
type course struct {
	seen, told int64
	next, ack  uint32
	most       int
	row        int
	known      bool // it was seen since the row began
}

// New begins with no conversation.
func New() *Middle {
	return &Middle{ends: map[end]*course{}, speaker: map[end]bool{}}
}

func (m *Middle) of(e end) *course {
	if m.ends[e] == nil {
		m.ends[e] = &course{}
	}
	return m.ends[e]
}

// Leaves reports whether an event, whose packet is decoded, is left out.
func (m *Middle) Leaves(ev *tcp.Event) bool {
	const row, pause, every = 32, int64(5 * time.Millisecond), int64(10 * time.Millisecond)
	p := &ev.Packet
	if ev.Kind != tcp.KindPacket || !p.IsTCP {
		return false
	}
	from := end{ev.Netns, p.Flow}
	mine, its := m.of(from), m.of(from.other())
	goes := p.Flags&^(tcp.ACK|tcp.PSH) == 0 && p.Window != 0 && (p.HeaderLen == 20 || p.HeaderLen == 32) &&
		p.Seq == mine.next && ev.Time-mine.seen <= pause
	if p.PayloadLen > 0 {
		goes = goes && m.speaker[from] && p.Ack == mine.ack
	} else {
		goes = goes && int32(p.Ack-mine.ack) > 0
	}
	if !goes {
		mine.row, mine.most, its.row, its.most, its.known = 0, 0, 0, 0, false
	}
	next := p.Seq + uint32(p.PayloadLen)
	if p.Flags.Has(tcp.SYN) {
		mine.next = next + 1
	} else if mine.seen == 0 || int32(next-mine.next) > 0 {
		mine.next = next
	}
	mine.seen, mine.ack, mine.known = ev.Time, p.Ack, true
	if p.PayloadLen > 0 {
		m.speaker[from], m.speaker[from.other()] = true, false
	}
	if goes && mine.row >= row && p.PayloadLen <= mine.most && ev.Time-mine.told < every && (p.PayloadLen > 0 || its.known && int32(its.next-p.Ack) > 0) {
		m.Left++
		return true
	}
	mine.most = max(mine.most, p.PayloadLen)
	mine.row++
	mine.told = ev.Time
	return false
}
