package render

import (
	"net/netip"
	"strconv"
	"time"

	"tcpstory/internal/life"
	"tcpstory/internal/tcp"
)

// lifeField is a member of --json's objects and a column of --csv. Of number and
// text one is set; what it appends nothing to, or "", is unknown.
type lifeField struct {
	name, meaning string
	number        func([]byte, *LifeRow) []byte
	text          func([]byte, *LifeRow) []byte // untrusted, or a word of ours
}

// lifeFields is the table that both formats and their documentation read.
var lifeFields = []lifeField{
	{"time_ns", "when it ended, nanoseconds since 1970", lifeNumber(func(r *LifeRow) int64 { return r.Time }), nil},
	{"cookie", "the kernel's cookie of the socket", func(b []byte, r *LifeRow) []byte {
		if r.Cookie == 0 {
			return b
		}
		return strconv.AppendUint(b, r.Cookie, 10) // some count down from 2^64: those taken in the midst of another
	}, nil},
	{"pid", "the last process that certainly acted on it", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.Task.PID)) }), nil},
	{"comm", "its name", nil, func(b []byte, r *LifeRow) []byte { return append(b, r.Task.Name()...) }},
	{"owner_via", "how it is known: held is one that held the socket open and need not have acted", nil, func(b []byte, r *LifeRow) []byte {
		if !r.Task.Known() || r.Via == tcp.ViaUnknown {
			return b
		}
		return append(b, r.Via.String()...)
	}},
	{"local_addr", "local address", nil, lifeAddr(func(r *LifeRow) netip.AddrPort { return r.Flow.Local })},
	{"local_port", "local port", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.Flow.Local.Port())) }), nil},
	{"remote_addr", "remote address", nil, lifeAddr(func(r *LifeRow) netip.AddrPort { return r.Flow.Remote })},
	{"remote_port", "remote port", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.Flow.Remote.Port())) }), nil},
	{"direction", "who opened it: out (this end) or in", nil, func(b []byte, r *LifeRow) []byte {
		if r.Direction == life.DirUnknown {
			return b
		}
		return append(b, r.Direction.Name()...)
	}},
	{"direction_inferred", "true: from the counters, nobody saw it begin", lifeTruth(func(r *LifeRow) bool { return r.Inferred && r.Direction != life.DirUnknown }), nil},
	{"tx_bytes", "payload that the other end has acknowledged", lifeNumber(func(r *LifeRow) int64 { return r.TX }), nil},
	{"rx_bytes", "payload that has come, in order", lifeNumber(func(r *LifeRow) int64 { return r.RX }), nil},
	{"duration_us", "from connect(), or the first SYN-ACK, to the end, microseconds", lifeMicros(func(r *LifeRow) time.Duration { return r.Duration }), nil},
	{"handshake_unmeasured", "true: the handshake is not in duration_us", lifeTruth(func(r *LifeRow) bool { return r.NoHandshake }), nil},
	{"end", "how it ended", nil, func(b []byte, r *LifeRow) []byte { return append(b, r.End.Name()...) }},
	{"end_state", "the state that it ended in", nil, func(b []byte, r *LifeRow) []byte {
		if r.Last == tcp.StateUnknown {
			return b
		}
		return append(b, r.Last.String()...)
	}},
	{"errno", "the socket's error, Linux's number", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.Errno)) }), nil},
	{"established", "true: it has been", lifeTruth(func(r *LifeRow) bool { return r.Established }), nil},
	{"accepted", "false: no process has ever had it", func(b []byte, r *LifeRow) []byte {
		if r.Nobody {
			return append(b, "false"...)
		}
		return b
	}, nil},
	{"half_open", "true: no socket came of it (yet), only SYN-ACKs; the end is a RST, or when the last SYN-ACK was given up", lifeTruth(func(r *LifeRow) bool { return r.Half }), nil},
	{"older", "true: than tcpstory", lifeTruth(func(r *LifeRow) bool { return r.Older }), nil},
	{"connect_us", "the handshake, microseconds", lifeMicros(func(r *LifeRow) time.Duration { return r.Connect }), nil},
	{"first_byte_us", "from the beginning until the process first read, microseconds", lifeMicros(func(r *LifeRow) time.Duration { return r.FirstByte }), nil},
	{"idle_ms", "since data last went either way, milliseconds, in steps of a jiffy", lifeNumber(func(r *LifeRow) int64 { return idleMillis(r) }), nil},
	{"rtt_min_us", "smallest round-trip time, microseconds", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.RTTMin)) }), nil},
	{"rtt_us", "smoothed round-trip time, microseconds", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.SRTT)) }), nil},
	{"retransmits", "segments sent again", lifeNumber(func(r *LifeRow) int64 { return r.Retransmits }), nil},
	{"retransmitted_bytes", "payload sent again", lifeNumber(func(r *LifeRow) int64 { return r.BytesRetrans }), nil},
	{"segs_out", "segments sent", lifeNumber(func(r *LifeRow) int64 { return r.SegsOut }), nil},
	{"segs_in", "segments that came", lifeNumber(func(r *LifeRow) int64 { return r.SegsIn }), nil},
	{"mss", "maximum segment size, bytes", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.MSS)) }), nil},
	{"cwnd", "congestion window at the end, segments", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.Cwnd)) }), nil},
	{"states", "the states and for how long each, milliseconds", nil, func(b []byte, r *LifeRow) []byte {
		if r.States[0].State == tcp.StateUnknown {
			return b
		}
		return appendSpans(b, r)
	}},
	{"netns", "inode of the network namespace", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.Netns)) }), nil},
	{"netns_name", "its name", nil, func(b []byte, r *LifeRow) []byte { return append(b, r.Namespace...) }},
	{"cgroup", "id of the cgroup that the socket was made in", lifeNumber(func(r *LifeRow) int64 { return lifePositive(int64(r.Cgroup)) }), nil},
	{"cgroup_path", "its path", nil, lifeHome(func(p *tcp.Place) string { return p.Path })},
	{"container", "the container's id", nil, lifeHome(func(p *tcp.Place) string { return p.Container })},
	{"container_name", "its name", nil, lifeHome(func(p *tcp.Place) string { return p.Name })},
}

// lifePositive makes 0, which is unknown, Unknown.
func lifePositive(n int64) int64 {
	if n == 0 {
		return life.Unknown
	}
	return n
}

func idleMillis(r *LifeRow) int64 {
	if r.Idle < 0 {
		return life.Unknown
	}
	return r.Idle.Milliseconds()
}

func lifeNumber(of func(*LifeRow) int64) func([]byte, *LifeRow) []byte {
	return func(b []byte, r *LifeRow) []byte {
		if n := of(r); n != life.Unknown {
			b = strconv.AppendInt(b, n, 10)
		}
		return b
	}
}

func lifeTruth(of func(*LifeRow) bool) func([]byte, *LifeRow) []byte {
	return func(b []byte, r *LifeRow) []byte {
		if of(r) {
			b = append(b, "true"...)
		}
		return b
	}
}

// lifeMicros appends microseconds with the nanoseconds behind the point.
func lifeMicros(of func(*LifeRow) time.Duration) func([]byte, *LifeRow) []byte {
	return func(b []byte, r *LifeRow) []byte {
		d := of(r)
		if d < 0 {
			return b
		}
		return appendThousandths(strconv.AppendInt(b, int64(d/time.Microsecond), 10), int64(d%time.Microsecond))
	}
}

func lifeAddr(of func(*LifeRow) netip.AddrPort) func([]byte, *LifeRow) []byte {
	return func(b []byte, r *LifeRow) []byte {
		if a := of(r).Addr(); a.IsValid() {
			b = a.WithZone("").AppendTo(b)
		}
		return b
	}
}

func lifeHome(of func(*tcp.Place) string) func([]byte, *LifeRow) []byte {
	return func(b []byte, r *LifeRow) []byte {
		if r.Home != nil {
			b = append(b, of(r.Home)...)
		}
		return b
	}
}
