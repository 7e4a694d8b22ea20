package diagnose

import (
	"net/netip"

	"tcpstory/internal/conn"
)

// What the kernel itself accepts and reads (DRBD, DLM), no event tells: that no process has
// acted says something only of what a process listens for, or has. NFS is not told apart: a process
// makes its listener, and hands it over.

// mostListening bounds what is known of listeners.
const mostListening = 1 << 14

// learnsListener keeps whether a listener is a process's, as the last event about its
// address has it. It is kept when it closes: what it has taken lives on.
func (e *Engine) learnsListener(c *conn.Conn) {
	k := address{c.Netns, c.Flow.Local}
	known := c.Task.Known()
	if have, ok := e.listening[k]; ok && have == known {
		return
	}
	if len(e.listening) >= mostListening {
		clear(e.listening)
	}
	e.listening[k] = known
}

// ofProcess: a process listened for r, which is a server's, or has it.
func (e *Engine) ofProcess(r *record) bool {
	if r.held || acted(r.Via) {
		return true
	}
	at := r.Flow.Local
	every := netip.IPv6Unspecified()
	if at.Addr().Is4() {
		every = netip.IPv4Unspecified()
	}
	for _, a := range [...]netip.Addr{at.Addr(), every, netip.IPv6Unspecified()} {
		if known, ok := e.listening[address{r.Netns, netip.AddrPortFrom(a, at.Port())}]; ok {
			return known
		}
	}
	return false
}
