package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// demo acts a scenario out under a tracer that watches only the lab's hosts.
func demo(ctx context.Context, args []string, std stdio) (err error) {
	var tracer string
	var six bool
	f := newFlags("demo", "[NAME] [-- [COMMAND] FLAGS]", "Show what tcpstory (trace, why, life …) tells of a scenario (close-client-first).", std)
	f.StringVar(&tracer, "tracer", "tcpstory", "the tcpstory `binary` to show")
	f.BoolVarP(&six, "ipv6", "6", false, "over IPv6")
	if err := parse(f, args); err != nil {
		return err
	}
	name, flags := "close-client-first", f.Args()
	if len(flags) > 0 && f.ArgsLenAtDash() != 0 {
		name, flags = flags[0], flags[1:]
	}
	if len(flags) == 0 || strings.HasPrefix(flags[0], "-") { // no command: trace
		flags = append([]string{"--view", "columns"}, flags...)
	}
	s, err := lab.Find(name)
	if err != nil {
		return fmt.Errorf("%w: %w", err, errUsage)
	}
	l, err := lab.New(ctx, lab.Options{Topology: s.Topology})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	family := lab.IPv4
	if six {
		family = lab.IPv6
	}
	fmt.Fprintf(std.out, "%s over %s: %s\n\n", s.Name, family, s.About)
	for _, h := range l.Hosts() {
		flags = append(flags, "--netns", h.NetnsName())
	}
	return traced(std, exec.Command(tracer, flags...), func() error { return s.Run(ctx, l, family) })
}

// traced runs act while the tracer listens, then ends the tracer and waits for
// its last word.
func traced(std stdio, tracer *exec.Cmd, act func() error) error {
	tracer.Stdout = std.out
	pipe, err := tracer.StderrPipe()
	if err != nil {
		return err
	}
	if err := tracer.Start(); err != nil {
		return fmt.Errorf("start the tracer: %w", err)
	}
	said := bufio.NewReader(pipe)
	if err := awaitListening(said, std.err); err != nil {
		return errors.Join(err, tracer.Wait())
	}
	err = act()
	if kill := tracer.Process.Signal(unix.SIGINT); kill != nil {
		err = errors.Join(err, kill)
	}
	_, copied := io.Copy(std.err, said)
	return errors.Join(err, copied, tracer.Wait())
}

// awaitListening passes the tracer's words on until it says that it listens.
func awaitListening(said *bufio.Reader, to io.Writer) error {
	for {
		line, err := said.ReadString('\n')
		fmt.Fprint(to, line)
		if strings.Contains(line, "listening on") {
			return nil
		}
		if err != nil {
			return errors.New("the tracer ended before it listened")
		}
	}
}
