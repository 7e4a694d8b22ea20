// Package life makes a line of each connection's life: who, with whom, how much,
// how long, and how it ended. The kernel's one record of it (tcp.KindLife) or the
// steps of a recorded story go in. It does no I/O and reads no clock.
package life
