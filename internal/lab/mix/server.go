package mix

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// runServer serves until its standard input ends.
func runServer(p *plan, l *log) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	host, network := "127.0.0.1", "tcp4"
	if p.V6 {
		host, network = "::1", "tcp6"
	}
	var served sync.WaitGroup
	var listeners []net.Listener
	for i, serve := range []func(*net.TCPConn, Truth) Truth{exchange, untouched, nil} {
		ln, err := lc.Listen(context.Background(), network, net.JoinHostPort(host, fmt.Sprint(p.Ports[i])))
		if err != nil {
			return err
		}
		listeners = append(listeners, ln)
		if serve != nil {
			go acceptAll(ln.(*net.TCPListener), l, &served, serve)
		}
	}
	fmt.Fprintln(os.Stderr, "listening")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, ln := range listeners {
		ln.Close()
	}
	served.Wait()
	return l.w.Flush()
}

func acceptAll(ln *net.TCPListener, l *log, served *sync.WaitGroup, serve func(*net.TCPConn, Truth) Truth) {
	for {
		c, err := ln.AcceptTCP()
		if err != nil {
			return
		}
		t := Truth{Begun: now()}
		t.Local, t.Remote = ends(c)
		served.Go(func() { l.put(serve(c, t)) })
	}
}

// exchange does what the client's header asks for.
func exchange(c *net.TCPConn, t Truth) Truth {
	quick(c)
	var head [headerLen]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fate = Fates
		return shut(c, t)
	}
	t.Fate = Fate(head[0])
	in, out := int(binary.BigEndian.Uint32(head[1:])), int(binary.BigEndian.Uint32(head[5:]))
	t.RX = headerLen
	if take(c, in) == nil {
		t.RX += int64(in)
	}
	if t.Fate == HalfClose {
		_ = take(c, 1) // its end
	}
	n, _ := c.Write(make([]byte, out))
	t.TX = int64(n)
	switch t.Fate {
	case ServerCloses:
		return shut(c, t)
	case ServerAborts:
		if take(c, 1) == nil { // it has read all
			t.RX++
		}
		_ = c.SetLinger(0)
		return shut(c, t)
	}
	if n, _ := io.Copy(io.Discard, c); n > 0 {
		t.RX += n
	}
	if t.Fate == ClientAborts || t.Fate == Unread {
		t.TX -= unacknowledged(c)
	}
	return shut(c, t)
}

func untouched(c *net.TCPConn, t Truth) Truth {
	t.Fate = Untouched
	_ = control(c, func(fd int) error {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, -1) // the reset
		return err
	})
	time.Sleep(lastWait)
	return shut(c, t)
}

func shut(c *net.TCPConn, t Truth) Truth {
	t.Closing = now()
	c.Close()
	t.Closed = now()
	return t
}
