package filter

/*
#cgo LDFLAGS: -l:libpcap.a
#if !__has_include(<pcap/pcap.h>)
#error "pcap/pcap.h is missing: apt-get install libpcap-dev"
#endif
#include <stdlib.h>
#include <pcap/pcap.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"tcpstory/internal/tcp"
)

// Bounds of what is compiled. libpcap's optimiser is super-quadratic (300
// "host" terms take it a second, 400 nearly three), and cannot be interrupted.
const (
	MaxExpr      = 16 << 10        // bytes of an expression
	compileLimit = 5 * time.Second // until Compile gives up
	snapLen      = 262144          // as tcpdump's; the value an accepting program returns
)

// Compile compiles an expression for one link type through libpcap, optimised.
// An expression that no packet of this link type can match is no error: see
// Program.RejectsAll. Every error is an *Error. Names (host, port, proto, net,
// ether) are looked up while compiling, which may ask the DNS.
func Compile(expr string, link tcp.LinkType) (*Program, error) {
	switch {
	case len(expr) > MaxExpr:
		return nil, newError(expr, fmt.Sprintf("%d bytes are too long, the limit is %d: name nets instead of hosts", len(expr), MaxExpr), nil)
	case strings.ContainsRune(expr, 0):
		return nil, newError(expr, "it contains a NUL byte", nil)
	}
	insns, err := compileWithin(compileLimit, expr, dlt(link))
	if err != nil && err.Error() == rejectsAll {
		return rejectAll(link, rejectsAll), nil
	}
	if err != nil {
		return nil, newError(expr, err.Error(), nil)
	}
	return newProgram(expr, insns, link)
}

// CompileAll compiles one expression for several link types. Where libpcap
// refuses a link type but compiles another ("ether host" has no meaning on a
// tunnel), the refused one rejects all and says why in Refused. It is an error
// if none compiles, or if all reject every packet.
func CompileAll(expr string, links ...tcp.LinkType) ([]*Program, error) {
	var programs []*Program
	var first error
	useful := false
	for _, link := range links {
		p, err := Compile(expr, link)
		if err != nil {
			if first == nil {
				first = err
			}
			p = rejectAll(link, err.(*Error).Message)
		}
		useful = useful || !p.RejectsAll()
		programs = append(programs, p)
	}
	if useful {
		return programs, nil
	}
	if first == nil {
		first = newError(expr, rejectsAll, nil)
	}
	return nil, first
}

// dlt is libpcap's number of a link type in this process.
func dlt(link tcp.LinkType) C.int {
	if link == tcp.LinkRaw {
		return C.DLT_RAW // 12 on Linux, LINKTYPE_RAW (101) in files
	}
	return C.int(link)
}

// compileWithin runs libpcap on a thread of its own. If that takes too long it
// is left to finish alone: libpcap cannot be interrupted.
func compileWithin(limit time.Duration, expr string, dlt C.int) ([]Insn, error) {
	type result struct {
		insns []Insn
		err   error
	}
	done := make(chan result, 1)
	go func() {
		insns, err := pcapCompile(expr, dlt)
		done <- result{insns, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.insns, r.err
	case <-timer.C:
		return nil, fmt.Errorf("libpcap was not done compiling after %v: use fewer terms, nets instead of hosts, or \"ip host\" instead of \"host\"", limit)
	}
}

// pcapCompile is pcap_compile, with libpcap's own message as the error.
func pcapCompile(expr string, dlt C.int) ([]Insn, error) {
	handle := C.pcap_open_dead(dlt, snapLen)
	if handle == nil {
		return nil, errors.New("pcap_open_dead: out of memory")
	}
	defer C.pcap_close(handle)
	text := C.CString(expr)
	defer C.free(unsafe.Pointer(text))
	var program C.struct_bpf_program
	if C.pcap_compile(handle, &program, text, 1, C.PCAP_NETMASK_UNKNOWN) != 0 {
		return nil, errors.New(C.GoString(C.pcap_geterr(handle)))
	}
	defer C.pcap_freecode(&program)
	insns := make([]Insn, 0, int(program.bf_len))
	for _, in := range unsafe.Slice(program.bf_insns, int(program.bf_len)) {
		insns = append(insns, Insn{Code: uint16(in.code), Jt: uint8(in.jt), Jf: uint8(in.jf), K: uint32(in.k)})
	}
	return insns, nil
}
