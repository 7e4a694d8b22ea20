package main

import (
	"slices"

	"tcpstory/internal/lab"
	"tcpstory/internal/lab/crew"
)

// crewCase is one shape of servers or clients with one kind of ends.
type crewCase struct {
	name           string
	server, client crew.Shape
	plays          []crew.Play
	flights        int // connections at a time; 0 is 1000
	family         lab.Family
	wire           bool // over veth, not on lo
	packets        bool // the tracer tells of them, too
	untouched      bool // nobody can know the server's processes: they are not to be wrong, that is all
}

// crewCases are the cases. Where the server's parent reads before it forks, it
// has few connections at a time: each child inherits them all.
var crewCases = []crewCase{
	{name: "prefork", server: crew.Prefork, plays: orderly},
	{name: "prefork/reset", server: crew.Prefork, plays: aborted, family: lab.IPv6, wire: true},
	{name: "reuseport", server: crew.ReusePort, plays: orderly, family: lab.IPv6},
	{name: "reuseport/reset", server: crew.ReusePort, plays: aborted, packets: true},
	{name: "fork", server: crew.Fork, plays: slices.Concat(handed(orderly), mortal)},
	{name: "fork/midway", server: crew.Fork, plays: midway, flights: 20},
	{name: "fork/reset", server: crew.Fork, plays: handed(aborted), wire: true},
	{name: "forkexec", server: crew.ForkExec, plays: slices.Concat(handed(orderly), mortal), family: lab.IPv6, wire: true},
	{name: "pass", server: crew.Pass, plays: slices.Concat(handed(orderly), midway, relayed)},
	{name: "pass/reset", server: crew.Pass, plays: handed(aborted), family: lab.IPv6, packets: true},
	{name: "threads", server: crew.Threads, plays: slices.Concat(handed(orderly), midway, relayed), wire: true},
	{name: "threads/reset", server: crew.Threads, plays: handed(aborted)},
	{name: "brief", server: crew.Prefork, client: crew.Brief, plays: brief, flights: 400},
	{name: "brief/reset", server: crew.Prefork, client: crew.Brief, plays: briefAborted, flights: 400, wire: true, packets: true},
	{name: "briefexec", server: crew.Prefork, client: crew.BriefExec, plays: brief, flights: 400, family: lab.IPv6},
	{name: "untouched", server: crew.Prefork, plays: untouched, untouched: true},
}

// Plays that end orderly: either side first, half-closed, without a word, after
// more than a second.
var orderly = []crew.Play{
	{Server: "rwec", Client: "wrc"},
	{Server: "rwc", Client: "wrec"},
	{Server: "rwsec", Client: "wrec"},
	{Server: "wc", Client: "rec"},    // the server only writes
	{Server: "hc", Client: "ec"},     // it only holds
	{Server: "qc", Client: "hc"},     // and until the client is gone
	{Server: "rwhc", Client: "wrec"}, // idle for long
}

// Plays that end by a reset.
var aborted = []crew.Play{
	{Server: "rwec", Client: "wra"},
	{Server: "rwa", Client: "wrec"},
	{Server: "qwc", Client: "wec"}, // data unread
	{Server: "zc", Client: "ha"},   // the server only holds
	{Server: "rwzc", Client: "wrha"},
}

// Plays in which the server's process does nothing until it is too late.
var untouched = []crew.Play{{Server: "zc", Client: "a"}, {Server: "zc", Client: "wa"}}

// Plays that are handed over after something has been done.
var midway = []crew.Play{
	{Server: "rpwec", Client: "wrc"},
	{Server: "rwpc", Client: "wrec"},
	{Server: "rwpsec", Client: "wrec"},
}

// Plays that are handed over again and again, or held for long afterwards.
var relayed = []crew.Play{
	{Server: "prwprwpec", Client: "wrwrc"},
	{Server: "rpwpec", Client: "wrc"},
	{Server: "rwphc", Client: "wrec"},
	{Server: "prwpwhc", Client: "wrec"},
}

// Plays of a server's process that serves one connection.
var mortal = []crew.Play{
	{Server: "prwx", Client: "wrec"},
	{Server: "prwk", Client: "wrec"},
	{Server: "px", Client: "ec"},
}

// Plays of a client's process that makes one connection.
var brief = []crew.Play{
	{Server: "rwec", Client: "wrc"},
	{Server: "rwc", Client: "wrec"},
	{Server: "rwec", Client: "wrx"},
	{Server: "rwec", Client: "wrk"},
	{Server: "rwec", Client: "wx"},
	{Server: "rwec", Client: "x"},
	{Server: "rwec", Client: "whrx"},
}

// The same, with resets.
var briefAborted = []crew.Play{
	{Server: "rwec", Client: "wra"},
	{Server: "rwa", Client: "wrec"},
	{Server: "rwec", Client: "wqx"}, // data unread
	{Server: "rwzc", Client: "whk"},
}

// timedOut are plays that stop at the gate, until nothing arrives any more; then
// both sides write in vain.
var timedOut = []crew.Play{
	{Server: "rwgwzc", Client: "wrgwzc"},
	{Server: "rwgwec", Client: "wrgwec"}, // the error is read
	{Server: "gwzc", Client: "gwzc"},     // the first word is lost
}

// held are plays that stop at the gate to be looked at.
var held = []crew.Play{
	{Server: "rwgec", Client: "wrgc"},
	{Server: "rgec", Client: "wgc"},
	{Server: "gec", Client: "gc"}, // the server only holds
}

// handed hands each over before anything else is done.
func handed(plays []crew.Play) (list []crew.Play) {
	for _, p := range plays {
		list = append(list, crew.Play{Server: "p" + p.Server, Client: p.Client})
	}
	return list
}

// crewShapes are all shapes of servers, and whether they hand over.
var crewShapes = []struct {
	shape crew.Shape
	hands bool
}{
	{crew.Prefork, false}, {crew.ReusePort, false}, {crew.Fork, true},
	{crew.ForkExec, true}, {crew.Pass, true}, {crew.Threads, true},
}
