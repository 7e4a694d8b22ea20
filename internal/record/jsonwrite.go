package record

import (
	"encoding/base64"
	"strconv"

	"tcpstory/internal/tcp"
)

// AppendEvent appends all of ev as a JSON object, by which a JSONReader gets the
// event back exactly. Members that are zero are left out. scratch is used on the
// way and given back, grown; with enough of it nothing is allocated.
func AppendEvent(b, scratch []byte, ev *tcp.Event) (object, grown []byte) {
	row := appendRow(scratch[:0], ev)
	b = append(b, '{')
	for rest := row; ; {
		m, next, ok, err := cut(rest)
		if !ok || err != nil { // rows that we have made have no end but their own
			return append(b, '}'), row
		}
		b = appendMember(b, &m)
		rest = next
	}
}

func appendMember(b []byte, m *member) []byte {
	n := &names[m.tag]
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), n.name...)
	if n.form == formText && !isPlain(m.bytes) {
		return appendBase64(append(append(b, base64Suffix...), `":`...), m.bytes)
	}
	b = append(b, `":`...)
	switch n.form {
	case formSigned:
		return strconv.AppendInt(b, unzigzag(m.num), 10)
	case formTruth:
		return append(b, "true"...)
	case formWord:
		if m.num < uint64(len(n.words)) {
			return append(append(append(b, '"'), n.words[m.num]...), '"')
		}
	case formText:
		return append(append(append(b, '"'), m.bytes...), '"')
	case formBytes:
		return appendBase64(b, m.bytes)
	case formEnd:
		return append(appendAddrPort(append(b, '"'), m.bytes), '"')
	}
	return strconv.AppendUint(b, m.num, 10)
}

func appendBase64(b, v []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), v), '"')
}

// appendAddrPort appends a row's address and port; of an address that is not known,
// nothing.
func appendAddrPort(b, v []byte) []byte {
	a := end(v)
	if !a.Addr().IsValid() {
		return strconv.AppendUint(append(b, ':'), uint64(a.Port()), 10)
	}
	return a.AppendTo(b)
}

// isPlain reports whether text can stand in JSON as it is, and hides nothing there.
func isPlain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
