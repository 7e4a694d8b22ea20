package lab

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestTopologies: in every topology the client reaches the server's port.
func TestTopologies(t *testing.T) {
	for _, topology := range []Topology{Pair, Routed, Bridge, Hairpin, Alone} {
		for _, f := range Families {
			t.Run(fmt.Sprintf("%d/%s", topology, f), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, Options{Topology: topology})
				s, err := Find("handshake")
				if err != nil {
					t.Fatal(err)
				}
				s.Topology = topology
				if err := s.Run(t.Context(), l, f); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestTools: the names and paths of a host are what other tools take.
func TestTools(t *testing.T) {
	h := newLab(t, Options{}).Host(Client)
	for _, args := range [][]string{
		{"ip", "netns", "exec", h.NetnsName(), "readlink", "/proc/self/ns/net"},
		{"nsenter", "--net=" + h.Path(), "readlink", "/proc/self/ns/net"},
	} {
		out, err := hostCommand(t, args...).Output()
		if err != nil {
			t.Fatal(args, err)
		}
		if want := fmt.Sprintf("net:[%d]\n", h.Netns()); string(out) != want {
			t.Errorf("%v: %q, want %q", args, out, want)
		}
	}
}

// TestNothingOutside: the maker's own namespace never sees a device of a lab.
func TestNothingOutside(t *testing.T) {
	newLab(t, Options{Topology: Bridge})
	devices, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if strings.HasPrefix(d.Name(), "veth0") || strings.HasPrefix(d.Name(), "port") || d.Name() == "br0" {
			t.Errorf("device %s outside the lab", d.Name())
		}
	}
}

// TestWrongTopology: a scenario is not acted where its firewall has no host.
func TestWrongTopology(t *testing.T) {
	s, err := Find("dnat-router")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), newLab(t, Options{}), IPv4); err == nil {
		t.Error("the scenario ran in a topology without its router")
	}
}

// TestCatalogue: names and ports tell scenarios apart, and every pattern of
// packets can be read.
func TestCatalogue(t *testing.T) {
	names, ports := map[string]bool{}, map[uint16]bool{}
	for _, s := range Cases() {
		if names[s.Name] || ports[s.Port] || s.About == "" || s.act == nil {
			t.Errorf("scenario %s (port %d) is not complete and unique", s.Name, s.Port)
		}
		names[s.Name], ports[s.Port] = true, true
		checkVerdicts(t, s)
		for _, p := range []Packets{s.Story.Packets, s.Story.AtServer} {
			if _, err := p.pattern(); err != nil {
				t.Errorf("scenario %s: %v", s.Name, err)
			}
		}
	}
	if _, err := Find("no such"); err == nil {
		t.Error("a scenario was found that there is not")
	}
}

// checkVerdicts: each names a rule and one of the four places.
func checkVerdicts(t *testing.T, s Scenario) {
	t.Helper()
	some := false
	for _, from := range Vantages {
		for _, v := range s.Verdicts.At(from) {
			some = true
			if v.Rule == "" || !slices.Contains(Places[:], v.Place) {
				t.Errorf("scenario %s from the %s: verdict %q at %q", s.Name, from, v.Rule, v.Place)
			}
		}
	}
	if s.Verdicts.Held && some == s.Verdicts.Silent {
		t.Errorf("scenario %s is held; silence is to be kept meanwhile: %v, and something to be said: %v", s.Name, s.Verdicts.Silent, some)
	}
}

// TestPackets: the notation.
func TestPackets(t *testing.T) {
	for _, c := range []struct {
		notation Packets
		seen     string
		want     bool
	}{
		{">S <S. >.", ">S <S. >. ", true},
		{">S <S. >.", ">S <S. ", false},
		{">S <S. >.", ">S <S. >P ", false},
		{">S", ">S. ", false},
		{">S (>S)+", ">S ", false},
		{">S (>S)+", ">S >S >S ", true},
		{">F. <. (>F. (<.)?)+", ">F. <. >F. >F. <. ", true},
		{">S <icmp", ">S <icmp ", true},
		{"", "", true},
		{"", ">S ", false},
	} {
		have, err := c.notation.Match([]byte(c.seen))
		if err != nil || have != c.want {
			t.Errorf("%q matches %q: %v, %v", c.notation, c.seen, have, err)
		}
	}
	if _, err := Packets(">S (").Match(nil); err == nil {
		t.Error("a broken notation was accepted")
	}
}

// recoveries are the kernel's own counts of how lost segments came again.
var recoveries = map[string]map[string]uint64{
	"retransmit":      {"TCPTimeouts": 2, "TCPFastRetrans": 0, "TCPLossProbes": 0},
	"fast-retransmit": {"TCPTimeouts": 0, "TCPFastRetrans": 1, "TCPLossProbes": 0},
	"tail-loss":       {"TCPTimeouts": 0, "TCPFastRetrans": 0, "TCPLossProbes": 1},
}

// TestRecoveries: each story of a loss is told by the mechanism it is about.
func TestRecoveries(t *testing.T) {
	for name, counts := range recoveries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Find(name)
			if err != nil {
				t.Fatal(err)
			}
			l := newLab(t, Options{})
			if err := s.Run(t.Context(), l, IPv4); err != nil {
				t.Fatal(err)
			}
			for counter, want := range counts {
				if have := snmp(t, l.Host(Client), "TcpExt", counter); have != want {
					t.Errorf("%s is %d, want %d", counter, have, want)
				}
			}
		})
	}
}
