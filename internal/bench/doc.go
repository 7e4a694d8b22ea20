// Package bench measures what tracing costs: what it adds to the time that
// short connections take, and what the tracer itself spends on each. tcpstory
// is measured beside Debian's tcpstates, tcplife and tcpdump, in one sitting,
// in network namespaces of its own.
package bench
