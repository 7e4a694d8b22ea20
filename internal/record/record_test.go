package record

import (
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcpstory/internal/tcp"
)

// fill sets every field of v, whatever its type, to something that is not zero
// and different from all others of its type. A field of a type that it does not
// know makes the test fail: someone has to think of it.
type filler struct {
	t *testing.T
	n uint64
}

func (f *filler) fill(v reflect.Value, path string) {
	f.n++
	switch v.Interface().(type) {
	case netip.AddrPort:
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(f.n)})
		if f.n%2 == 0 {
			a = netip.AddrFrom16([16]byte{0xfd, 15: byte(f.n)})
		}
		v.Set(reflect.ValueOf(netip.AddrPortFrom(a, uint16(f.n))))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(f.n)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(f.n))
	case reflect.String:
		v.SetString(path)
	case reflect.Slice:
		v.SetBytes([]byte(path))
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i), path)
		}
	default:
		f.t.Fatalf("%s is a %v: the recording does not know what to do with it", path, v.Type())
	}
}

func every(t *testing.T) *tcp.Event {
	ev := new(tcp.Event)
	f := &filler{t: t}
	f.fill(reflect.ValueOf(ev).Elem(), "Event")
	return ev
}

var addrPort = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// written is a recording of some events.
func written(t testing.TB, events ...*tcp.Event) []byte {
	t.Helper()
	return writtenWith(t, &Note{}, events...)
}

func writtenWith(t testing.TB, n *Note, events ...*tcp.Event) []byte {
	t.Helper()
	var file bytes.Buffer
	w := NewWriter(&file, About{Program: "test", Link: tcp.LinkSLL2}, RowsJournal)
	for _, ev := range events {
		if err := w.Write(ev, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// readAll reads a recording, of events copies.
func readAll(t testing.TB, file []byte) (events []*tcp.Event, r *Reader) {
	t.Helper()
	r, err := NewReader(bufio.NewReaderSize(bytes.NewReader(file), BufferSize))
	if err != nil {
		t.Fatal(err)
	}
	for {
		ev := new(tcp.Event)
		if err := r.Next(ev); err == io.EOF {
			return events, r
		} else if err != nil {
			t.Fatal(err)
		}
		events = append(events, clone(ev))
	}
}

func clone(ev *tcp.Event) *tcp.Event {
	c := *ev
	c.Packet.Frame = bytes.Clone(ev.Packet.Frame)
	if ev.Counters != nil {
		counters := *ev.Counters
		c.Counters = &counters
	}
	if ev.Life != nil {
		lived := *ev.Life
		c.Life = &lived
	}
	if ev.Place != nil {
		place := *ev.Place
		c.Place = &place
	}
	if ev.Stack != nil {
		stack := *ev.Stack
		c.Stack = &stack
	}
	if ev.Known != nil {
		known := *ev.Known
		c.Known = &known
	}
	return &c
}

// TestEveryField: each field of an event survives, alone and among all others. A
// new field of tcp.Event makes this fail until the recording knows it.
func TestEveryField(t *testing.T) {
	full := every(t)
	for kind := tcp.KindNone; kind < 32; kind++ {
		ev := clone(full)
		ev.Kind = kind
		if kind == tcp.KindPacket {
			continue // see TestEveryFieldOfPackets
		}
		got, _ := readAll(t, written(t, ev))
		if len(got) != 1 {
			t.Fatalf("%v: %d events", kind, len(got))
		}
		if d := cmp.Diff(ev, got[0], addrPort); d != "" {
			t.Errorf("%v:\n%s", kind, d)
		}
	}
	alone := leaves(reflect.ValueOf(full).Elem(), nil)
	if len(alone) < 50 {
		t.Errorf("an event has %d fields only", len(alone))
	}
	for _, path := range alone {
		ev := new(tcp.Event)
		put(reflect.ValueOf(ev).Elem(), reflect.ValueOf(full).Elem(), path)
		ev.Kind = tcp.KindDrop
		got, _ := readAll(t, written(t, ev))
		if d := cmp.Diff([]*tcp.Event{ev}, got, addrPort); d != "" {
			t.Errorf("%v:\n%s", path, d)
		}
	}
}

// leaves are the index paths of all fields that hold no others.
func leaves(v reflect.Value, path []int) (all [][]int) {
	if _, ok := v.Interface().(netip.AddrPort); ok || v.Kind() != reflect.Struct && v.Kind() != reflect.Pointer {
		return [][]int{path}
	}
	if v.Kind() == reflect.Pointer {
		return leaves(v.Elem(), path)
	}
	for i := range v.NumField() {
		all = append(all, leaves(v.Field(i), append(path[:len(path):len(path)], i))...)
	}
	return all
}

// put copies one field.
func put(to, from reflect.Value, path []int) {
	for _, i := range path {
		if from.Kind() == reflect.Pointer {
			to.Set(reflect.New(from.Type().Elem()))
			to, from = to.Elem(), from.Elem()
		}
		to, from = to.Field(i), from.Field(i)
	}
	to.Set(from)
}

var frame = []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00" +
	"\x45\x00\x00\x28\x00\x01\x40\x00\x40\x06\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02" +
	"\x13\x88\x17\x70\x00\x00\x00\x01\x00\x00\x00\x00\x50\x02\x04\x00\x00\x00\x00\x00")

// TestEveryFieldOfPackets: a packet's as well, whatever its link layer, but for
// what decoding its frame tells.
func TestEveryFieldOfPackets(t *testing.T) {
	for _, p := range []struct {
		link  tcp.LinkType
		frame []byte
	}{
		{tcp.LinkEthernet, frame}, {tcp.LinkRaw, frame[14:]}, {tcp.LinkNull, append([]byte{2, 0, 0, 0}, frame[14:]...)},
		{tcp.LinkEthernet, frame[:10]}, {tcp.LinkRaw, nil}, {tcp.LinkEthernet, nil},
		{tcp.LinkSLL2, append([]byte("\x08\x00\x00\x00\x00\x00\x00\x01\x03\x04\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00"), frame[14:]...)},
		{7777, []byte("of whatever kind")},
	} {
		ev := every(t)
		ev.Kind = tcp.KindPacket
		ev.Packet.Link, ev.Packet.Frame, ev.Packet.Length = p.link, p.frame, uint32(len(p.frame)+100)
		for i, tuple := range []tcp.Flow{ev.Flow, {}, ev.Flow, {}} {
			ev.Flow = tuple
			ev.Decode()
			got, _ := readAll(t, writtenWith(t, &Note{Hidden: i > 1}, ev))
			if len(got) != 1 {
				t.Fatalf("%d events", len(got))
			}
			got[0].Decode()
			if len(p.frame) == 0 {
				got[0].Packet.Frame = ev.Packet.Frame
			}
			if d := cmp.Diff(ev, got[0], addrPort); d != "" {
				t.Errorf("link type %d:\n%s", p.link, d)
			}
		}
	}
}
