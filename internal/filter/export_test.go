package filter

import (
	"context"
	"errors"
	"net"
	"time"

	"tcpstory/internal/tcp"
)

// Search is the slow half of CouldMatch, for one direction.
func (p *Program) Search(f tcp.Flow, ipv4 bool) bool {
	p.once.Do(p.prepareFlow)
	return p.search(f, ipv4, p.flow.tags)
}

// RunTuple is the fast half.
func RunTuple(projection []Insn, f tcp.Flow, ipv4 bool) bool { return runTuple(projection, f, ipv4) }

// CompileIn is Compile with another limit.
func CompileIn(limit time.Duration, expr string, link tcp.LinkType) ([]Insn, error) {
	return compileWithin(limit, expr, dlt(link))
}

// The name files' readers.
var (
	ProtocolNumber = protocolNumber
	NetworkNumber  = networkNumber
	EtherAddress   = etherAddress
)

// No test asks the DNS: names are those of the hosts file.
func init() {
	resolver.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no DNS in tests")
	}
}
