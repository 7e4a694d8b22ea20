package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"tcpstory/internal/filter"
	"tcpstory/internal/kernel"
	"tcpstory/internal/tcp"
)

// selection is what the filter expression chooses, one program a link type.
type selection struct {
	programs []*filter.Program
	all      bool // no expression: every TCP connection
}

// saysVLAN finds the words by which an expression looks at VLAN tags (pcap-filter(7)).
var saysVLAN = regexp.MustCompile(`\bvlan\b|\bether proto\b|\bether\[`)

// everyTCP is the expression of a command line without one.
const everyTCP = "tcp"

// ownSession is said when the default leaves something out.
const ownSession = "your own SSH session is left out; a filter expression of your own (tcp, say) shows it"

// expression is the filter to compile, and what to say of it. Without one on the
// command line it is TCP, live less one's own SSH session: following that would
// show each line about the line before.
func (o *options) expression(e *env) (expr, note string) {
	if o.expr != "" {
		return o.expr, ""
	}
	own, ok := filter.OwnSSH(inherited(e.getenv, "/proc"))
	if !ok || o.read != "" {
		return everyTCP, ""
	}
	return everyTCP + " and " + own, ownSession
}

// quotes: ICMP errors come along because of what they quote, except where the
// user has said which packets, and wants these alone.
func (o *options) quotes() bool {
	return o.expr == "" || !o.noPackets && !o.noStates && o.write == "" && (o.read == "" || o.replays)
}

func newSelection(expr string, links ...tcp.LinkType) (*selection, error) {
	programs, err := filter.CompileAll(expr, links...)
	if err != nil {
		return nil, err
	}
	return &selection{programs: programs, all: expr == everyTCP}, nil
}

// could says whether some packet of the connection could match. It is nil when
// all do.
func (s *selection) could() func(tcp.Flow) bool {
	if s.all {
		return nil
	}
	return func(f tcp.Flow) bool {
		for _, p := range s.programs {
			if p.CouldMatch(f) {
				return true
			}
		}
		return false
	}
}

// chooseNetns tells the kernel side which namespaces are asked for.
func (c *choice) chooseNetns(to *kernel.Config) error {
	for _, name := range c.netns {
		inum, err := namedNetns(name)
		if err != nil {
			return err
		}
		to.Netns = append(to.Netns, inum)
	}
	return nil
}

// namedNetns finds a namespace by ip-netns(8) name, path or PID.
func namedNetns(name string) (uint32, error) {
	path, remedy := name, ""
	switch _, err := strconv.Atoi(name); {
	case err == nil:
		path = filepath.Join("/proc", name, "ns/net")
	case !strings.Contains(name, "/"):
		path, remedy = filepath.Join("/run/netns", name), " (ip netns lists the names)"
	}
	inum, err := kernel.NetnsOf(path)
	if err != nil {
		return 0, fmt.Errorf("--netns %s: %w%s", name, err, remedy)
	}
	return inum, nil
}
