// Package jury holds what a tracer tells of sockets' owners against what the
// processes themselves have written down. It is pure: no I/O, no clock. Times
// are wall clock, nanoseconds since 1970-01-01 UTC, and ports host order.
//
// The user of a socket is the process that acted on it last or, where nobody who
// acted still holds it, one that holds it open. Around a hand-over both are right.
package jury
