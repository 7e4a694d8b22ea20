package render

import (
	"strconv"
	"time"

	"tcpstory/internal/tcp"
)

// wideColumn is one of -w's, behind END.
type wideColumn struct {
	name  string
	width int
	put   func([]byte, *LifeRow) []byte
}

// wideColumns are -w's, all but the last two to the right.
var wideColumns = []wideColumn{
	{"CONN", 9, func(b []byte, r *LifeRow) []byte { return appendLasted(b, r.Connect) }},
	{"RTTMIN", 8, func(b []byte, r *LifeRow) []byte { return appendRTT(b, r.RTTMin) }},
	{"RTT", 8, func(b []byte, r *LifeRow) []byte { return appendRTT(b, r.SRTT) }},
	{"RETR", 5, func(b []byte, r *LifeRow) []byte { return appendTally(b, r.Retransmits) }},
	{"RETRB", 7, func(b []byte, r *LifeRow) []byte { return appendTally(b, r.BytesRetrans) }},
	{"SEGO", 6, func(b []byte, r *LifeRow) []byte { return appendTally(b, r.SegsOut) }},
	{"SEGI", 6, func(b []byte, r *LifeRow) []byte { return appendTally(b, r.SegsIn) }},
	{"MSS", 5, func(b []byte, r *LifeRow) []byte { return appendNonzero(b, r.MSS) }},
	{"CWND", 5, func(b []byte, r *LifeRow) []byte { return appendNonzero(b, r.Cwnd) }},
	{"TTFB", 9, func(b []byte, r *LifeRow) []byte { return appendLasted(b, r.FirstByte) }},
	{"IDLE", 7, appendIdle},
	{"NETNS", 12, appendNetns},
	{"CONTAINER", 12, appendContainer},
	{"STATES", 0, appendSpans},
}

func wideHead(t *rowText) {
	for i := range wideColumns {
		c := &wideColumns[i]
		t.b = append(t.b, c.name...)
		t.left(c.width)
	}
}

func (r *LifeRows) wide(t *rowText, row LifeRow) {
	for i := range wideColumns {
		t.b = wideColumns[i].put(t.b, &row)
		t.left(wideColumns[i].width)
	}
	for len(t.b) > t.at && t.b[len(t.b)-1] == ' ' {
		t.b = t.b[:len(t.b)-1]
	}
}

// appendMicros appends microseconds as milliseconds; 0 is unknown.
func appendRTT(dst []byte, us uint32) []byte {
	if us == 0 {
		return append(dst, '?')
	}
	return appendLasted(dst, time.Duration(us)*time.Microsecond)
}

func appendNonzero(dst []byte, n uint32) []byte {
	if n == 0 {
		return append(dst, '?')
	}
	return strconv.AppendUint(dst, uint64(n), 10)
}

// appendIdle appends whole milliseconds: the kernel counts in jiffies.
func appendIdle(dst []byte, r *LifeRow) []byte {
	if r.Idle < 0 {
		return append(dst, '?')
	}
	return strconv.AppendInt(dst, r.Idle.Milliseconds(), 10)
}

func appendNetns(dst []byte, r *LifeRow) []byte {
	switch {
	case r.Namespace != "":
		return appendASCII(dst, []byte(r.Namespace))
	case r.Netns == 0:
		return append(dst, '?')
	}
	return strconv.AppendUint(dst, uint64(r.Netns), 10)
}

func appendContainer(dst []byte, r *LifeRow) []byte {
	if name := containerName(r.Home); name != "" {
		return appendASCII(dst, []byte(name))
	}
	return append(dst, '-')
}

// containerName is its name, or the short form of its id.
func containerName(p *tcp.Place) string {
	const short = 12
	switch {
	case p == nil:
		return ""
	case p.Name != "":
		return p.Name
	}
	return p.Container[:min(len(p.Container), short)]
}

// appendSpans appends the states it was in and for how long, milliseconds.
func appendSpans(dst []byte, r *LifeRow) []byte {
	for i, s := range r.States {
		if s.State == tcp.StateUnknown {
			break
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, s.State.String()...), '=')
		dst = appendLasted(dst, s.For)
	}
	if r.States[0].State == tcp.StateUnknown {
		dst = append(dst, '?')
	}
	return dst
}
