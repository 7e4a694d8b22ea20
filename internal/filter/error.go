package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Error says why an expression could not be compiled: libpcap's own message,
// or the reason why the program it made cannot run here.
type Error struct {
	Expr    string // as given; untrusted bytes
	Message string // one printable line
	cause   error
}

// ErrProtochain is the cause of an Error about an expression whose program
// loops: only libpcap's protochain makes one, and the kernel runs none.
var ErrProtochain = errors.New("protochain needs a loop, which the kernel cannot run: " +
	"name the protocol (\"tcp\", \"ip6 proto 6\") or its place in the packet (\"ip6[6] = 0 and ip6[40] = 6\") instead")

// longestShown is how many bytes of an expression Error repeats.
const longestShown = 300

// Error returns expression and message on one line, fit for a terminal.
func (e *Error) Error() string {
	expr := e.Expr
	if len(expr) > longestShown {
		expr = expr[:longestShown] + "…"
	}
	return fmt.Sprintf("filter expression %q: %s", expr, e.Message)
}

// Unwrap returns the cause, ErrProtochain for one, or nil.
func (e *Error) Unwrap() error { return e.cause }

// newError makes message, which may quote the expression, one printable line.
func newError(expr, message string, cause error) *Error {
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, message)
	return &Error{Expr: expr, Message: printable, cause: cause}
}

// rejectsAll is libpcap's message for an expression that no packet can match.
const rejectsAll = "expression rejects all packets"

// skfAdOff and the numbers below are linux/filter.h's ancillary loads:
// offsets that mean a field of the kernel's packet, not a byte of the frame.
const (
	skfAdOff     = 0xfffff000
	skfAdPkttype = skfAdOff + 4
	skfAdIfindex = skfAdOff + 8
	skfAdMax     = skfAdOff + 64
)

// checkAncillary refuses loads that ask the kernel's packet, not the frame:
// libpcap makes them of inbound, outbound and ifindex.
func checkAncillary(p []Insn) error {
	for _, in := range p {
		if !in.readsPacket() || in.K < skfAdOff || in.K >= skfAdMax {
			continue
		}
		switch in.K {
		case skfAdPkttype:
			return errors.New("inbound and outbound are no property of the packet's bytes: use -Q in or -Q out instead")
		case skfAdIfindex:
			return errors.New("ifindex is no property of the packet's bytes: use -i INTERFACE instead")
		}
		return fmt.Errorf("it asks for kernel field %d of the packet, which is not among its bytes", in.K-skfAdOff)
	}
	return nil
}
