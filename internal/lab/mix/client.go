package mix

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Fates that take long, or hold a place in a backlog, are rare.
const (
	rareEvery = 101
	mostRare  = 40
	workers   = 16
	giveUp    = 15 * time.Millisecond
)

// runClient makes the connections. What it holds open to the end it leaves when
// the server resets it.
func runClient(p *plan, l *log) error {
	next := make(chan int)
	var done sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		done.Go(func() {
			for i := range next {
				if err := p.connect(i, l); err != nil {
					select {
					case errs <- fmt.Errorf("connection %d: %w", i, err):
					default:
					}
				}
			}
		})
	}
	for i := range p.Count {
		next <- i
	}
	close(next)
	done.Wait()
	l.mu.Lock()
	fmt.Fprintln(l.w, "done") // but for those that nobody accepts
	_ = l.w.Flush()
	l.mu.Unlock()
	waiting.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return l.w.Flush()
	}
}

// waiting are connections that nobody accepts.
var waiting sync.WaitGroup

func (p *plan) fateOf(i int) Fate {
	if n := i / rareEvery; i%rareEvery == 7 && n < mostRare {
		return [...]Fate{NeverAccepted, NoAnswer, GaveUp, Untouched}[n%4]
	}
	return [...]Fate{ClientCloses, ServerCloses, HalfClose, ClientAborts, ServerAborts, Unread, Untouched, Refused, GaveUp, ClientCloses}[i%10]
}

func (p *plan) target(f Fate) netip.AddrPort {
	addr, port := netip.MustParseAddr("127.0.0.1"), p.Ports[0]
	if p.V6 {
		addr = netip.IPv6Loopback()
	}
	switch f {
	case Untouched:
		port = p.Ports[1]
	case NeverAccepted:
		port = p.Ports[2]
	case Refused:
		port = p.Ports[2] + 1
	case GaveUp, NoAnswer:
		addr = netip.MustParseAddr(p.Silent)
	}
	return netip.AddrPortFrom(addr, port)
}

// source is an address and port that no other connection of this run has.
func (p *plan) source(i int) *net.TCPAddr {
	port := 10000 + i%20000
	if p.V6 {
		return &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("fd99::%x", i/20000+1)), Port: port}
	}
	return &net.TCPAddr{IP: net.IPv4(127, 1, 0, byte(i/20000+1)), Port: port}
}

func (p *plan) connect(i int, l *log) error {
	t := Truth{Fate: p.fateOf(i), Client: true, Remote: p.target(p.fateOf(i))}
	from := p.source(i)
	t.Local = from.AddrPort()
	t.Local = netip.AddrPortFrom(t.Local.Addr().Unmap(), t.Local.Port())
	d := net.Dialer{LocalAddr: from, Control: func(_, _ string, raw syscall.RawConn) error { return t.prepare(raw) }}
	d.SetMultipathTCP(false)
	ctx := context.Background()
	if t.Fate == GaveUp {
		var stop func()
		ctx, stop = context.WithTimeout(ctx, giveUp)
		defer stop()
	}
	c, err := d.DialContext(ctx, "tcp", t.Remote.String())
	t.Begun = now()
	if failed := t.Fate == Refused || t.Fate == GaveUp || t.Fate == NoAnswer; failed != (err != nil) {
		return fmt.Errorf("fate %d: %v", t.Fate, err)
	} else if failed {
		t.Closing, t.Closed = t.Before, t.Begun
		if t.Before == 0 {
			return nil // its time was out before there was a socket
		}
		t.Unreachable = errors.Is(err, unix.ENETUNREACH)
		l.put(t)
		return nil
	}
	conn := c.(*net.TCPConn)
	if t.Fate == NeverAccepted {
		waiting.Go(func() {
			_, _ = conn.Read(make([]byte, 1))
			t.Closing, t.Closed = t.Begun, now()
			conn.Close()
			l.put(t)
		})
		return nil
	}
	err = t.talk(conn)
	l.put(shut(conn, t))
	return err
}

// prepare is called with the socket just before it connects.
func (t *Truth) prepare(raw syscall.RawConn) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		if t.Fate == NoAnswer {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1)
		}
	})
	t.Before = now()
	if cerr != nil {
		return cerr
	}
	return err
}

func (t *Truth) talk(c *net.TCPConn) error {
	if t.Fate == Untouched {
		return c.SetLinger(0)
	}
	quick(c)
	sizes := [...]int{0, 1, 200, 1448, 30000, 200000}
	out, in := sizes[rand.IntN(len(sizes))], sizes[rand.IntN(len(sizes))]
	switch t.Fate {
	case Unread:
		in = 200 // in one segment
	case ClientAborts:
		in = max(in, 1) // when it comes, the server has read all
	}
	b := make([]byte, headerLen+out)
	b[0] = byte(t.Fate)
	binary.BigEndian.PutUint32(b[1:], uint32(out))
	binary.BigEndian.PutUint32(b[5:], uint32(in))
	if _, err := c.Write(b); err != nil {
		return err
	}
	t.TX, t.RX = int64(len(b)), int64(in)
	switch t.Fate {
	case HalfClose:
		if err := c.CloseWrite(); err != nil {
			return err
		}
		fallthrough
	case ServerCloses:
		if err := take(c, in); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		if err == io.EOF {
			err = nil
		}
		return err
	case Unread:
		return take(c, 1)
	case ServerAborts:
		if err := take(c, in); err != nil {
			return err
		}
		if _, err := c.Write([]byte{0}); err != nil {
			return err
		}
		t.TX++
		_, _ = c.Read(make([]byte, 1)) // the reset
		t.TX -= unacknowledged(c)
		return nil
	case ClientAborts:
		if err := take(c, in); err != nil {
			return err
		}
		return c.SetLinger(0)
	}
	return take(c, in)
}
