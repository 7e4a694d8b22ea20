package kernel

import (
	"math"
	"time"

	"tcpstory/internal/tcp"
)

// lived reads the part of a record that tells a life (bpf/life.h).
func (d *decoder) lived(e *traceEvent) *tcp.Life {
	d.life = tcp.Life{
		Began: d.when(e.Began), Established: d.when(e.Established),
		Shut: d.when(e.Shut), ShutToo: d.when(e.ShutToo), FirstRead: d.when(e.FirstRead),
		BytesSent: e.BytesSent, BytesRetrans: e.BytesRetrans, Unacked: e.Unacked,
		RTTMin: e.RttMin, MSS: e.Mss, Cwnd: e.Cwnd,
		Idle: time.Duration(e.Idle) * d.tick, Flags: tcp.LifeFlags(e.Life),
	}
	if e.RttMin == math.MaxUint32 {
		d.life.RTTMin = 0
	}
	return &d.life
}

// when makes kernel time wall time; 0 stays unknown.
func (d *decoder) when(mono uint64) int64 {
	if mono == 0 {
		return 0
	}
	return d.clock.wall(int64(mono))
}

// Unnoted is how many connections began without room for a note of their life.
func (s *Source) Unnoted() (n uint64) {
	if v := s.coll.Variables[traceVarUnnoted]; v == nil || v.Get(&n) != nil {
		return 0
	}
	return n
}
