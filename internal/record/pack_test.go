package record

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/tcp"
)

// TestPack: each field of an event survives packing, alone, among all others, and with
// any one missing; packets too. A new field of tcp.Event makes this fail until both
// forms know it.
func TestPack(t *testing.T) {
	events := variants(t)
	plains := 0
	u := NewUnpacker()
	for _, ev := range events {
		b := Pack([]byte("before"), ev)[len("before"):]
		if b[0] == packedPlain {
			plains++
		}
		got := new(tcp.Event)
		if err := u.Unpack(got, b); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(ev, got, addrPort); d != "" {
			t.Errorf("form %d:\n%s", b[0], d)
		}
		for n := range min(len(b), 40) {
			_ = u.Unpack(got, b[:n]) // does not panic
		}
	}
	if plains < 100 || plains > len(events)-100 {
		t.Errorf("%d of %d events are plain", plains, len(events))
	}
}

// TestAtOnce: what is written at once, and what is passed over at one look, is what the
// groups' fields write.
func TestAtOnce(t *testing.T) {
	for _, ev := range variants(t) {
		var want []byte
		for _, g := range groups {
			if g.absent == nil || !g.absent(ev) {
				want = appendFields(want, g.members, ev)
			}
		}
		if got := appendRow(nil, ev); !bytes.Equal(got, want) {
			t.Errorf("%+v:\n% x, want\n% x", ev, got, want)
		}
	}
}

// variants are events with every field alone, with all, and with ends of every form.
func variants(t *testing.T) []*tcp.Event {
	full := every(t)
	events := []*tcp.Event{full, {}}
	for _, path := range leaves(reflect.ValueOf(full).Elem(), nil) {
		for kind := range tcp.Kind(16) {
			ev := new(tcp.Event)
			put(reflect.ValueOf(ev).Elem(), reflect.ValueOf(full).Elem(), path)
			if ev.Kind = kind; kind == tcp.KindPacket {
				ev.Packet.Segment = tcp.Segment{} // decoding tells it
			}
			events = append(events, ev)
		}
	}
	plain := clone(full)
	plain.Counters, plain.Place, plain.Known, plain.Stack, plain.Life = nil, nil, nil, nil, nil
	plain.Reason, plain.RFC1337, plain.Expects, plain.UserTimeout = "", false, 0, 0
	plain.Timer, plain.Gap, plain.Packet.Segment = tcp.Timer{}, tcp.Gap{}, tcp.Segment{}
	for _, end := range []string{"10.0.0.1:80", "[::ffff:10.0.0.1]:80", "[fd00::1]:0", "0.0.0.0:0", "[::]:1"} {
		ev := clone(plain)
		ev.Flow.Local, ev.Flow.Remote = netip.MustParseAddrPort(end), netip.AddrPortFrom(netip.Addr{}, 9)
		events = append(events, ev)
	}
	return events
}

// TestPackedPacket: the socket's tuple comes back, where it is the packet's and where
// it is not.
func TestPackedPacket(t *testing.T) {
	for _, cookie := range []uint64{0, 7} {
		for _, flow := range []tcp.Flow{{}, {Local: netip.MustParseAddrPort("10.9.9.9:1"), Remote: netip.MustParseAddrPort("10.0.0.2:6000")}} {
			want := &tcp.Event{Kind: tcp.KindPacket, Cookie: cookie, Flow: flow}
			want.Packet.Link, want.Packet.Frame, want.Packet.Length = tcp.LinkEthernet, frame, uint32(len(frame))
			want.Decode()
			got := new(tcp.Event)
			if err := NewUnpacker().Unpack(got, Pack(nil, want)); err != nil {
				t.Fatal(err)
			}
			got.Decode()
			if d := cmp.Diff(want, got, addrPort); d != "" {
				t.Errorf("cookie %d, %v:\n%s", cookie, flow, d)
			}
		}
	}
}
