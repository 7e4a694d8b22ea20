package kernel

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"tcpstory/internal/tcp"
)

// raw is the record of an event that ends behind n bytes, with a frame behind it.
// As in the ring, what follows the record is somebody else's memory.
func raw(e traceEvent, n int, frame string) []byte {
	b := make([]byte, 0, recordLen+len(frame))
	b = append(b, unsafe.Slice((*byte)(unsafe.Pointer(&e)), n)...)
	return append(b, frame...)
}

func newDecoder() *decoder {
	return &decoder{
		clock:   clock{next: 1 << 62},
		devices: map[place]string{},
		drops:   map[uint32]string{6: "NETFILTER_DROP"},
		resets:  map[uint32]string{3: "NO_SOCKET"},
	}
}

func TestKindsAndFlagsAreTheSame(t *testing.T) {
	for k, want := range map[tcp.Kind]traceEventKind{
		tcp.KindState: traceEventKindEV_STATE, tcp.KindPacket: traceEventKindEV_PACKET,
		tcp.KindRetransmit: traceEventKindEV_RETRANSMIT, tcp.KindSynAckAgain: traceEventKindEV_SYNACK_AGAIN,
		tcp.KindSendReset: traceEventKindEV_SEND_RESET, tcp.KindReceiveReset: traceEventKindEV_RECEIVE_RESET,
		tcp.KindDrop: traceEventKindEV_DROP, tcp.KindSocketError: traceEventKindEV_SOCKET_ERROR,
		tcp.KindPort: traceEventKindEV_PORT, tcp.KindConnectFailed: traceEventKindEV_CONNECT_FAILED,
		tcp.KindLife: traceEventKindEV_LIFE,
	} {
		if uint32(k) != uint32(want) {
			t.Errorf("%v is %d in Go and %d in C", k, k, want)
		}
		if !isRecord[k] {
			t.Errorf("%v is not taken for a record", k)
		}
	}
	all := isAsked | isLoopback | isRaw | isReceived | hasTuple | hasName | hasSegment | isSoft
	if all != 255 {
		t.Errorf("flags overlap, or leave a gap: %#x", all)
	}
}

// TestPartsOfTheStruct holds the lengths against what every part must contain.
func TestPartsOfTheStruct(t *testing.T) {
	var e traceEvent
	for _, p := range []struct {
		name       string
		last, next uintptr
	}{
		{"head", unsafe.Offsetof(e.Family), unsafe.Offsetof(e.Sport)},
		{"tuple", unsafe.Offsetof(e.Daddr), unsafe.Offsetof(e.Pid)},
		{"name", unsafe.Offsetof(e.Name), unsafe.Offsetof(e.Seq)},
		{"segment", unsafe.Offsetof(e.Retransmits), unsafe.Offsetof(e.BytesAcked)},
		{"counters", unsafe.Offsetof(e.MaxBacklog), unsafe.Offsetof(e.Began)},
		{"life", unsafe.Offsetof(e.Life), unsafe.Sizeof(e)},
	} {
		if p.last >= p.next || p.next%4 != 0 {
			t.Errorf("%s: last field at %d, next part at %d", p.name, p.last, p.next)
		}
	}
	if headLen%8 != 0 {
		t.Errorf("a frame would stand at offset %d", headLen)
	}
}

var lengths = []struct {
	name  string
	kind  tcp.Kind
	flags uint8
	frame int
	want  int
}{
	{"state", tcp.KindState, hasTuple, 0, tupleLen},
	{"state by a process", tcp.KindState, hasTuple | hasName, 0, nameLen},
	{"packet", tcp.KindPacket, isAsked, 54, headLen + 54},
	{"packet of a new device", tcp.KindPacket, isAsked | hasName, 54, recordLen + 54},
	{"translated packet", tcp.KindPacket, hasTuple | hasName, 54, recordLen + 54},
	{"port", tcp.KindPort, hasTuple | hasName, 0, nameLen},
	{"retransmission", tcp.KindRetransmit, hasTuple | hasSegment, 0, segLen},
	{"SYN-ACK again", tcp.KindSynAckAgain, hasTuple, 0, segLen},
	{"active reset", tcp.KindSendReset, hasTuple, 0, segLen},
	{"reset", tcp.KindSendReset, hasTuple | hasSegment, 0, segLen},
	{"reset received", tcp.KindReceiveReset, hasTuple, 0, tupleLen},
	{"drop", tcp.KindDrop, hasTuple | hasSegment, 0, segLen},
	{"socket error", tcp.KindSocketError, hasTuple, 0, tupleLen},
	{"owner", tcp.KindOwner, hasTuple | hasName, 0, nameLen},
	{"socket", tcp.KindSocket, hasTuple, 0, countsLen},
	{"life", tcp.KindLife, hasTuple, 0, recordLen},
	{"failed connect", tcp.KindConnectFailed, hasTuple | hasName, 0, nameLen},
}

// TestShortRecordsAreRefused cuts every kind of record at every length.
func TestShortRecordsAreRefused(t *testing.T) {
	for _, l := range lengths {
		e := traceEvent{Kind: uint8(l.kind), Flags: l.flags, CapLen: uint16(l.frame)}
		whole := append(raw(e, recordLen, ""), make([]byte, l.frame)...)
		for n := range len(whole) + 1 {
			_, frame, err := view(whole[:n:n])
			if (err == nil) != (n >= l.want) {
				t.Errorf("%s of %d bytes, want %d: %v", l.name, n, l.want, err)
			}
			if err == nil && len(frame) != l.frame {
				t.Errorf("%s: frame of %d bytes, want %d", l.name, len(frame), l.frame)
			}
		}
	}
}

func TestUnknownKindsAreRefused(t *testing.T) {
	for k := range 256 {
		_, _, err := view(raw(traceEvent{Kind: uint8(k)}, recordLen, ""))
		known := k < len(isRecord) && isRecord[k]
		if (err == nil) != known {
			t.Errorf("kind %d: %v", k, err)
		}
		if err != nil && !strings.Contains(err.Error(), "unknown kind") {
			t.Errorf("kind %d: %v", k, err)
		}
	}
}

func TestStateRecord(t *testing.T) {
	e := traceEvent{
		Time: 5, Cookie: 77, Netns: 4026531840, Kind: uint8(tcp.KindState), Flags: hasTuple | hasName,
		Oldstate: uint8(tcp.Close), Newstate: uint8(tcp.SynSent), Family: 10, Sport: 0, Dport: 443, Err: 0,
		Pid: 12, Tid: 13, Name: [16]uint8{'c', 'u', 'r', 'l'},
	}
	copy(e.Saddr[:], netip.MustParseAddr("::ffff:192.0.2.1").AsSlice())
	copy(e.Daddr[:], netip.MustParseAddr("2001:db8::1").AsSlice())
	ev := fillFrom(t, raw(e, nameLen, ""))
	if ev.Kind != tcp.KindState || ev.Cookie != 77 || ev.Old != tcp.Close || ev.New != tcp.SynSent || ev.Time != 5 {
		t.Errorf("event %+v", ev)
	}
	if want := netip.MustParseAddrPort("192.0.2.1:0"); ev.Flow.Local != want {
		t.Errorf("a mapped address is %v, want %v", ev.Flow.Local, want)
	}
	if want := netip.MustParseAddrPort("[2001:db8::1]:443"); ev.Flow.Remote != want {
		t.Errorf("remote is %v, want %v", ev.Flow.Remote, want)
	}
	if ev.Task.PID != 12 || ev.Task.TID != 13 || string(ev.Task.Name()) != "curl" {
		t.Errorf("task is %+v", ev.Task)
	}
}

// TestPartsThatAreNotThere: a record that ends early must not show what lies
// behind it.
func TestPartsThatAreNotThere(t *testing.T) {
	e := traceEvent{Kind: uint8(tcp.KindReceiveReset), Flags: 0, Sport: 1, Dport: 2, Err: 104, Pid: 9, Seq: 7}
	ev := fillFrom(t, raw(e, recordLen, ""))
	if ev.Flow.Local.IsValid() || ev.Errno != 0 || ev.Task.Known() || ev.Packet.Seq != 0 {
		t.Errorf("a bare head told %+v", ev)
	}
}

func TestPacketRecord(t *testing.T) {
	const frame = "0123456789abcdef"
	d := newDecoder()
	named := traceEvent{
		Kind: uint8(tcp.KindPacket), Flags: isAsked | hasName, Netns: 1, Ifindex: 2, WireLen: 1514, CapLen: uint16(len(frame)),
		Detail: 4, Name: [16]uint8{'e', 't', 'h', '0'},
	}
	later := named
	later.Flags, later.Detail = isAsked|isRaw, 0
	var ev tcp.Event
	for _, c := range []struct {
		name string
		raw  []byte
		dir  tcp.Direction
		link tcp.LinkType
	}{
		{"the first of its device", raw(named, recordLen, frame), tcp.DirOut, tcp.LinkEthernet},
		{"the next", raw(later, headLen, frame), tcp.DirIn, tcp.LinkRaw},
	} {
		e, f, err := view(c.raw)
		if err != nil {
			t.Fatal(err)
		}
		d.fill(&ev, e, f)
		p := &ev.Packet
		if string(p.Frame) != frame || p.Length != 1514 || p.Device != "eth0" || !p.Asked || p.Dir != c.dir || p.Link != c.link {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

func TestLoopbackPacketsComeIn(t *testing.T) {
	e := traceEvent{Kind: uint8(tcp.KindPacket), Flags: isLoopback, Detail: 4}
	if ev := fillFrom(t, raw(e, headLen, "")); ev.Packet.Dir != tcp.DirIn || !ev.Packet.Loopback {
		t.Errorf("packet %+v", ev.Packet)
	}
}

func TestDropAndResetRecords(t *testing.T) {
	e := traceEvent{
		Kind: uint8(tcp.KindDrop), Flags: hasTuple | hasSegment | isReceived, Family: 2, Sport: 80, Dport: 40000,
		Reason: 6, Seq: 1000, SegLen: 101, TcpFlags: uint8(tcp.FIN | tcp.ACK),
	}
	ev := fillFrom(t, raw(e, recordLen, ""))
	if ev.Reason != "NETFILTER_DROP" || ev.Packet.Dir != tcp.DirIn || ev.Packet.PayloadLen != 100 || ev.Packet.Seq != 1000 {
		t.Errorf("drop %+v", ev)
	}
	if ev.Packet.Segment.Flow != ev.Flow.Reverse() || ev.Flow.Local.Port() != 80 {
		t.Errorf("flow %v of a segment %v", ev.Flow, ev.Packet.Segment.Flow)
	}
	e = traceEvent{Kind: uint8(tcp.KindSendReset), Flags: hasTuple, Reason: 3, Newstate: uint8(tcp.Close)}
	if ev := fillFrom(t, raw(e, recordLen, "")); ev.Reason != "NO_SOCKET" || ev.New != tcp.Close || ev.Packet.IsTCP {
		t.Errorf("reset %+v", ev)
	}
	e.Reason = 9999
	if ev := fillFrom(t, raw(e, recordLen, "")); ev.Reason != "" {
		t.Errorf("an unknown reason is %q", ev.Reason)
	}
}

func TestRetransmitKinds(t *testing.T) {
	for _, c := range []struct {
		e    traceEvent
		want tcp.Retransmit
	}{
		{traceEvent{Newstate: uint8(tcp.SynSent), Retransmits: 2}, tcp.Retransmit{Again: tcp.RetransmitSYN, Count: 2}},
		{traceEvent{Newstate: 1, Pending: 5}, tcp.Retransmit{Again: tcp.RetransmitTLP}},
		{traceEvent{Newstate: 1, CaState: 3}, tcp.Retransmit{Again: tcp.RetransmitFast}},
		{traceEvent{Newstate: 1, CaState: 3, Pending: 5}, tcp.Retransmit{Again: tcp.RetransmitFast}}, // the probe timer is still armed
		{traceEvent{Newstate: 1, CaState: 4, Retransmits: 3}, tcp.Retransmit{Again: tcp.RetransmitRTO, Count: 3}},
		{traceEvent{Newstate: 1, CaState: 4}, tcp.Retransmit{Again: tcp.RetransmitLossRepair}},
		{traceEvent{Newstate: 1}, tcp.Retransmit{}},
	} {
		if got := retransmission(&c.e); got != c.want {
			t.Errorf("%+v is %+v, want %+v", c.e, got, c.want)
		}
	}
}

func fillFrom(t *testing.T, record []byte) *tcp.Event {
	t.Helper()
	e, frame, err := view(record)
	if err != nil {
		t.Fatal(err)
	}
	ev := &tcp.Event{}
	newDecoder().fill(ev, e, frame)
	return ev
}

// TestClockStep steps the wall clock under the monotonic one.
func TestClockStep(t *testing.T) {
	var c clock
	mono := nanos(1)
	wall := c.wall(mono)
	if off := time.Now().UnixNano() - wall; off < -int64(time.Second) || off > int64(time.Second) {
		t.Errorf("wall time is off by %v", time.Duration(off))
	}
	right := c.offset
	c.offset -= int64(time.Hour) // as if the clock had been set forward since
	if got := c.wall(mono + int64(time.Second) - 1); got != mono+int64(time.Second)-1+c.offset {
		t.Error("the offset was taken again too early")
	}
	c.wall(mono + int64(time.Second))
	if d := c.offset - right; d < -int64(time.Millisecond) || d > int64(time.Millisecond) {
		t.Errorf("after a step the offset is off by %v", time.Duration(d))
	}
}

// FuzzRecord feeds the decoder whatever a ring buffer might hold.
func FuzzRecord(f *testing.F) {
	for _, l := range lengths {
		e := traceEvent{Kind: uint8(l.kind), Flags: l.flags, CapLen: uint16(l.frame)}
		f.Add(append(raw(e, recordLen, ""), make([]byte, l.frame)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		record := append(make([]byte, 0, len(b)+recordLen), b...)
		e, frame, err := view(record)
		if err != nil {
			return
		}
		if len(frame) != int(e.CapLen) {
			t.Fatalf("frame of %d bytes, record says %d", len(frame), e.CapLen)
		}
		var ev tcp.Event
		newDecoder().fill(&ev, e, frame)
		ev.Decode()
		if ev.Kind == tcp.KindGap || ev.Kind == tcp.KindNone {
			t.Fatalf("a record gave a %v", ev.Kind)
		}
	})
}
