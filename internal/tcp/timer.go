package tcp

import "time"

// Timer is a running timer of the kernel's timer wheel, as it stood at an event.
// Jiffies are counted modulo 2³²; they begin again five minutes after boot.
type Timer struct {
	Tick    time.Duration // how long a jiffy is (1 s / CONFIG_HZ); 0: no timer is told
	Now     uint32        // jiffies at the event
	Expires uint32        // when the timer is due, jiffies
}
