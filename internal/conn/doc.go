// Package conn turns events into connections: which socket an event belongs to,
// which state that socket was in and for how long, and which packets are its own.
//
// It performs no I/O, reads no clock and needs no rights. Time is the events'
// own, and memory is bounded whatever the events say.
package conn
