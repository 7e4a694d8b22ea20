package kernel

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// population is how many TCP sockets a network namespace has, by its own account.
type population struct {
	netns uint32
	full  int // listeners and connections
	waits int // timewait sockets
	known bool
}

// hereExist reads the statistics of the calling thread's namespace (proc_pid_net(5)).
func hereExist() (p population) {
	var st unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &st) != nil {
		return p
	}
	p.netns = uint32(st.Ino)
	v4, ok4 := sockstat("/proc/thread-self/net/sockstat", "TCP:")
	v6, _ := sockstat("/proc/thread-self/net/sockstat6", "TCP6:") // no IPv6, no file
	p.full, p.waits, p.known = v4["inuse"]+v6["inuse"], v4["tw"], ok4
	return p
}

// sockstat reads the pairs of a line: "TCP: inuse 4 orphan 0 tw 2 alloc 6 mem 1".
func sockstat(file, begins string) (pairs map[string]int, ok bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, false
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != begins {
			continue
		}
		pairs = map[string]int{}
		for i := 1; i+1 < len(f); i += 2 {
			if pairs[f[i]], err = strconv.Atoi(f[i+1]); err != nil {
				return nil, false
			}
		}
		return pairs, true
	}
	return nil, false
}
