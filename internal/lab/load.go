package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// CloseKind says how each connection of a load ends.
type CloseKind string

// The ways to close.
const (
	CloseFIN       CloseKind = "fin"        // the client closes first, four-way
	CloseServerFIN CloseKind = "server-fin" // the server closes first, four-way
	CloseRST       CloseKind = "rst"        // the server closes, the client aborts by a RST
)

// CloseKinds are all of them.
var CloseKinds = []CloseKind{CloseFIN, CloseServerFIN, CloseRST}

// LoadOptions describe a load of short connections: each is made, carries Bytes
// each way and is closed, by one thread that plays both ends.
type LoadOptions struct {
	Duration time.Duration // how long; 0: until Conns
	Conns    uint64        // how many in all; 0: until Duration
	Rate     int           // connections per second, of all workers; 0: as many as possible
	Bytes    int           // each way
	Close    CloseKind     // "" is CloseFIN
	Shapes   []Shape       // healthy lives of many kinds, in turn; Close is not looked at then
	Family   Family        // 0 is IPv4
	Workers  int           // threads, each with a listener of its own; 0 is 1
	Steer    bool          // receive packet steering over all CPUs, on every device concerned
	// Server is the other end's host; nil: both ends are on the loopback device.
	Server *Host
	Port   uint16 // the listeners'; 0: one of the kernel's choice for each worker
	// OneSource: all come from the client's own address, so that what is left in
	// TIME_WAIT uses its ports up. Needs Server.
	OneSource bool
}

// LoadResult is what a load did.
type LoadResult struct {
	Conns   uint64
	Elapsed time.Duration
	CPU     time.Duration // user and system time of the load's own process
}

// PerSecond is the rate of connections.
func (r LoadResult) PerSecond() float64 { return float64(r.Conns) / r.Elapsed.Seconds() }

// PerConn is the wall-clock time per connection.
func (r LoadResult) PerConn() time.Duration {
	if r.Conns == 0 {
		return 0
	}
	return r.Elapsed / time.Duration(r.Conns)
}

// String is the result in one line.
func (r LoadResult) String() string {
	perConn := 0.0
	if r.Conns > 0 {
		perConn = r.Elapsed.Seconds() / float64(r.Conns) * 1e6
	}
	return fmt.Sprintf("conns %d conns/s %.0f us/conn %.3f", r.Conns, r.PerSecond(), perConn)
}

// Load runs a load whose clients are on the host, in a process of its own named
// tcplab-load, and returns when it is over. The end of ctx ends it.
func Load(ctx context.Context, h *Host, opt LoadOptions) (LoadResult, error) {
	if opt.Steer {
		if err := Steer(ctx, h, opt.Server); err != nil {
			return LoadResult{}, err
		}
	}
	order, err := opt.prepare(h)
	if err != nil {
		return LoadResult{}, err
	}
	return h.runLoad(ctx, order)
}

// loadOrder is what the load process is told.
type loadOrder struct {
	LoadOptions
	ServerPath string // namespace of the listeners; "" the process's own
	Route      loadRoute
}

// prepare fills in defaults and gives the hosts the addresses of the load.
func (o LoadOptions) prepare(h *Host) (loadOrder, error) {
	if o.Family == 0 {
		o.Family = IPv4
	}
	if o.Close == "" {
		o.Close = CloseFIN
	}
	o.Workers = max(o.Workers, 1)
	if o.Duration <= 0 && o.Conns == 0 {
		return loadOrder{}, fmt.Errorf("run a load: give a duration or a number of connections")
	}
	for _, s := range o.Shapes {
		if shapes[s] == nil {
			return loadOrder{}, fmt.Errorf("run a load: there is no shape %q", s)
		}
	}
	order := loadOrder{LoadOptions: o, Route: loopbackRoutes[o.Family]}
	if o.Server != nil {
		order.Route = h.loadRouteTo(o.Server, o.Family)
		if o.OneSource {
			order.Route = loadRoute{Server: o.Server.Addr(o.Family), Sources: prefixOf(h.Addr(o.Family)), local: true}
		}
		order.ServerPath = o.Server.Path()
	}
	order.Server = nil
	return order, order.Route.prepare(h, o.Server)
}

func (h *Host) runLoad(ctx context.Context, order loadOrder) (LoadResult, error) {
	var res LoadResult
	line, err := json.Marshal(order)
	if err != nil {
		return res, fmt.Errorf("run a load: %w", err)
	}
	out, err := h.runRole(ctx, "load", "tcplab-load", line, nil)
	if err != nil {
		return res, fmt.Errorf("run a load: %w", err)
	}
	if err := json.Unmarshal(out, &res); err != nil {
		return res, fmt.Errorf("read a load's result: %w", err)
	}
	return res, nil
}

// runRole runs a helper process on the host from start to end, with one line
// of orders, and returns what it says. Its input stays open meanwhile: should
// this program die, the helper learns it by the end of its input.
func (h *Host) runRole(ctx context.Context, role, comm string, order []byte, attr *unix.SysProcAttr) ([]byte, error) {
	cmd := roleCommand(role, comm)
	cmd.SysProcAttr = attr
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := h.ns.within(cmd.Start); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { in.Close() })
	var writeErr error
	if order != nil {
		_, writeErr = in.Write(append(order, '\n'))
	}
	err = waitRole(cmd, writeErr)
	if stop() {
		in.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), ctx.Err()
}

func waitRole(cmd *exec.Cmd, writeErr error) error {
	if err := cmd.Wait(); err != nil {
		return err
	}
	return writeErr
}
