package render

import (
	"net/netip"
	"strconv"
	"time"

	"tcpstory/internal/tcp"
)

// object appends the members of one JSON object.
type object struct{ b []byte }

func (o *object) key(f field) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, jsonKeys[f]...)
}

func (o *object) uint(f field, v uint64) {
	o.key(f)
	o.b = strconv.AppendUint(o.b, v, 10)
}

// known writes v unless it is zero, which means unknown.
func (o *object) known(f field, v uint64) {
	if v != 0 {
		o.uint(f, v)
	}
}

func (o *object) int(f field, v int64) {
	o.key(f)
	o.b = strconv.AppendInt(o.b, v, 10)
}

// word writes a string of ours, which needs no escaping.
func (o *object) word(f field, v string) {
	o.key(f)
	o.b = append(append(append(o.b, '"'), v...), '"')
}

// text writes an untrusted string.
func (o *object) text(f field, v string) {
	if v != "" {
		o.key(f)
		o.b = appendJSONString(o.b, v)
	}
}

func (o *object) bytes(f field, v []byte) {
	o.key(f)
	o.b = appendJSONString(o.b, v)
}

// when writes true, or nothing.
func (o *object) when(f field, v bool) {
	if v {
		o.key(f)
		o.b = append(o.b, "true"...)
	}
}

// end writes an address and a port, what is known of them.
func (o *object) end(addr, port field, a netip.AddrPort) {
	if a.Addr().IsValid() {
		o.key(addr)
		o.b = append(o.b, '"')
		o.b = a.Addr().WithZone("").AppendTo(o.b)
		o.b = append(o.b, '"')
	}
	o.known(port, uint64(a.Port()))
}

// micros writes a duration as microseconds with the nanoseconds behind the
// point.
func (o *object) micros(f field, d time.Duration) {
	o.int(f, int64(d/time.Microsecond))
	ns := d % time.Microsecond
	o.b = append(o.b, '.', '0'+byte(ns/100), '0'+byte(ns/10%10), '0'+byte(ns%10))
}

func (o *object) task(pid, comm field, t *tcp.Task) {
	o.uint(pid, uint64(t.PID))
	o.bytes(comm, t.Name())
}

// rfc3339 appends times; it formats the date once a second.
type rfc3339 struct {
	second int64
	text   []byte
}

func (r *rfc3339) append(dst []byte, ns int64) []byte {
	second, rest := ns/int64(time.Second), ns%int64(time.Second)
	if rest < 0 {
		second, rest = second-1, rest+int64(time.Second)
	}
	if second != r.second || len(r.text) == 0 {
		r.second = second
		r.text = time.Unix(second, 0).UTC().AppendFormat(r.text[:0], "2006-01-02T15:04:05.")
	}
	dst = append(dst, r.text...)
	for unit := int64(100_000_000); unit > 0; unit /= 10 {
		dst = append(dst, '0'+byte(rest/unit%10))
	}
	return append(dst, 'Z')
}
