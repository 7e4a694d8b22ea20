package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// troupe is how many scenarios act at the same time: they wait for the
// kernel's timers most of it.
const troupe = 8

// inTroupe runs a test for each scenario, several at the same time. They are
// not parallel tests, of which there are as many at a time as CPUs.
func inTroupe(t *testing.T, scenarios []lab.Scenario, test func(*testing.T, lab.Scenario)) {
	var all sync.WaitGroup
	slots := make(chan struct{}, troupe)
	for _, s := range scenarios {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			t.Run(s.Name, func(t *testing.T) { test(t, s) })
		})
	}
	all.Wait()
}

// TestStories acts out every scenario of the laboratory over both families and
// holds what tcpstory tells against what the scenario says must be seen.
func TestStories(t *testing.T) {
	for _, f := range lab.Families {
		t.Run(f.String(), func(t *testing.T) {
			inTroupe(t, lab.Scenarios(), func(t *testing.T, s lab.Scenario) { testStory(t, s, f) })
		})
	}
}

// testStory may try again where events are missing and nothing is wrong: some
// kernels run no BPF program while a certain process is interrupted, and do not
// say so.
func testStory(t *testing.T, s lab.Scenario, f lab.Family) {
	v := judge(actOut(t, s, f))
	if len(v.wrong) == 0 && len(v.missing) > 0 {
		t.Logf("once more, since events were missing (reported: %q):\n%s", v.of.gaps, v)
		v = judge(actOut(t, s, f))
	}
	if len(v.wrong)+len(v.missing) > 0 {
		t.Errorf("%s\n%s", v, strings.Join(v.of.lines, "\n"))
	}
}

// telling is what tcpstory told of one performance.
type telling struct {
	lab.Scenario
	family         lab.Family
	client, server uint32 // network namespaces
	events         []happening
	passing        []happening // the same on other hosts, which the connection passes through
	lines          []string    // the events as they came
	gaps           []string    // what tcpstory itself reports as lost
}

// happening is an event in JSON, as far as the stories go.
type happening struct {
	Seq          uint64
	Time         int64 `json:"time_ns"`
	Kind         string
	Conn         uint64
	Role         string
	Cookie       uint64
	Netns        uint32
	LocalAddr    string   `json:"local_addr"`
	LocalPort    uint16   `json:"local_port"`
	RemoteAddr   string   `json:"remote_addr"`
	RemotePort   uint16   `json:"remote_port"`
	Old          string   `json:"old_state"`
	New          string   `json:"new_state"`
	InState      *float64 `json:"in_state_us"`
	Remains      string   `json:"inferred_state"`
	IsInferred   bool     `json:"inferred"`
	From         string   `json:"inferred_from"`
	HalfOpen     bool     `json:"in_state_inferred"`
	Comm         string
	PID          int
	OwnerComm    string `json:"owner_comm"`
	Errno        int
	Soft         bool
	Again        string `json:"retransmit"`
	Count        int    `json:"retransmit_count"`
	Reason       string
	Device       string
	Direction    string
	Outgoing     bool
	Loopback     bool
	SrcAddr      string `json:"src_addr"`
	SrcPort      uint16 `json:"src_port"`
	DstAddr      string `json:"dst_addr"`
	DstPort      uint16 `json:"dst_port"`
	Translated   bool
	Flags        string
	TCPSeq       uint32 `json:"tcp_seq"`
	TCPAck       uint32 `json:"tcp_ack"`
	Length       int
	ICMPType     *int   `json:"icmp_type"`
	QuotedToward uint16 `json:"quoted_dst_port"`
}

// actOut runs a scenario under the eyes of tcpstory.
func actOut(t *testing.T, s lab.Scenario, f lab.Family) *telling {
	t.Helper()
	l := newLab(t, lab.Options{Topology: s.Topology})
	p := watch(t, here{}, append(watching(l, s), "--json")...)
	if err := s.Run(t.Context(), l, f); err != nil {
		t.Fatal(err)
	}
	p.interrupt()
	tell := &telling{Scenario: s, family: f, lines: p.lines()}
	tell.gaps = slices.DeleteFunc(p.out.text(), func(l string) bool { return !gap.MatchString(l) })
	tell.client, tell.server = l.Host(lab.Client).Netns(), l.Host(lab.Server).Netns()
	tell.read(t)
	return tell
}

// watching are the arguments that show a scenario: all its hosts, its port, and
// the ICMP errors about it.
func watching(l *lab.Lab, s lab.Scenario) []string {
	var args []string
	for _, h := range l.Hosts() {
		args = append(args, "--netns", h.NetnsName())
	}
	return append(args, fmt.Sprintf("port %d or icmp or icmp6", s.Port))
}

// read takes the lines apart. What the hosts' kernels say to each other on
// their own (neighbour discovery, group membership) is no part of the story.
func (tell *telling) read(t *testing.T) {
	t.Helper()
	for _, l := range tell.lines {
		object(t, l)
		if isAside(l) {
			continue
		}
		var ev happening
		if err := json.Unmarshal([]byte(l), &ev); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		switch {
		case ev.ICMPType != nil && ev.QuotedToward == 0:
		case ev.Netns == tell.client || ev.Netns == tell.server:
			tell.events = append(tell.events, ev)
		default:
			tell.passing = append(tell.passing, ev)
		}
	}
}

// at are the events of some kinds on a host, in order. On loopback the one sighting
// of a packet, which is its sender's, is its arrival too.
func (tell *telling) at(host string, kinds ...tcp.Kind) (list []happening) {
	for _, ev := range tell.events {
		own := tell.host(&ev) == host
		if own || ev.Loopback {
			ev.Outgoing = ev.Outgoing && own
		} else {
			continue
		}
		if slices.ContainsFunc(kinds, func(k tcp.Kind) bool { return k.String() == ev.Kind }) {
			list = append(list, ev)
		}
	}
	return list
}

// alone: both ends are on one host.
func (tell *telling) alone() bool { return tell.client == tell.server }

// host is where an event took place.
func (tell *telling) host(ev *happening) string {
	if ev.Netns != tell.server || tell.alone() && ev.LocalPort != tell.Port {
		return lab.Client
	}
	return lab.Server
}

// verdict is what is not as it must be.
type verdict struct {
	of             *telling
	wrong, missing []string
}

func (v *verdict) errs(format string, args ...any) {
	v.wrong = append(v.wrong, "wrong: "+fmt.Sprintf(format, args...))
}

func (v *verdict) lacks(format string, args ...any) {
	v.missing = append(v.missing, "missing: "+fmt.Sprintf(format, args...))
}

// counts wants so many of something.
func (v *verdict) counts(what string, have, want int) {
	if have < want {
		v.lacks("%s: %d, want %d", what, have, want)
	} else if have > want {
		v.errs("%s: %d, want %d", what, have, want)
	}
}

func (v *verdict) String() string {
	return strings.Join(slices.Concat(v.wrong, v.missing), "\n")
}

// judge holds a telling against its story.
func judge(tell *telling) *verdict {
	v := &verdict{of: tell}
	for _, check := range []func(*verdict){
		(*verdict).places, (*verdict).passages, (*verdict).transitions, (*verdict).processes,
		(*verdict).packets, (*verdict).sightings, (*verdict).conversations, (*verdict).translation,
		(*verdict).timeWait, (*verdict).halfOpen, (*verdict).order,
		(*verdict).retransmissions, (*verdict).drops, (*verdict).facts,
	} {
		check(v)
	}
	return v
}

// places: every packet was seen on the end's own device, and the numbers go up.
func (v *verdict) places() {
	device := "veth0"
	if v.of.alone() {
		device = "lo"
	}
	var last uint64
	for _, ev := range v.of.events {
		if ev.IsInferred != (ev.Seq == 0) || !ev.IsInferred && ev.Seq <= last {
			v.errs("event %d stands after %d", ev.Seq, last)
		}
		last = max(last, ev.Seq)
		if ev.Kind == tcp.KindPacket.String() && ev.Device != device {
			v.errs("event %d was seen on %q", ev.Seq, ev.Device)
		}
	}
}

// passages: what a router forwards is only shown with -i. One that puts its own
// address in the client's place is sent the answers, and these are shown: as the
// same conversation.
func (v *verdict) passages() {
	var passed, sent string
	if v.of.Name == "dnat-masquerade" || v.of.Name == "hairpin" {
		for _, ev := range v.of.at(lab.Server, tcp.KindPacket) {
			if ev.Outgoing {
				sent += v.of.word(&ev) + " "
			}
		}
	}
	for _, ev := range v.of.passing {
		if passed += v.of.word(&ev) + " "; ev.Conn != v.of.at(lab.Client, tcp.KindState)[0].Conn {
			v.errs("event %d on the way is of conversation %d", ev.Seq, ev.Conn)
		}
	}
	if len(passed) < len(sent) {
		v.lacks("packets on the way: %s, want %s", passed, sent)
	} else if passed != sent {
		v.errs("packets on the way: %s, want %s", passed, sent)
	}
}
