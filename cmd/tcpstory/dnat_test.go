package main

import (
	"fmt"
	"slices"
	"testing"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// TestOneWayBehindTranslation: what the server's own firewall leads to a socket is
// seen from the first SYN on, also where nobody asks for the answers that tell so.
func TestOneWayBehindTranslation(t *testing.T) {
	s, err := lab.Find("dnat-server")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{fmt.Sprintf("dst port %d", s.Port)}, {"-Q", "in", fmt.Sprintf("port %d", s.Port)},
		{fmt.Sprintf("tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn or dst port %d", s.Port)},
	} {
		for _, f := range lab.Families {
			if f == lab.IPv6 && len(args) == 1 && args[0][0] == 't' {
				continue // tcp[…] is IPv4 only in pcap expressions
			}
			t.Run(fmt.Sprintf("%q/%s", args, f), func(t *testing.T) {
				l := newLab(t, lab.Options{Topology: s.Topology})
				server := l.Host(lab.Server)
				p := watch(t, here{}, slices.Concat([]string{"--json", "--no-states", "--netns", server.NetnsName()}, args)...)
				if err := s.Run(t.Context(), l, f); err != nil {
					t.Fatal(err)
				}
				p.interrupt()
				tell := &telling{Scenario: s, family: f, lines: p.lines(), server: server.Netns()}
				tell.read(t)
				if have, want := tell.words(lab.Server), ">S >. >P. >. >F. >. "; have != want {
					t.Errorf("%s: packets %s, want %s", args, have, want)
				}
				if first := tell.at(lab.Server, tcp.KindPacket)[0]; !first.Translated || first.LocalAddr != server.Addr(f).String() {
					t.Errorf("%s: the SYN is for %s", args, first.LocalAddr)
				}
			})
		}
	}
}
