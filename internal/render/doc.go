// Package render turns steps into what people and programs read: tcpdump's
// lines with the kernel's events among them (Lines), two columns for a terminal
// (Columns), JSON, and the summary at exit.
//
// Whatever a packet or a process name holds, no raw control byte leaves this
// package. Sinks share one buffered Writer and do not allocate per event.
package render
