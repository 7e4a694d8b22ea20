// Package flight is the core of the flight recorder: the recent past of all
// connections in a bounded piece of memory (Ring), what is an incident (Watch), and
// how many of them are written (Limit). No I/O, no clock: time is the events'.
package flight
