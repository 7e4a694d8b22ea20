package kernel

import (
	"fmt"
	"time"
)

// Mark says how a finding stands.
type Mark uint8

// The marks.
const (
	Works Mark = iota
	Lacks
	Unknown // it could not be looked at
)

var markNames = [...]string{"works", "lacks", "unknown"}

// MarshalText gives the stable name that JSON output and the docs use.
func (m Mark) MarshalText() ([]byte, error) {
	if int(m) >= len(markNames) {
		return nil, fmt.Errorf("no mark %d", m)
	}
	return []byte(markNames[m]), nil
}

// Finding is one thing that tracing needs or can use, as it is here.
type Finding struct {
	Group  string `json:"group"`
	Name   string `json:"name"`
	Mark   Mark   `json:"mark"`
	What   string `json:"what,omitempty"`   // what it is for
	Found  string `json:"found,omitempty"`  // what there is
	Lack   string `json:"lack,omitempty"`   // what is missing without it
	Reason string `json:"reason,omitempty"` // why it is not to be had
	Remedy string `json:"remedy,omitempty"`
}

// Report is what Examine found.
type Report struct {
	Release  string        // of the kernel, as uname -r says it
	Err      error         // why a trace of everything cannot start here; nil: it can
	Start    time.Duration // how long it took to start
	Findings []Finding     // those of a group stand together
}

// Groups of findings, in the order of the report.
const (
	groupKernel    = "kernel"
	groupRights    = "rights"
	groupAbilities = "details"
	// GroupHost is what the host's files and settings add.
	GroupHost = "host"
)

// groups names the hooks' groups.
var groups = [...]string{partPackets: "packets", partSockets: "sockets", partOwners: "owners", partLives: "lives"}

// missing fills in a finding that is not to be had.
func (f Finding) missing(lack, reason, remedy string) Finding {
	f.Mark, f.Lack, f.Reason, f.Remedy = Lacks, lack, reason, remedy
	return f
}
