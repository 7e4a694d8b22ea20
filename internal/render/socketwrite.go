package render

import (
	"bytes"
	"encoding/csv"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tcpstory/internal/tcp"
)

// NamespaceCounts is what a namespace's listeners have turned away since it was made.
type NamespaceCounts struct {
	Netns            uint32
	Name             string // untrusted; "" none
	Overflows, Drops uint64
}

// NamespaceField is a member of now's JSON objects of kind namespace.
var NamespaceFields = []SocketField{
	{Name: "netns", Type: "integer", Text: "inode number of the network namespace"},
	{Name: "netns_name", Type: "string", Text: "its name, where it has one"},
	{Name: "listen_overflows", Type: "integer", Text: "connections refused because a listener's queue was full, since the namespace was made"},
	{Name: "listen_drops", Type: "integer", Text: "SYNs and connections that listeners refused for any reason, these included"},
}

// SocketJSON appends sockets as objects, one a line, all of one moment.
type SocketJSON struct {
	Time  time.Time
	clock rfc3339
}

func (j *SocketJSON) begin(dst []byte, kind string) []byte {
	dst = append(j.clock.append(append(dst, `{"time":"`...), j.Time.UnixNano()), `","time_ns":`...)
	dst = strconv.AppendInt(dst, j.Time.UnixNano(), 10)
	return append(append(append(dst, `,"kind":"`...), kind...), '"')
}

// Append appends a socket.
func (j *SocketJSON) Append(dst []byte, s *tcp.Socket) []byte {
	dst = j.begin(dst, tcp.KindSocket.String())
	for i := range SocketFields {
		f := &SocketFields[i]
		if v := f.value(s); isTold(v) {
			dst = append(append(append(dst, `,"`...), f.Name...), `":`...)
			dst = appendJSONValue(dst, v)
		}
	}
	return append(dst, "}\n"...)
}

// AppendNamespace appends what a namespace counts.
func (j *SocketJSON) AppendNamespace(dst []byte, n *NamespaceCounts) []byte {
	dst = j.begin(dst, "namespace")
	dst = strconv.AppendUint(append(dst, `,"netns":`...), uint64(n.Netns), 10)
	if n.Name != "" {
		dst = appendJSONString(append(dst, `,"netns_name":`...), n.Name)
	}
	dst = strconv.AppendUint(append(dst, `,"listen_overflows":`...), n.Overflows, 10)
	dst = strconv.AppendUint(append(dst, `,"listen_drops":`...), n.Drops, 10)
	return append(dst, "}\n"...)
}

// isTold reports whether there is a value.
func isTold(v any) bool { return v != nil && v != untrusted("") && v != "" }

func appendJSONValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(append(append(dst, '"'), v...), '"')
	case untrusted:
		return appendJSONString(dst, string(v))
	case netip.Addr:
		return append(v.AppendTo(append(dst, '"')), '"')
	case []tcp.Holder:
		return appendHolders(dst, v)
	}
	return appendPlain(dst, v)
}

// appendPlain appends numbers and booleans.
func appendPlain(dst []byte, v any) []byte {
	switch v := v.(type) {
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case uint32:
		return strconv.AppendUint(dst, uint64(v), 10)
	case uint8:
		return strconv.AppendUint(dst, uint64(v), 10)
	case bool:
		return strconv.AppendBool(dst, v)
	case time.Duration:
		return strconv.AppendFloat(dst, float64(v)/float64(time.Microsecond), 'f', 3, 64)
	}
	panic("render: a SocketField of a type that is not known")
}

func appendHolders(dst []byte, holders []tcp.Holder) []byte {
	dst = append(dst, '[')
	for i := range holders {
		h := &holders[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(append(dst, `{"pid":`...), uint64(h.PID), 10)
		dst = appendJSONString(append(dst, `,"comm":`...), h.Name())
		if h.FD >= 0 {
			dst = strconv.AppendInt(append(dst, `,"fd":`...), int64(h.FD), 10)
		} else {
			dst = append(append(append(dst, `,"via":"`...), h.Via.String()...), '"')
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// SocketCSV appends sockets as lines of comma-separated values (RFC 4180, with
// line feeds), the names first. What is unknown, or does not exist, is empty.
type SocketCSV struct {
	Time  time.Time
	clock rfc3339
	buf   bytes.Buffer
	cells []string
}

// AppendHeader appends the names of the columns.
func (c *SocketCSV) AppendHeader(dst []byte) []byte {
	c.cells = append(c.cells[:0], "time")
	for _, f := range SocketFields {
		c.cells = append(c.cells, f.Name)
	}
	return c.append(dst)
}

// Append appends a socket.
func (c *SocketCSV) Append(dst []byte, s *tcp.Socket) []byte {
	c.cells = append(c.cells[:0], string(c.clock.append(nil, c.Time.UnixNano())))
	for i := range SocketFields {
		c.cells = append(c.cells, csvCell(SocketFields[i].value(s)))
	}
	return c.append(dst)
}

func (c *SocketCSV) append(dst []byte) []byte {
	dst, _ = appendCSV(dst, &c.buf, c.cells)
	return dst
}

// appendCSV appends one line; buf is scratch.
func appendCSV(dst []byte, buf *bytes.Buffer, cells []string) ([]byte, error) {
	buf.Reset()
	w := csv.NewWriter(buf)
	err := w.Write(cells)
	w.Flush()
	return append(dst, buf.Bytes()...), err
}

func csvCell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case untrusted:
		return string(appendASCII(nil, []byte(v)))
	case netip.Addr:
		return v.String()
	case []tcp.Holder:
		words := make([]string, len(v))
		for i := range v {
			words[i] = holderWord(&v[i])
			if v[i].FD >= 0 {
				words[i] += "/" + strconv.Itoa(v[i].FD)
			}
		}
		return strings.Join(words, " ")
	}
	return string(appendPlain(nil, v))
}

// holderWord is a process as netstat has it, name first: COMM/PID.
func holderWord(h *tcp.Holder) string {
	return string(strconv.AppendUint(append(appendASCII(nil, h.Name()), '/'), uint64(h.PID), 10))
}

func optionWords(o tcp.InfoOptions) string { return strings.Join(o.Names(), " ") }
