package record

import "tcpstory/internal/tcp"

// field is how one member of an event is written and read.
type field struct {
	tag  tag
	put  func([]byte, tag, *tcp.Event) []byte
	take func(*decoder, *tcp.Event)
}

// group is fields that are mostly zero together, so that one look passes over
// all of them.
type group struct {
	absent  func(*tcp.Event) bool
	members []field
}

type integer interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int | ~int32 | ~int64
}

// number is an unsigned field, whole a signed one; at may give nil.
func number[T integer](t tag, at func(*tcp.Event) *T) field {
	return field{t, func(b []byte, t tag, ev *tcp.Event) []byte {
		if p := at(ev); p != nil && *p != 0 {
			return appendNumber(b, t, uint64(*p))
		}
		return b
	}, func(d *decoder, ev *tcp.Event) {
		if p := at(ev); p != nil {
			*p = T(d.m.num)
		}
	}}
}

func whole[T ~int | ~int32 | ~int64](t tag, at func(*tcp.Event) *T) field {
	return field{t, func(b []byte, t tag, ev *tcp.Event) []byte {
		if p := at(ev); p != nil && *p != 0 {
			return appendNumber(b, t, zigzag(int64(*p)))
		}
		return b
	}, func(d *decoder, ev *tcp.Event) {
		if p := at(ev); p != nil {
			*p = T(unzigzag(d.m.num))
		}
	}}
}

func truth(t tag, at func(*tcp.Event) *bool) field {
	return field{t, func(b []byte, t tag, ev *tcp.Event) []byte {
		if *at(ev) {
			return appendNumber(b, t, 1)
		}
		return b
	}, func(d *decoder, ev *tcp.Event) { *at(ev) = d.m.num != 0 }}
}

func words(t tag, at func(*tcp.Event) *string) field {
	return field{t, func(b []byte, t tag, ev *tcp.Event) []byte {
		if p := at(ev); p != nil && *p != "" {
			return appendBytes(b, t, *p)
		}
		return b
	}, func(d *decoder, ev *tcp.Event) {
		if p := at(ev); p != nil {
			*p = d.texts.of(d.m.bytes)
		}
	}}
}

func flow(local, remote tag, at func(*tcp.Event) *tcp.Flow) []field {
	return []field{
		{local, func(b []byte, t tag, ev *tcp.Event) []byte { return appendEnd(b, t, at(ev).Local) },
			func(d *decoder, ev *tcp.Event) { at(ev).Local = end(d.m.bytes) }},
		{remote, func(b []byte, t tag, ev *tcp.Event) []byte { return appendEnd(b, t, at(ev).Remote) },
			func(d *decoder, ev *tcp.Event) { at(ev).Remote = end(d.m.bytes) }},
	}
}
