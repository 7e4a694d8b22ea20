package main

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"tcpstory/internal/lab"
)

// storyView is one way of printing, with what marks the lines that are events.
type storyView struct {
	flags []string
	env   string
	event *regexp.Regexp
}

// storyViews begin an event with its time; headings and the header do not.
var storyViews = []storyView{
	{[]string{"--json"}, "", regexp.MustCompile(`^\{"(seq|time)":`)},
	{[]string{"--view", "lines"}, "", regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{6} `)},
	{[]string{"--view", "columns"}, "LANG=C.UTF-8", regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{6} `)},
}

// TestViewsOfStories: each scenario, seen by all views at the same time, has as
// many events in each; columns fit 80, and nothing is there that a terminal
// would obey. IPv6 has the longest addresses. What hosts ask their neighbours on
// their own is no part of it: columns leave that out.
func TestViewsOfStories(t *testing.T) {
	inTroupe(t, lab.Scenarios(), func(t *testing.T, s lab.Scenario) {
		events := seenBy(t, s)
		if events[0] != events[1] || events[0] != events[2] {
			t.Logf("once more: %d events", events)
			events = seenBy(t, s)
		}
		if events[0] != events[1] || events[0] != events[2] || events[0] < 5 {
			t.Errorf("%d events as JSON, in lines, in columns", events)
		}
	})
}

// seenBy acts a scenario out before every view and counts the events of each.
func seenBy(t *testing.T, s lab.Scenario) (events [3]int) {
	t.Helper()
	l := newLab(t, lab.Options{Topology: s.Topology})
	var tracers []*proc
	for _, v := range storyViews {
		cmd := tcpstory(here{}, append(append(watching(l, s), "and", "not", "(icmp6", "and", "icmp6[0]", ">", "127)"), v.flags...)...)
		cmd.Env = append(cmd.Env, v.env)
		p := start(t, cmd)
		p.awaitsIn(p.err, listens)
		tracers = append(tracers, p)
	}
	if err := s.Run(t.Context(), l, lab.IPv6); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, p := range tracers { // at the same time: some things are inferred a while after
		all.Go(p.interrupt)
	}
	all.Wait()
	for i, p := range tracers {
		for _, text := range p.lines() {
			if storyViews[i].event.MatchString(text) {
				events[i]++
			}
			checkLine(t, storyViews[i], text)
		}
	}
	return events
}

func checkLine(t *testing.T, v storyView, text string) {
	t.Helper()
	if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		t.Errorf("%s: %q", v.flags, text)
	}
	if n := utf8.RuneCountInString(text); v.env != "" && n > 80 {
		t.Errorf("%d columns: %s", n, text)
	}
}
