package record

import (
	"bufio"
	"fmt"
	"io"
)

// scanner takes a file apart into blocks, in constant memory. Where no block can
// begin it looks for the next place where one can.
type scanner struct {
	in     *bufio.Reader
	at     int64 // offset of what in gives next
	block  int   // length of the block that was returned last
	damage func(Damage)
}

// Damage is a part of the file that could not be read.
type Damage struct {
	Offset, Bytes int64
	Cut           bool  // it is the file's end: the last block, or line, is not whole
	Line, Lines   int64 // of JSON: the first, from 1, and how many; 0: it is not JSON
}

// String says it in words.
func (d Damage) String() string {
	switch {
	case d.Lines > 1:
		return fmt.Sprintf("lines %d to %d hold no event, and were passed over", d.Line, d.Line+d.Lines-1)
	case d.Lines == 1 && d.Cut:
		return fmt.Sprintf("the file is cut off: its last line, %d, is not whole", d.Line)
	case d.Lines == 1:
		return fmt.Sprintf("line %d holds no event, and was passed over", d.Line)
	}
	if d.Cut {
		return fmt.Sprintf("the file is cut off: its last %d bytes, from offset %d on, are no whole block", d.Bytes, d.Offset)
	}
	return fmt.Sprintf("%d bytes from offset %d on are damaged, and were passed over", d.Bytes, d.Offset)
}

// isKind are the block types that a recording holds, and those that other programs
// may have added.
func isKind(kind uint32) bool {
	return kind == blockSection || kind == blockEvent || 0 < kind && kind < 16
}

// next returns the next whole block, valid until the call after; io.EOF at the end.
func (s *scanner) next() (kind uint32, body []byte, err error) {
	if err := s.pass(s.block); err != nil {
		return 0, nil, err
	}
	s.block = 0
	kind, body, err = s.peek()
	if err == nil || err != errNoBlock {
		return kind, body, err
	}
	return s.resume()
}

var errNoBlock = fmt.Errorf("no block")

// peek looks at the block that begins here; errNoBlock: none does. io.EOF: the
// file ends here.
func (s *scanner) peek() (kind uint32, body []byte, err error) {
	head, err := s.in.Peek(8)
	if len(head) == 0 {
		return 0, nil, err
	}
	if err != nil && err != io.EOF {
		return 0, nil, err
	}
	if len(head) < 8 {
		return 0, nil, errNoBlock
	}
	kind, n := le.Uint32(head), int(le.Uint32(head[4:]))
	if !isKind(kind) || n < blockOverhead || n > maxBlock || n%4 != 0 {
		return 0, nil, errNoBlock
	}
	b, err := s.in.Peek(n)
	if err != nil && err != io.EOF {
		return 0, nil, err
	}
	if len(b) < n || int(le.Uint32(b[n-4:])) != n {
		return 0, nil, errNoBlock
	}
	s.block = n
	return kind, b[8 : n-4 : n-4], nil
}

func (s *scanner) pass(n int) error {
	n, err := s.in.Discard(n)
	s.at += int64(n)
	return err
}

// resume looks for the next block, a byte further each time: who knows how many
// bytes are missing. It tells of what it passes over.
func (s *scanner) resume() (kind uint32, body []byte, err error) {
	d := Damage{Offset: s.at}
	for err = errNoBlock; err == errNoBlock; {
		if err = s.pass(1); err == nil {
			kind, body, err = s.peek()
		}
	}
	d.Bytes, d.Cut = s.at-d.Offset, err == io.EOF
	if err == nil || err == io.EOF {
		s.damage(d)
	}
	return kind, body, err
}
