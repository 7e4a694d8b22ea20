package main

import (
	"path/filepath"
	"strconv"
	"strings"

	"tcpstory/internal/filter"
	"tcpstory/internal/kernel"
	"tcpstory/internal/tcp"
)

// selected is what the filter expression chooses, ready for each place that asks.
type selected struct {
	ether, raw *filter.Program
	could      func(tcp.Flow) bool // some packet of the connection could match; nil: all do
	notes      []string
}

// everyTCP is the expression of a command line without one.
const everyTCP = "tcp"

// selection compiles the expression. Without one it is TCP, less one's own SSH
// session: following that would show each line about the line before.
func selection(e *env, o *options) (*selected, error) {
	s := &selected{}
	expr := o.expr
	if expr == "" {
		expr = everyTCP
		if own, ok := filter.OwnSSH(e.getenv); ok && o.read == "" {
			expr += " and " + own
			s.notes = append(s.notes, "your own SSH session is left out (a filter expression of your own shows it)")
		}
	}
	programs, err := filter.CompileAll(expr, tcp.LinkEthernet, tcp.LinkRaw)
	if err != nil {
		return nil, err
	}
	s.ether, s.raw = programs[0], programs[1]
	if expr != everyTCP {
		s.could = s.either
	}
	return s, nil
}

// either asks both programs: the link type of a connection is not known ahead.
func (s *selected) either(f tcp.Flow) bool { return s.ether.CouldMatch(f) || s.raw.CouldMatch(f) }

// namedNetns finds a namespace by ip-netns(8) name, path or PID.
func namedNetns(name string) (uint32, error) {
	path := name
	switch _, err := strconv.Atoi(name); {
	case err == nil:
		path = filepath.Join("/proc", name, "ns/net")
	case !strings.Contains(name, "/"):
		path = filepath.Join("/run/netns", name)
	}
	return kernel.NetnsOf(path)
}
