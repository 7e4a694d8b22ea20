// Package mix is a load of connections of every fate, made by two processes that
// log what they did: who, with whom, how many bytes, how long, and how it ended. A
// tracer's report of lives is held against the log.
package mix
