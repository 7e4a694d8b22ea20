package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tcpstory/internal/lab"
)

// loadFlags are the flags of load.
type loadFlags struct {
	seconds   float64
	close     string
	four, six bool
	veth      bool
	shapes    bool
	opt       lab.LoadOptions
}

// load makes short connections in a lab of its own.
func load(ctx context.Context, args []string, std stdio) error {
	var l loadFlags
	f := newFlags("load", "", "Make short connections, one after another on each thread, and say how fast.", std)
	f.Float64Var(&l.seconds, "seconds", 0, "how long (2, unless --conns is given)")
	f.Uint64Var(&l.opt.Conns, "conns", 0, "how many connections in all")
	f.IntVar(&l.opt.Rate, "rate", 0, "connections per second (as many as possible)")
	f.IntVar(&l.opt.Bytes, "bytes", 200, "bytes each way")
	f.StringVar(&l.close, "close", string(lab.CloseFIN), "fin: the client closes first; server-fin: the\nserver does; rst: the client aborts")
	f.BoolVar(&l.shapes, "shapes", false, "healthy connections of many kinds, in turn: short,\nlong, idle, half-closed, long-poll, one-way …")
	f.BoolVarP(&l.four, "ipv4", "4", false, "over IPv4 (the default)")
	f.BoolVarP(&l.six, "ipv6", "6", false, "over IPv6")
	f.BoolVar(&l.veth, "veth", false, "between two hosts over veth, not on lo")
	f.IntVar(&l.opt.Workers, "workers", 1, "threads")
	f.BoolVar(&l.opt.Steer, "rps", false, "receive packet steering over all CPUs")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("load takes no arguments: %w", errUsage)
	}
	if err := l.check(); err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	return l.run(ctx, std)
}

// check completes the options.
func (l *loadFlags) check() error {
	l.opt.Close = lab.CloseKind(l.close)
	if l.shapes {
		l.opt.Shapes = lab.Shapes()
	}
	switch {
	case l.shapes && l.opt.Bytes == 0:
		return errors.New("--shapes and --bytes 0: those connections say something")
	case l.shapes && l.opt.Bytes > 4<<10:
		return fmt.Errorf("--shapes and --bytes %d: at most 4096, so that no window is ever closed", l.opt.Bytes)
	case !slices.Contains(lab.CloseKinds, l.opt.Close):
		return fmt.Errorf("--close %q: it is one of %v", l.close, lab.CloseKinds)
	case l.four && l.six:
		return errors.New("-4 and -6: a load is over one of them")
	case l.opt.Bytes < 0 || l.opt.Bytes > 1<<16:
		return fmt.Errorf("--bytes %d: 0 to 65536 fit into the sockets' buffers", l.opt.Bytes)
	case l.opt.Workers < 1:
		return fmt.Errorf("--workers %d: at least one", l.opt.Workers)
	case l.opt.Rate < 0:
		return fmt.Errorf("--rate %d: it cannot be negative", l.opt.Rate)
	case l.seconds < 0:
		return fmt.Errorf("--seconds %v: it cannot be negative", l.seconds)
	}
	if l.seconds == 0 && l.opt.Conns == 0 {
		l.seconds = 2
	}
	l.opt.Duration = time.Duration(l.seconds * float64(time.Second))
	l.opt.Family = lab.IPv4
	if l.six {
		l.opt.Family = lab.IPv6
	}
	return nil
}

func (l *loadFlags) run(ctx context.Context, std stdio) (err error) {
	hosts, err := lab.New(ctx, lab.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hosts.Close()) }()
	if l.veth {
		l.opt.Server = hosts.Host(lab.Server)
	}
	res, err := lab.Load(ctx, hosts.Host(lab.Client), l.opt)
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out, res)
	return nil
}
