// Package timeline puts events into the order in which they are told. One ring
// buffer already gives one order; what is left to do is to wait for what the
// kernel does not know yet: the local port of a connect() in progress, the first
// sequence numbers of a connection just accepted.
//
// It performs no I/O and reads no clock: time is the events' own.
package timeline
