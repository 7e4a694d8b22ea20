package sockets

import (
	"os"
	"strconv"
	"strings"
)

// Refused is what a namespace's listeners have turned away since it was made
// (proc_net(5), netstat).
type Refused struct {
	Known     bool
	Overflows uint64 // ListenOverflows: the accept queue was full
	Drops     uint64 // ListenDrops: those, and for any other reason
}

// readRefused reads the counts of the calling thread's namespace.
func readRefused() (r Refused) {
	b, err := os.ReadFile("/proc/thread-self/net/netstat")
	if err != nil {
		return r
	}
	pairs := extended(string(b))
	var ok1, ok2 bool
	r.Overflows, ok1 = pairs["ListenOverflows"]
	r.Drops, ok2 = pairs["ListenDrops"]
	r.Known = ok1 && ok2
	return r
}

// extended reads the lines of names and of values that begin with TcpExt.
func extended(text string) map[string]uint64 {
	const begins = "TcpExt: "
	var names []string
	pairs := map[string]uint64{}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, begins)
		switch {
		case !ok:
		case names == nil:
			names = strings.Fields(rest)
		default:
			for i, value := range strings.Fields(rest) {
				if n, err := strconv.ParseUint(value, 10, 64); err == nil && i < len(names) {
					pairs[names[i]] = n
				}
			}
			return pairs
		}
	}
	return pairs
}
