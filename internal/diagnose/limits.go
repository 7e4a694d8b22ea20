package diagnose

import (
	"fmt"
	"time"
)

// Limits are the numbers that part trouble from health.
type Limits struct {
	After        time.Duration // a bad condition that lasts so long is trouble: --after
	Slow         time.Duration // a request that is acknowledged so long and not answered: --slow
	Aside        uint32        // payload up to which what a client says at once behind an answer may ask for none, bytes
	Spell        time.Duration // losses with no longer pause than this are one spell
	Idle         time.Duration // a connection silent for so long may have been forgotten by a middlebox
	Timeouts     uint32        // retransmission time-outs in a row
	Fast         uint32        // fast retransmissions in a spell
	LossShare    uint32        // of the segments sent, in a thousand, that are sent again at least
	Stalls       uint32        // small segments that waited for a delayed acknowledgement
	StallMin     time.Duration // how long a delayed acknowledgement takes at least
	StallMax     time.Duration // and at most
	PortShare    uint32        // of the local ports, in a hundred, that are in TIME_WAIT to one destination
	Large        uint32        // payload of a segment that is large, bytes
	HoleTimeouts uint32        // time-outs in a row of such a segment
	Syns         uint32        // SYNs that nobody answers, before the time is over

	Probes uint32        // tail loss probes that were needed, in a spell
	Calm   time.Duration // a trouble that was gone for so long is told of anew
	Rest   time.Duration // a connection on which all was answered may be reset when it was silent for so long

	Alike    [degrees]uint32 // verdicts that are told one by one, by how much they are alike; more are counted
	AlikeFor time.Duration   // within so long
}

// DefaultLimits are the published ones.
var DefaultLimits = Limits{
	After: 3 * time.Second, Slow: 3 * time.Second, Aside: 52, Spell: 10 * time.Second, Idle: 30 * time.Second,
	Timeouts: 2, Fast: 4, LossShare: 10,
	Stalls: 3, StallMin: 20 * time.Millisecond, StallMax: 500 * time.Millisecond,
	PortShare: 60, Large: 1000, HoleTimeouts: 2, Syns: 2,
	Probes: 3, Calm: time.Minute, Rest: time.Second,
	Alike: [degrees]uint32{SameServer: 3, SameHost: 6, SameProcess: 12}, AlikeFor: 10 * time.Second,
}

func (l Limits) withDefaults() Limits {
	if l == (Limits{}) {
		return DefaultLimits
	}
	return l
}

// Limit is one of a rule's numbers, as it is published.
type Limit struct{ What, Value string }

func lasting(what string, d time.Duration) Limit { return Limit{what, seconds(d)} }
func count(what string, n uint32) Limit          { return Limit{what, fmt.Sprint(n)} }

// seconds is a duration as people read it.
func seconds(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return d.Round(time.Minute).String()
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}
