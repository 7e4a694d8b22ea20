// Package ordertest holds a stream of events against the table in doc/ORDER.md:
// every transition against every packet that the table says stands before or
// after it. Tests of live sources use it; it does no tracing itself.
package ordertest
