// Package whytest holds the verdicts of tcpstory why against the laboratory: every
// trouble it can act out, from each vantage, over both families; and against
// healthy connections, of which nothing is to be said. It holds tests only.
package whytest
