// Package tcp holds the words that every other room speaks: states, header
// flags, flows, packets and the event. It performs no I/O, reads no clock and
// needs no rights; every other package may import it and it imports none.
package tcp
