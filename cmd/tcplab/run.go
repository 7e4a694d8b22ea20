package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// runFlags are the flags of run.
type runFlags struct {
	four, six, hold bool
	command         string
}

// runScenario acts out one scenario, or all.
func runScenario(ctx context.Context, args []string, std stdio) error {
	var opt runFlags
	f := newFlags("run", "NAME|all", "Act a scenario out and tell each step. tcplab list shows the names.", std)
	f.BoolVarP(&opt.four, "ipv4", "4", false, "over IPv4 (the default)")
	f.BoolVarP(&opt.six, "ipv6", "6", false, "over IPv6 (with -4: over both)")
	f.BoolVar(&opt.hold, "hold", false, "when the state is reached, wait for Enter")
	f.StringVar(&opt.command, "command", "", "when the state is reached, run this in a shell:\n{client} {server} {router} are the namespaces'\nnames, {port} is the port")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return fmt.Errorf("run takes the name of one scenario, or all: %w", errUsage)
	}
	chosen, err := choose(f.Arg(0))
	if err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	for _, s := range chosen {
		for _, family := range opt.families() {
			if err := actOut(ctx, s, family, opt, std); err != nil {
				return err
			}
		}
	}
	return nil
}

func choose(name string) ([]lab.Scenario, error) {
	if name == "all" {
		return lab.Cases(), nil
	}
	s, err := lab.Find(name)
	return []lab.Scenario{s}, err
}

func (o runFlags) families() []lab.Family {
	switch {
	case o.four && o.six:
		return lab.Families[:]
	case o.six:
		return []lab.Family{lab.IPv6}
	default:
		return []lab.Family{lab.IPv4}
	}
}

// actOut makes a lab, runs one scenario in it and removes it.
func actOut(ctx context.Context, s lab.Scenario, f lab.Family, o runFlags, std stdio) (err error) {
	fmt.Fprintf(std.out, "%s over %s: %s (port %d)\n", s.Name, f, s.About, s.Port)
	start := time.Now()
	tell := func(line string) {
		fmt.Fprintf(std.out, "%8.3f  %s\n", time.Since(start).Seconds(), line)
	}
	var l *lab.Lab
	hold := func(ctx context.Context, _ lab.Standing) error { return o.stand(ctx, l, s, std) }
	l, err = lab.New(ctx, lab.Options{Topology: s.Topology, Tell: tell, Hold: hold})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, h := range l.Hosts() {
		tell(fmt.Sprintf("host %s: ip netns exec %s …", h.Name(), h.NetnsName()))
	}
	if err := s.Run(ctx, l, f); err != nil {
		return err
	}
	fmt.Fprintln(std.out)
	return nil
}

// stand is what the user wants done while the state stands.
func (o runFlags) stand(ctx context.Context, l *lab.Lab, s lab.Scenario, std stdio) error {
	if o.command != "" {
		if err := o.shell(ctx, l, s, std); err != nil {
			return err
		}
	}
	if !o.hold {
		return nil
	}
	fmt.Fprint(std.out, "          press Enter to go on ")
	return awaitEnter(ctx, std)
}

// shell runs the user's command in this host's own namespace.
func (o runFlags) shell(ctx context.Context, l *lab.Lab, s lab.Scenario, std stdio) error {
	names := []string{"{port}", fmt.Sprint(s.Port)}
	for _, h := range l.Hosts() {
		names = append(names, "{"+h.Name()+"}", h.NetnsName())
	}
	line := strings.NewReplacer(names...).Replace(o.command)
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Stdout, cmd.Stderr = std.out, std.err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %q: %w", line, err)
	}
	return nil
}

// awaitEnter reads a line, or its end, unless ctx ends before.
func awaitEnter(ctx context.Context, std stdio) error {
	fds := []unix.PollFd{{Fd: int32(std.in.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 50)
		switch {
		case ctx.Err() != nil:
			fmt.Fprintln(std.out)
			return errors.New("interrupted while waiting")
		case n > 0:
			return readLine(std.in)
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("wait for Enter: %w", err)
		}
	}
}

// readLine reads byte by byte, to leave the next line to the next scenario.
func readLine(in io.Reader) error {
	var b [1]byte
	for b[0] != '\n' {
		if _, err := in.Read(b[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("wait for Enter: %w", err)
		}
	}
	return nil
}
