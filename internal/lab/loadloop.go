package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// serveLoad is the load process: one line of orders in, one result out.
func serveLoad(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	var order loadOrder
	if err := json.Unmarshal(line, &order); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	go func() {
		io.Copy(io.Discard, lines)
		os.Exit(0) // nobody waits for the result any more
	}()
	res, err := runWorkers(order)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(res)
}

// fullBatch is how many connections a worker makes between two looks at the
// clock and at what is left to do. A paced worker has the time to look at each.
const fullBatch = 100

// budget is how many connections are still to be made, by all workers.
type budget struct {
	left     atomic.Int64
	batch    int64
	limited  bool
	deadline time.Time // zero: none
}

// take returns how many connections to make next; 0 ends the worker.
func (b *budget) take() int64 {
	if !b.deadline.IsZero() && !time.Now().Before(b.deadline) {
		return 0
	}
	if !b.limited {
		return b.batch
	}
	return max(0, min(b.batch, b.left.Add(-b.batch)+b.batch))
}

func runWorkers(o loadOrder) (LoadResult, error) {
	workers := make([]*worker, o.Workers)
	for i := range workers {
		w, err := newWorker(o, i)
		if err != nil {
			return LoadResult{}, err
		}
		workers[i] = w
	}
	b := &budget{batch: fullBatch, limited: o.Conns > 0}
	if o.Rate > 0 {
		b.batch = 1
	}
	b.left.Store(int64(o.Conns))
	start := time.Now()
	if o.Duration > 0 {
		b.deadline = start.Add(o.Duration)
	}
	done := make(chan error)
	for _, w := range workers {
		go func() { done <- w.run(b) }()
	}
	res, err := LoadResult{}, error(nil)
	for range workers {
		err = errors.Join(err, <-done)
	}
	res.Elapsed = time.Since(start)
	for _, w := range workers {
		res.Conns += w.made
	}
	res.CPU = ownCPU()
	return res, err
}

func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// worker is one thread that plays both ends of one connection after another.
type worker struct {
	order    loadOrder
	listener int
	server   unix.Sockaddr
	next     uint64 // source address of the next connection
	stride   uint64
	made     uint64
	interval time.Duration // between two connections; 0: none
	buf      []byte
	parking  parking // connections that do nothing for a while
}

func newWorker(o loadOrder, i int) (*worker, error) {
	w := &worker{order: o, next: uint64(i), stride: uint64(o.Workers), buf: make([]byte, o.Bytes)}
	if o.Rate > 0 {
		w.interval = time.Second * time.Duration(o.Workers) / time.Duration(o.Rate)
	}
	listen := func() (err error) {
		w.listener, w.server, err = listenAt(netip.AddrPortFrom(o.Route.Server, o.Port))
		return err
	}
	if o.ServerPath == "" {
		return w, listen()
	}
	return w, visitPath(o.ServerPath, listen)
}

// visitPath runs f in the namespace behind a path.
func visitPath(path string, f func() error) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return visit(func() error {
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter %s: %w", path, err)
		}
		return f()
	})
}

// listenAt listens on an address; port 0 is one of the kernel's choice.
func listenAt(addr netip.AddrPort) (int, unix.Sockaddr, error) {
	fd, err := plainSocket(addr.Addr())
	if err != nil {
		return -1, nil, fmt.Errorf("make a listener: %w", err)
	}
	if err := unix.Bind(fd, sockaddr(addr)); err != nil {
		return -1, nil, fmt.Errorf("bind a listener to %s: %w", addr, err)
	}
	if err := unix.Listen(fd, 128); err != nil {
		return -1, nil, fmt.Errorf("listen: %w", err)
	}
	sa, err := unix.Getsockname(fd)
	return fd, sa, err
}

// plainSocket makes a blocking TCP socket, never an MPTCP one.
func plainSocket(addr netip.Addr) (int, error) {
	domain := unix.AF_INET
	if addr.Is6() {
		domain = unix.AF_INET6
	}
	return unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
}

func (w *worker) run(b *budget) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	for n := b.take(); n > 0; n = b.take() {
		for range n {
			w.awaitTurn(start)
			if err := w.connection(); err != nil {
				return err
			}
			w.made++
		}
	}
	return w.finish()
}

// awaitTurn waits until the worker's next connection is due.
func (w *worker) awaitTurn(start time.Time) {
	if w.interval > 0 {
		time.Sleep(time.Until(start.Add(time.Duration(w.made) * w.interval)))
	}
}

// connection makes one connection, exchanges its bytes and closes it.
func (w *worker) connection() error {
	c, err := plainSocket(w.order.Route.Server)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	if err := w.bind(c); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := unix.Connect(c, w.server); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s, _, err := unix.Accept4(w.listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	if n := len(w.order.Shapes); n > 0 {
		return w.shaped(pair{c, s}, w.order.Shapes[w.made%uint64(n)])
	}
	if err := w.exchange(c, s); err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	return w.close(c, s)
}

// shaped begins the life of a connection, and goes on with others.
func (w *worker) shaped(p pair, s Shape) error {
	if err := w.live(parked{pair: p, left: shapes[s]}); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return w.resume(time.Now())
}

// bind takes the next source address and leaves the port to connect.
func (w *worker) bind(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	from := netip.AddrPortFrom(w.order.Route.source(w.next), 0)
	w.next += w.stride
	return unix.Bind(fd, sockaddr(from))
}

func (w *worker) exchange(c, s int) error {
	if len(w.buf) == 0 {
		return nil
	}
	if err := pass(c, s, w.buf); err != nil {
		return err
	}
	return pass(s, c, w.buf)
}

// pass sends buf at one end and receives it at the other.
func pass(from, to int, buf []byte) error {
	if n, err := unix.Write(from, buf); err != nil || n != len(buf) {
		return fmt.Errorf("write: %d of %d bytes: %w", n, len(buf), err)
	}
	return readFull(to, buf)
}

func readFull(fd int, buf []byte) error {
	for len(buf) > 0 {
		n, err := unix.Read(fd, buf)
		if err != nil || n == 0 {
			return fmt.Errorf("read: %d bytes: %w", n, err)
		}
		buf = buf[n:]
	}
	return nil
}

// abortive makes close send a RST.
var abortive = unix.Linger{Onoff: 1}

func (w *worker) close(c, s int) error {
	first, second := c, s
	if w.order.Close != CloseFIN {
		first, second = s, c
	}
	if err := unix.Close(first); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if w.order.Close == CloseRST {
		if err := unix.SetsockoptLinger(second, unix.SOL_SOCKET, unix.SO_LINGER, &abortive); err != nil {
			return fmt.Errorf("set SO_LINGER: %w", err)
		}
	}
	if err := unix.Close(second); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
