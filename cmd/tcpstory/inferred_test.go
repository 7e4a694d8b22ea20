package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// TestUntracedStatesAreSs acts scenes out in which half-open connections,
// TIME_WAITs and orphans come and go in every way, and looks at all sockets every
// few milliseconds, till the last TIME_WAIT has ended: at each look the sockets in
// SYN_RECV and in TIME_WAIT are those that tcpstory tells, but for what changes
// within a tenth of a second. One tracer sees packets, the other states only.
func TestUntracedStatesAreSs(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{})
	client, server := l.Host(lab.Client), l.Host(lab.Server)
	for _, set := range []struct {
		host       *lab.Host
		key, value string
	}{
		{client, "net.ipv4.tcp_fin_timeout", "3"},
		{client, "net.ipv4.tcp_tw_reuse", "1"},
		{server, "net.ipv4.tcp_synack_retries", "2"},
	} {
		if err := set.host.Sysctl(set.key, set.value); err != nil {
			t.Fatal(err)
		}
	}
	netns := client.NetnsName() + "," + server.NetnsName()
	with := watch(t, here{}, "--json", "-l", "--netns", netns, "tcp")
	without := watch(t, here{}, "--json", "-l", "--no-packets", "--netns", netns)
	sampler := sampleStates(t, client, server)

	perform(t, l, smallScenes, func(f tcp.Flow) uint32 { return nextSeq(t, with, f) })
	any := func(tcp.Flow) bool { return true }
	gone := time.Now().Add(70 * time.Second) // 60 s, and the timer wheel's slot: at most 5.12 s
	for sampler.standing(tcp.TimeWait, any)+sampler.standing(tcp.SynRecv, any) > 0 {
		if time.Now().After(gone) {
			t.Error("TIME_WAIT without an end")
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond) // the last ends are told by now
	samples := sampler.end()
	with.interrupt()
	without.interrupt()

	agrees(t, "with packets", with, samples, comparison{asked: any})
	agrees(t, "without", without, samples, comparison{
		late: 1200 * time.Millisecond,
		asked: func(f tcp.Flow) bool {
			return !slices.ContainsFunc(smallScenes, func(s smallScene) bool { return s.packets && s.isAt(f) })
		},
	})
	inTime(t, with)
	for _, p := range []*proc{with, without} {
		neverWaits(t, p, "resets", "time-out")
	}
}

// neverWaits wants no TIME_WAIT in scenes that end by a RST or a time-out.
func neverWaits(t *testing.T, p *proc, scenes ...string) {
	t.Helper()
	n := 0
	for at, list := range courses(t, p) {
		for _, s := range smallScenes {
			if !slices.Contains(scenes, s.name) || !s.isAt(at.flow) {
				continue
			}
			for _, c := range list {
				n++
				if slices.ContainsFunc(c, func(ch change) bool { return ch.state == tcp.TimeWait }) {
					t.Errorf("TIME_WAIT after an error: %v", c)
				}
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d connections have failed", n)
	}
}

// TestFullTimeWaitTable: where the kernel has no room for TIME_WAIT, none is told.
func TestFullTimeWaitTable(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{})
	client := l.Host(lab.Client)
	if err := client.Sysctl("net.ipv4.tcp_max_tw_buckets", "5"); err != nil {
		t.Fatal(err)
	}
	p := watch(t, here{}, "--json", "-l", "--netns", client.NetnsName())
	sampler := sampleStates(t, client)
	perform(t, l, smallScenes[:1], nil) // 10 connections over each family
	time.Sleep(300 * time.Millisecond)
	waits := sampler.standing(tcp.TimeWait, func(tcp.Flow) bool { return true })
	samples := sampler.end()
	p.interrupt()
	c := comparison{courses: courses(t, p), asked: func(tcp.Flow) bool { return true }}
	c.hold(samples)
	for _, w := range c.wrong {
		t.Error(w)
	}
	told := map[string]int{}
	for _, text := range p.lines() {
		if remains, ok := object(t, text)["inferred_state"].(string); ok {
			told[remains]++
		}
	}
	if waits != 5 || told["TIME_WAIT"] != 5 || told["CLOSE"] != 15 {
		t.Errorf("%d sockets in TIME_WAIT, told %v", waits, told)
	}
}

// agrees wants a tracer's word to hold against all samples.
func agrees(t *testing.T, who string, p *proc, samples []sample, c comparison) {
	t.Helper()
	c.courses = courses(t, p)
	c.hold(samples)
	for i, w := range c.wrong {
		if i == 30 {
			break
		}
		t.Errorf("%s: %s", who, w)
	}
	t.Logf("%s: %d samples, %d ends; seen as told: %v; not so: %d", who, len(samples), len(c.courses), c.seen, len(c.wrong))
	if c.seen[tcp.SynRecv] < 100 || c.seen[tcp.TimeWait] < 500 || c.seen[tcp.FinWait2] < 5 { // a busy machine looks seldom
		t.Errorf("%s: too few were seen: %v", who, c.seen)
	}
}

// inTime wants inferred transitions to be told not much later than the others.
func inTime(t *testing.T, p *proc) {
	t.Helper()
	late := map[bool][]time.Duration{}
	for _, list := range courses(t, p) {
		for _, c := range list {
			for _, ch := range c {
				late[ch.from != ""] = append(late[ch.from != ""], ch.told.Sub(time.Unix(0, ch.at)))
			}
		}
	}
	for inferred, list := range late {
		slices.Sort(list)
		t.Logf("inferred %v: told after %v (median), %v (worst)", inferred, list[len(list)/2], list[len(list)-1])
	}
	if more := late[true][len(late[true])/2] - late[false][len(late[false])/2]; more > 300*time.Millisecond {
		t.Errorf("half of all inferred transitions are told %v later than the others", more)
	}
}

// nextSeq is what the flow's local end sends next, as the packets so far show.
func nextSeq(t *testing.T, p *proc, f tcp.Flow) (next uint32) {
	eventually(t, "the FIN of "+f.Local.String(), func() bool {
		for _, l := range p.lines() {
			var ev happening
			if json.Unmarshal([]byte(l), &ev) == nil && ev.Kind == "packet" && ev.Outgoing && ev.flow(t) == f &&
				(ev.Flags == "F." || ev.Flags == "FP.") {
				next = ev.TCPSeq + uint32(ev.Length) + 1
				return true
			}
		}
		return false
	})
	return next
}
