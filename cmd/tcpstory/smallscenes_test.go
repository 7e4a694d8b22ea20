package main

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// smallScene is what happens on one port of the server so that request sockets
// and minisocks come and go.
type smallScene struct {
	name    string
	port    uint16
	packets bool // only packets can tell all of it
	act     func(*act)
}

// isAt reports whether a connection is one of the scene's.
func (s *smallScene) isAt(f tcp.Flow) bool {
	for _, end := range []netip.AddrPort{f.Local, f.Remote} {
		if end.Port() == s.port || end.Port() == s.port+1 {
			return true
		}
	}
	return false
}

// perform acts the scenes out on both families at the same time.
func perform(t *testing.T, l *lab.Lab, scenes []smallScene, next func(tcp.Flow) uint32) {
	t.Helper()
	var all sync.WaitGroup
	for _, scene := range scenes {
		for i, f := range lab.Families {
			s := &act{t: t, client: l.Host(lab.Client), server: l.Host(lab.Server), family: f, port: scene.port + uint16(i), next: next}
			all.Go(func() {
				scene.act(s)
				if s.err != nil {
					t.Errorf("%s/%v: %v", scene.name, f, s.err)
				}
			})
			t.Cleanup(func() {
				for _, fd := range s.fds {
					if fd >= 0 {
						unix.Close(fd)
					}
				}
			})
		}
	}
	all.Wait()
}

// smallScenes are the scenes, each on a pair of ports of its own.
var smallScenes = []smallScene{
	{"client first", 7801, false, func(s *act) {
		s.many(10, func(c, v int) { s.inTurn(c, v) })
	}},
	{"server first", 7803, false, func(s *act) {
		s.many(10, func(c, v int) { s.inTurn(v, c) })
	}},
	{"both at once", 7805, false, func(s *act) {
		s.many(10, func(c, v int) {
			s.shutdown(c)
			s.shutdown(v)
			s.eof(c)
			s.eof(v)
			s.close(c)
			s.close(v)
		})
	}},
	{"orphan, late FIN", 7807, true, func(s *act) {
		s.many(5, func(c, v int) { s.close(c); s.wait(300 * time.Millisecond); s.close(v) })
	}},
	{"orphan without FIN", 7809, false, func(s *act) {
		s.many(5, func(c, v int) { s.close(c) })
	}},
	{"orphan and data", 7811, false, func(s *act) {
		s.many(5, func(c, v int) { s.close(c); s.wait(300 * time.Millisecond); s.write(v); s.fails(v) })
	}},
	{"orphan and RST", 7813, true, func(s *act) {
		s.many(5, func(c, v int) { s.close(c); s.eof(v); s.wait(300 * time.Millisecond); s.abort(v) })
	}},
	{"TCP_LINGER2", 7815, false, func(s *act) {
		s.many(5, func(c, v int) { s.set(c, unix.IPPROTO_TCP, unix.TCP_LINGER2, 1); s.close(c) })
		s.many(5, func(c, v int) { // no FIN_WAIT2 at all: a RST
			s.set(c, unix.IPPROTO_TCP, unix.TCP_LINGER2, -1)
			s.shutdown(c)
			s.wait(100 * time.Millisecond)
			s.close(c)
		})
	}},
	{"resets", 7817, false, func(s *act) {
		s.many(3, func(c, v int) { s.abort(c); s.fails(v) })
		s.many(3, func(c, v int) { s.write(c); s.wait(50 * time.Millisecond); s.close(v); s.fails(c) })
		s.many(3, func(c, v int) { s.shutdown(c); s.eof(v); s.abort(v); s.fails(c) })
		s.many(3, func(c, v int) { s.shutdown(c); s.eof(v); s.abort(c); s.fails(v) })
	}},
	{"time-out", 7819, false, timesOut},
	{"tcp_tw_reuse", 7821, false, func(s *act) {
		ln := s.listen(16)
		for range 3 {
			c, v := s.connect(fromPort), s.accept(ln)
			s.inTurn(c, v)
			s.wait(1300 * time.Millisecond) // tcp_tw_reuse_delay
		}
	}},
	{"a SYN in TIME_WAIT", 7823, false, func(s *act) {
		ln := s.listen(16)
		for range 3 {
			c := s.connect(fromPort)
			s.inTurn(s.accept(ln), c)
			s.wait(200 * time.Millisecond)
		}
	}},
	{"half-open, given up", 7825, false, func(s *act) {
		s.listen(1024)
		s.deafens(s.client, lab.Rule{Hook: lab.Input, FromPort: s.port})
		forge := newForger(s.t, s.client, s.family)
		for i := range uint16(200) {
			forge.sends(s.flow(fromPort+i), forged{flags: tcp.SYN, seq: 1000 * uint32(i)})
		}
		s.wait(9 * time.Second)
	}},
	{"half-open, scanned", 7827, false, func(s *act) {
		s.listen(1024)
		forge := newForger(s.t, s.client, s.family)
		for i := range uint16(200) {
			forge.sends(s.flow(fromPort+i), forged{flags: tcp.SYN, seq: 1000 * uint32(i)})
		}
	}},
	{"half-open, RST", 7829, true, halfOpenReset},
	{"half-open, listener closed", 7831, false, func(s *act) {
		ln := s.listen(16)
		s.deafens(s.client, lab.Rule{Hook: lab.Input, FromPort: s.port})
		forge := newForger(s.t, s.client, s.family)
		for i := range uint16(5) {
			forge.sends(s.flow(fromPort+i), forged{flags: tcp.SYN, seq: 1000 * uint32(i)})
		}
		s.wait(1500 * time.Millisecond)
		s.close(ln)
	}},
	{"accept queue full", 7833, false, queueFull},
	{"TCP_DEFER_ACCEPT", 7835, true, func(s *act) {
		ln := s.listen(16)
		s.set(ln, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 10)
		c := s.connect(0)
		s.wait(2500 * time.Millisecond)
		s.write(c)
		s.accept(ln)
	}},
	{"half-open, then not", 7837, false, func(s *act) {
		ln := s.listen(16)
		lift := s.deafens(s.client, lab.Rule{Hook: lab.Input, FromPort: s.port})
		fd := s.tries(0)
		s.wait(1800 * time.Millisecond)
		lift()
		s.inTurn(s.accept(ln), fd)
	}},
	{"TIME_WAIT disturbed", 7839, true, disturbed},
}

// many makes connections one after the other and ends each of them somehow.
func (s *act) many(n int, end func(c, v int)) {
	ln := s.listen(16)
	for range n {
		c := s.connect(0)
		end(c, s.accept(ln))
		s.wait(20 * time.Millisecond)
	}
	s.close(ln)
}

// timesOut loses what the client sends in ESTABLISHED, FIN_WAIT1 and LAST_ACK.
func timesOut(s *act) {
	ln := s.listen(16)
	var c, v [3]int
	for i := range c {
		c[i] = s.connect(0)
		v[i] = s.accept(ln)
		s.set(c[i], unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 900)
	}
	s.shutdown(v[2])
	s.eof(c[2])
	s.deafens(s.server, lab.Rule{Hook: lab.Input, ToPort: s.port})
	s.write(c[0])
	s.shutdown(c[1])
	s.shutdown(c[2])
	for _, fd := range c[:2] {
		s.fails(fd)
	}
	s.wait(2 * time.Second)
}

// halfOpenReset sends a RST to half-open connections after half a second: one in
// its place, one out of the window, one that a firewall drops.
func halfOpenReset(s *act) {
	s.listen(16)
	s.deafens(s.client, lab.Rule{Hook: lab.Input, FromPort: s.port})
	forge := newForger(s.t, s.client, s.family)
	for i := range uint16(3) {
		forge.sends(s.flow(fromPort+i), forged{flags: tcp.SYN, seq: 1000})
	}
	s.wait(500 * time.Millisecond)
	forge.sends(s.flow(fromPort), forged{flags: tcp.RST, seq: 1001})
	forge.sends(s.flow(fromPort+1), forged{flags: tcp.RST, seq: 999})
	lift := s.deafens(s.server, lab.Rule{Hook: lab.Input, ToPort: s.port})
	forge.sends(s.flow(fromPort+2), forged{flags: tcp.RST, seq: 1001})
	s.wait(200 * time.Millisecond)
	lift()
}

// queueFull lets more handshakes come to their end than accept() has room for:
// what has no room stays half-open, and is taken later.
func queueFull(s *act) {
	ln := s.listen(1)
	lift := s.deafens(s.client, lab.Rule{Hook: lab.Input, FromPort: s.port})
	for range 5 {
		s.tries(0)
	}
	s.wait(200 * time.Millisecond)
	lift()
	s.wait(2500 * time.Millisecond)
	for range 2 {
		s.accept(ln)
	}
	s.wait(2 * time.Second)
}

// disturbed sends to connections in TIME_WAIT: an ACK, which makes it begin again;
// a RST, which ends it; one out of place; a SYN that is too old.
func disturbed(s *act) {
	ln := s.listen(16)
	forge := newForger(s.t, s.server, s.family)
	var server [4]tcp.Flow
	for i := range server {
		c := s.connect(fromPort + uint16(i))
		s.inTurn(c, s.accept(ln))
		server[i] = s.flow(fromPort + uint16(i)).Reverse()
	}
	s.wait(3 * time.Second)
	for i, h := range []forged{{tcp.ACK, 0, 0}, {tcp.RST, 0, 0}, {tcp.RST, 1, 0}, {tcp.SYN, 0xffff0000, 0}} {
		if s.err == nil {
			h.seq += s.next(server[i])
			forge.sends(server[i], h)
		}
	}
}
