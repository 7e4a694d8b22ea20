package kernel

import (
	"testing"

	"tcpstory/internal/tcp"
)

// BenchmarkLifeRecord is what the reader pays for a record before it is a line.
func BenchmarkLifeRecord(b *testing.B) {
	d := newDecoder()
	record := raw(traceEvent{Kind: uint8(tcp.KindLife), Flags: hasTuple | hasName, Family: 2, Time: 1e9, Began: 1e8, Established: 2e8}, recordLen, "")
	var ev tcp.Event
	b.ReportAllocs()
	for b.Loop() {
		e, frame, err := view(record)
		if err != nil {
			b.Fatal(err)
		}
		d.fill(&ev, e, frame)
	}
}
