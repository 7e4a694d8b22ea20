// Package record keeps a stream of events in a pcapng file and gives it back
// exactly. doc/RECORDING.md describes the file.
//
// Packets are ordinary packets, with a comment where the kernel has something to
// say about them. Kernel events are blocks of a type reserved for local use, which
// other programs pass over, each followed by a row for human eyes. Only the local
// blocks and options are ever read back: rows and comments may change their words.
package record
