package render

import (
	"cmp"
	"errors"
	"strconv"
	"time"

	"tcpstory/internal/tcp"
)

// SocketView is what now shows: the sockets of one moment, and what their
// namespaces count.
type SocketView struct {
	Time       time.Time
	Sockets    []tcp.Socket
	Namespaces []NamespaceCounts
}

// FormKind is how a view is written.
type FormKind int

// The forms.
const (
	FormTable FormKind = iota
	FormCSV
	FormJSON
)

// SocketForm is how a view is to be written.
type SocketForm struct {
	Kind     FormKind
	Width    int // of a table; 0: any
	Color    bool
	Groups   []SocketGroup // not the sockets, but how many there are
	Headless bool          // CSV goes on: its names have been written
}

// WriteTo writes the view in that form, and flushes. What is no table goes out piece
// by piece.
func (v *SocketView) WriteTo(w *Writer, f SocketForm) error {
	switch {
	case len(f.Groups) > 0, f.Kind == FormTable:
		text, err := v.Append(w.buf, f)
		return errors.Join(err, w.commit(text), w.Flush())
	case f.Kind == FormJSON:
		v.writeJSON(w)
	case f.Kind == FormCSV:
		v.writeCSV(w, f.Headless)
	}
	return w.Flush()
}

// Append appends the view as a table, or what its groups count.
func (v *SocketView) Append(dst []byte, f SocketForm) ([]byte, error) {
	if len(f.Groups) > 0 {
		return v.appendCounts(dst, f)
	}
	dst, err := AppendSockets(dst, v.Sockets, TableOptions{Width: f.Width, Color: f.Color})
	return v.appendRefused(dst), err
}

// The writer keeps its first error.
func (v *SocketView) writeJSON(w *Writer) {
	j := SocketJSON{Time: v.Time}
	for i := range v.Sockets {
		_ = w.commit(j.Append(w.buf, &v.Sockets[i]))
	}
	for i := range v.Namespaces {
		_ = w.commit(j.AppendNamespace(w.buf, &v.Namespaces[i]))
	}
}

func (v *SocketView) writeCSV(w *Writer, headless bool) {
	c := SocketCSV{Time: v.Time}
	if !headless {
		_ = w.commit(c.AppendHeader(w.buf))
	}
	for i := range v.Sockets {
		_ = w.commit(c.Append(w.buf, &v.Sockets[i]))
	}
}

// appendRefused appends a line for each namespace whose listeners have turned
// somebody away.
func (v *SocketView) appendRefused(dst []byte) []byte {
	for i := range v.Namespaces {
		n := &v.Namespaces[i]
		if n.Drops == 0 && n.Overflows == 0 {
			continue
		}
		dst = append(dst, "listeners"...)
		if n.Name != "" {
			dst = appendASCII(append(dst, " of "...), []byte(n.Name))
		} else if len(v.Namespaces) > 1 {
			dst = strconv.AppendUint(append(dst, " of network namespace "...), uint64(n.Netns), 10)
		}
		dst = strconv.AppendUint(append(dst, " have refused "...), n.Drops, 10)
		dst = strconv.AppendUint(append(dst, " (ListenDrops), "...), n.Overflows, 10)
		dst = append(dst, " of them for a full queue (ListenOverflows)\n"...)
	}
	return dst
}

// CompareSockets is the order in which sockets are shown: listeners first, then by
// their ends.
func CompareSockets(a, b *tcp.Socket) int {
	listens := func(s *tcp.Socket) int {
		if s.State == tcp.Listen {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(listens(a), listens(b)),
		cmp.Compare(a.Flow.Local.Port(), b.Flow.Local.Port()),
		a.Flow.Local.Addr().Compare(b.Flow.Local.Addr()),
		a.Flow.Remote.Addr().Compare(b.Flow.Remote.Addr()),
		cmp.Compare(a.Flow.Remote.Port(), b.Flow.Remote.Port()),
		cmp.Compare(a.Cookie, b.Cookie),
	)
}
