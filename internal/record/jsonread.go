package record

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tcpstory/internal/tcp"
)

// kindTrace is the kind of the line that a story in JSON begins with.
const kindTrace = "trace"

// IsJSON reports whether a file is a story in JSON. It only looks ahead.
func IsJSON(in *bufio.Reader) bool {
	b, _ := in.Peek(1)
	return len(b) == 1 && b[0] == '{'
}

// JSONReader reads a story in JSON, as AppendEvent and AppendAbout write it, a line
// at a time in constant memory. It is not safe for concurrent use.
type JSONReader struct {
	in     *bufio.Reader
	about  About
	decode *decoder
	row    []byte
	values [tagEnd]json.RawMessage
	first  []byte // the first line, where it is an event
	line   int64
	at     int64
	damage []Damage
	newer  bool
	told   bool // a line was a story's
}

// jsonLine is what of a line is read back.
type jsonLine struct {
	Kind     string                     `json:"kind"`
	Inferred bool                       `json:"inferred"`
	Trace    *jsonAbout                 `json:"trace"`
	Event    map[string]json.RawMessage `json:"event"`
}

// NewJSONReader reads from in, whose buffer must hold the longest line,
// BufferSize bytes.
func NewJSONReader(in *bufio.Reader) (*JSONReader, error) {
	if in.Size() < BufferSize {
		return nil, errors.New("a story in JSON needs a larger buffer to be read")
	}
	r := &JSONReader{in: in, decode: newDecoder()}
	text, err := r.next()
	if err != nil && err != io.EOF {
		return nil, err
	}
	var l jsonLine
	if json.Unmarshal(text, &l) == nil && l.Kind == kindTrace && l.Trace != nil {
		r.about = l.Trace.about()
		r.newer, r.told = l.Trace.Version > version, true
		return r, nil
	}
	r.first = slices.Clone(text) // a part of a story, without its beginning
	return r, nil
}

// About is what the first line says; nothing where that was cut off.
func (r *JSONReader) About() About { return r.about }

// Newer reports a story of a later version.
func (r *JSONReader) Newer() bool { return r.newer }

// Damages are the lines passed over so far.
func (r *JSONReader) Damages() []Damage { return r.damage }

// Next is Reader.Next: events that were inferred are passed over, since they follow
// again.
func (r *JSONReader) Next(ev *tcp.Event) error {
	for {
		text := r.first
		if r.first = nil; text == nil {
			var err error
			if text, err = r.next(); len(text) == 0 && err != nil {
				r.end()
				return err
			}
		}
		if len(bytes.TrimSpace(text)) > 0 && r.event(ev, text) {
			return nil
		}
	}
}

// end notes that nothing at all was a story's, where each line for itself might have
// been what is made of one: it is other JSON, that of why or now, say.
func (r *JSONReader) end() {
	if !r.told && len(r.damage) == 0 && r.at > 0 {
		r.damage = append(r.damage, Damage{Bytes: r.at, Line: 1, Lines: r.line - 1})
	}
}

// next returns the next line, without its end, valid until the call after. One that
// is too long is passed over.
func (r *JSONReader) next() ([]byte, error) {
	text, err := r.in.ReadSlice('\n')
	r.line++
	r.at += int64(len(text))
	if err != bufio.ErrBufferFull {
		return bytes.TrimSuffix(text, []byte("\n")), err
	}
	n := len(text)
	for err == bufio.ErrBufferFull {
		text, err = r.in.ReadSlice('\n')
		n += len(text)
		r.at += int64(len(text))
	}
	r.hurt(int64(n), false)
	return []byte(" "), err
}

// event reads a line; false: it is none that is to be read.
func (r *JSONReader) event(ev *tcp.Event, text []byte) bool {
	var l jsonLine
	err := json.Unmarshal(text, &l)
	switch {
	case err == nil && l.Event == nil && (l.Inferred || l.follows()):
		return false
	case err == nil && l.Event != nil:
		*ev = tcp.Event{}
		if err = r.members(l.Event); err == nil {
			err = r.decode.row(ev, r.row)
		}
		if err == nil {
			r.told = true
			return true
		}
	}
	var cut *json.SyntaxError
	r.hurt(int64(len(text)), errors.As(err, &cut) && int(cut.Offset) >= len(text) && r.ends())
	return false
}

// follows reports a line that is no event's, but says what is made of some.
func (l *jsonLine) follows() bool {
	return l.Kind != "" && !slices.Contains(names[tagKind].words, l.Kind)
}

// ends reports whether nothing follows.
func (r *JSONReader) ends() bool {
	_, err := r.in.Peek(1)
	return err == io.EOF
}

// hurt notes that the line at hand could not be read; lines behind one another are
// noted together.
func (r *JSONReader) hurt(n int64, cut bool) {
	if last := len(r.damage) - 1; last >= 0 && !cut && (r.damage[last].Line+r.damage[last].Lines == r.line || last+1 == mostDamages) {
		r.damage[last].Lines++
		r.damage[last].Bytes += n
		return
	}
	r.damage = append(r.damage, Damage{Offset: r.at - n, Bytes: n, Cut: cut, Line: r.line, Lines: 1})
}

// members makes a row of an object. Names that it does not know are a later
// version's.
func (r *JSONReader) members(object map[string]json.RawMessage) error {
	r.row = r.row[:0]
	clear(r.values[:])
	for name, v := range object {
		t, known := tagsByName[name]
		if !known {
			continue
		}
		r.values[t] = v
		if strings.HasSuffix(name, base64Suffix) {
			r.values[t] = slices.Concat([]byte{'='}, v)
		}
	}
	for t, v := range r.values { // in the order of their tags: that there is a place comes before its name
		if v == nil {
			continue
		}
		if err := r.member(tag(t), v); err != nil {
			return err
		}
	}
	return nil
}

var errMember = errors.New("a member that cannot be read")

// member appends one; a text that stands in base64 begins with '='.
func (r *JSONReader) member(t tag, v []byte) error {
	n := &names[t]
	switch n.form {
	case formTruth:
		if string(v) == "true" {
			r.row = appendNumber(r.row, t, 1)
			return nil
		}
		return errMember
	case formSigned:
		i, err := strconv.ParseInt(string(v), 10, 64)
		r.row = appendNumber(r.row, t, zigzag(i))
		return err
	case formNumber:
		return r.number(t, v)
	}
	quoted, encoded := bytes.CutPrefix(v, []byte{'='})
	if n.form == formWord && len(quoted) > 0 && quoted[0] != '"' {
		return r.number(t, quoted)
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return err
	}
	return r.text(t, n, s, encoded)
}

func (r *JSONReader) number(t tag, v []byte) error {
	u, err := strconv.ParseUint(string(v), 10, 64)
	r.row = appendNumber(r.row, t, u)
	return err
}

// text appends a member that is a string in JSON.
func (r *JSONReader) text(t tag, n *jsonName, s string, encoded bool) error {
	switch {
	case n.form == formWord:
		i := slices.Index(n.words, s)
		if i < 0 {
			return errMember
		}
		r.row = appendNumber(r.row, t, uint64(i))
	case n.form == formEnd:
		a, err := parseAddrPort(s)
		if err != nil {
			return err
		}
		r.row = appendEnd(r.row, t, a)
	case n.form == formBytes || encoded:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return err
		}
		r.row = appendBytes(r.row, t, b)
	default:
		r.row = appendBytes(r.row, t, s)
	}
	return nil
}

// parseAddrPort reads what appendAddrPort writes.
func parseAddrPort(s string) (netip.AddrPort, error) {
	port, alone := strings.CutPrefix(s, ":")
	if !alone {
		return netip.ParseAddrPort(s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(netip.Addr{}, uint16(n)), err
}
