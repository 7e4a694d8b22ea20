package crew

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"tcpstory/internal/lab"
	"tcpstory/internal/lab/crew/jury"
)

// Shape says which processes there are.
type Shape string

// The shapes of servers, then of clients.
const (
	Prefork   Shape = "prefork"   // children accept what their parent listens for
	ReusePort Shape = "reuseport" // children listen for themselves, at the same port
	Fork      Shape = "fork"      // the parent accepts; step p makes a child that serves on
	ForkExec  Shape = "forkexec"  // and executes a program
	Pass      Shape = "pass"      // one process accepts; step p passes on by SCM_RIGHTS
	Threads   Shape = "threads"   // one thread accepts; step p goes to another thread

	Clients   Shape = "clients"   // processes that make one connection after another
	Brief     Shape = "brief"     // a process for each connection
	BriefExec Shape = "briefexec" // the same, by exec
)

// Play is what both ends of a connection do, a letter a step.
//
//	r  read a message       w  write one             s  shut down sending
//	e  read to the end      q  wait for data         z  wait until the socket is dead
//	h  hold                 g  wait at the gate      p  hand over, as the shape does
//	c  close                a  abort: SO_LINGER 0    x, k  exit, be killed, socket open
//
// q, z, h and g do not touch the socket. After x and k nobody else must need
// the process: they are for processes of one connection.
type Play struct{ Server, Client string }

// Options describe a server, or clients.
type Options struct {
	Shape   Shape
	Addr    netip.AddrPort // of the first play; the others are at the ports above
	Plays   []Play         // connections go through them in turn
	Workers int            // processes or threads; 0 is 4 for servers, 1 for clients
	Count   int            // clients: connections in all
	Flights int            // clients: at a time, of each worker; 0 is 100

	Hold     time.Duration // of step h; 0 is 1.5 s
	Patience time.Duration // TCP_USER_TIMEOUT; 0 is the kernel's
}

// Crew is a log with the processes that write it.
type Crew struct {
	program Program
	log     string
	open    *os.File // the gate opens when it is closed
	gate    *os.File
}

// New begins a log, in a directory of the caller's.
func New(p Program, dir string) (*Crew, error) {
	c := &Crew{program: p, log: filepath.Join(dir, "log")}
	err := newLog(c.log)
	if err != nil {
		return nil, err
	}
	if c.gate, c.open, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("make the crew's gate: %w", err)
	}
	return c, nil
}

// Close releases what New opened. The processes end with the laboratory.
func (c *Crew) Close() error { return errors.Join(c.OpenGate(), c.gate.Close()) }

// OpenGate lets all plays go on, for good.
func (c *Crew) OpenGate() error {
	if err := c.open.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("open the crew's gate: %w", err)
	}
	return nil
}

// Log is what has been written down so far.
func (c *Crew) Log() ([]jury.Record, error) { return readLog(c.log) }

// Gang is a running server, or clients.
type Gang struct {
	shape  Shape
	cmd    *exec.Cmd
	stop   io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// Start starts clients, or a server, on a host; the end of ctx kills it.
func (c *Crew) Start(ctx context.Context, h *lab.Host, o Options) (*Gang, error) {
	g := &Gang{shape: o.Shape, cmd: h.Command(ctx, string(c.program), c.args(o)...)}
	g.cmd.Stderr = &g.stderr
	g.cmd.ExtraFiles = []*os.File{c.gate}
	var err error
	if g.stop, err = g.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Shape, err)
	}
	stdout, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Shape, err)
	}
	g.stdout = bufio.NewReader(stdout)
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Shape, err)
	}
	return g, nil
}

// Serve starts a server and waits until it listens.
func (c *Crew) Serve(ctx context.Context, h *lab.Host, o Options) (*Gang, error) {
	if o.Workers == 0 {
		o.Workers = 4
	}
	g, err := c.Start(ctx, h, o)
	if err != nil {
		return nil, err
	}
	if _, err := g.stdout.ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for %s to listen: %w", o.Shape, err), g.Wait())
	}
	return g, nil
}

func (c *Crew) args(o Options) []string {
	number := func(key string, n int) string { return key + "=" + strconv.Itoa(n) }
	or := func(n, otherwise int) int {
		if n == 0 {
			return otherwise
		}
		return n
	}
	args := []string{
		string(o.Shape), "name=" + string(o.Shape), "truth=" + c.log,
		"addr=" + o.Addr.Addr().String(), number("port", int(o.Addr.Port())),
		number("workers", or(o.Workers, 1)), number("count", o.Count), number("inflight", or(o.Flights, 100)),
		number("hold", or(int(o.Hold.Milliseconds()), 1500)), number("patience", int(o.Patience.Milliseconds())),
	}
	for _, p := range o.Plays {
		args = append(args, "play="+p.Server+"|"+p.Client)
	}
	return args
}

// Stop ends a server, whose connections have ended.
func (g *Gang) Stop() error {
	g.stop.Close()
	return g.Wait()
}

// Wait waits for the end: clients end when their last connection has.
func (g *Gang) Wait() error {
	err := g.cmd.Wait()
	g.stop.Close()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", g.shape, err, bytes.TrimSpace(g.stderr.Bytes()))
	}
	return nil
}
