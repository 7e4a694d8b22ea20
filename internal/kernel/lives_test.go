package kernel

import (
	"math"
	"reflect"
	"testing"

	"tcpstory/internal/tcp"
)

// TestLifeFlagsAreTheSame in C and in Go.
func TestLifeFlagsAreTheSame(t *testing.T) {
	for f, want := range map[tcp.LifeFlags]traceLifeFlag{
		tcp.LifeOut: traceLifeFlagLIFE_OUT, tcp.LifeIn: traceLifeFlagLIFE_IN, tcp.LifeWasOpen: traceLifeFlagLIFE_WAS_OPEN,
		tcp.LifeOwnFIN: traceLifeFlagLIFE_OWN_FIN, tcp.LifeFINFirst: traceLifeFlagLIFE_FIN_FIRST,
		tcp.LifePeerFIN: traceLifeFlagLIFE_PEER_FIN, tcp.LifeMinisock: traceLifeFlagLIFE_MINISOCK,
		tcp.LifeHadFile: traceLifeFlagLIFE_HAD_FILE, tcp.LifeOwnerComes: traceLifeFlagLIFE_OWNER_COMES,
		tcp.LifeResetComes: traceLifeFlagLIFE_RESET_COMES, tcp.LifeIsOpen: traceLifeFlagLIFE_IS_OPEN,
		tcp.LifeChosen: traceLifeFlagLIFE_CHOSEN, tcp.LifeGuessed: traceLifeFlagLIFE_GUESSED, tcp.LifeHalf: traceLifeFlagLIFE_HALF,
		tcp.LifeReset: traceLifeFlagLIFE_RESET, tcp.LifeDoubt: traceLifeFlagLIFE_DOUBT,
	} {
		if uint32(f) != uint32(want) {
			t.Errorf("%#x in Go is %#x in C", f, want)
		}
	}
}

// TestLifeLeavesNothing of what the event was before, and allocates nothing.
func TestLifeLeavesNothing(t *testing.T) {
	d := newDecoder()
	lived := traceEvent{
		Kind: uint8(tcp.KindLife), Flags: hasTuple | hasName, Family: 2, Time: 1e9, Began: 1e8, Established: 2e8, Shut: 3e8, ShutToo: 4e8,
		FirstRead: 2e8, Cookie: 7, Netns: 8, Cgroup: 9, Oldstate: uint8(tcp.Closing), Newstate: uint8(tcp.Close), Err: 104, Pid: 3, Tid: 4,
		Saddr: [16]uint8{127, 0, 0, 1}, Sport: 5, Dport: 6, Life: 1, Idle: 3, Mss: 1448, Cwnd: 10, RttMin: 20, SegsIn: 2, TotalRetrans: 1,
	}
	bare := traceEvent{Kind: uint8(tcp.KindLife), Flags: hasTuple, Family: 10, Time: 2e9, Newstate: uint8(tcp.Close), RttMin: math.MaxUint32}
	fill := func(ev *tcp.Event, record traceEvent, name string) {
		t.Helper()
		e, frame, err := view(raw(record, recordLen, name))
		if err != nil {
			t.Fatal(err)
		}
		d.fill(ev, e, frame)
	}
	var fresh, used tcp.Event
	fill(&fresh, bare, "")
	want, wantLife, wantCounts := fresh, *fresh.Life, *fresh.Counters
	fill(&used, traceEvent{Kind: uint8(tcp.KindSendReset), Flags: hasTuple | hasSegment, Family: 2, Time: 5e8, Seq: 77, TcpFlags: uint8(tcp.RST)}, "")
	fill(&used, lived, "curl")
	if used.Packet.Seq != 0 || used.Task.PID != 3 || used.Errno != 104 || used.Life.Cwnd != 10 {
		t.Errorf("behind a reset: %+v", used)
	}
	used.Via = tcp.ViaHeld // as whoever finds its holder says
	fill(&used, bare, "")
	if used.Life.RTTMin != 0 || *used.Life != wantLife || *used.Counters != wantCounts {
		t.Errorf("%+v, %+v; alone %+v, %+v", *used.Life, *used.Counters, wantLife, wantCounts)
	}
	if used.Life, used.Counters = want.Life, want.Counters; !reflect.DeepEqual(used, want) {
		t.Errorf("%+v\nalone %+v", used, want)
	}
	record := raw(lived, recordLen, "curl")
	if n := testing.AllocsPerRun(1000, func() {
		e, frame, _ := view(record)
		d.fill(&used, e, frame)
	}); n != 0 {
		t.Errorf("%g allocations a life", n)
	}
}
