package mix

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"tcpstory/internal/lab"
)

// Run makes count connections of one family inside h, a host on its own, and
// returns what both processes have done. The binary must call RunRole first.
func Run(ctx context.Context, h *lab.Host, count int, v6 bool) ([]Truth, error) {
	p := plan{Count: count, V6: v6, Silent: "192.0.2.1", Ports: [3]uint16{7001, 7002, 7003}}
	if v6 {
		p.Silent = "fd98::1"
	}
	if err := prepare(ctx, h, count); err != nil {
		return nil, err
	}
	server, err := start(ctx, h, "server", &p)
	if err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(server.stderr).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the server does not listen: %w", err)
	}
	client, err := start(ctx, h, "client", &p)
	if err != nil {
		return nil, err
	}
	go io.Copy(os.Stderr, client.stderr)
	go io.Copy(os.Stderr, server.stderr)
	lines := bufio.NewReader(client.stdout)
	var all []Truth
	stopped := false
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if string(line) == "done\n" {
			stopped = true
			server.stdin.Close() // closes its listeners, and resets what was never accepted
			rest, err := readTruths(server.stdout)
			if err != nil {
				return nil, err
			}
			all = append(all, rest...)
			continue
		}
		var t Truth
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, fmt.Errorf("the client says %q: %w", line, err)
		}
		all = append(all, t)
	}
	if !stopped {
		server.stdin.Close()
	}
	return all, errors.Join(client.cmd.Wait(), server.cmd.Wait())
}

func readTruths(r io.Reader) (all []Truth, err error) {
	for d := json.NewDecoder(r); ; {
		var t Truth
		if err := d.Decode(&t); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
}

// prepare gives the host addresses to connect from, and routes to where nobody answers.
func prepare(ctx context.Context, h *lab.Host, count int) error {
	commands := [][]string{
		{"ip", "route", "replace", "192.0.2.0/24", "dev", "lo"}, {"ip", "-6", "route", "replace", "fd98::/64", "dev", "lo"},
	}
	for i := range count/20000 + 1 {
		commands = append(commands, []string{"ip", "-6", "addr", "replace", fmt.Sprintf("fd99::%x/128", i+1), "dev", "lo", "nodad"})
	}
	for _, c := range commands {
		if out, err := h.Command(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", c, err, out)
		}
	}
	return errors.Join(h.Sysctl("net/ipv4/ip_local_port_range", "31000 60000"), h.Sysctl("net/ipv4/tcp_max_tw_buckets", "262144"))
}

type process struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr io.Reader
}

func start(ctx context.Context, h *lab.Host, role string, p *plan) (*process, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := h.Command(ctx, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, planVariable+"="+string(b))
	out := &process{cmd: cmd}
	var errs [3]error
	out.stdin, errs[0] = cmd.StdinPipe()
	out.stdout, errs[1] = cmd.StdoutPipe()
	out.stderr, errs[2] = cmd.StderrPipe()
	return out, errors.Join(append(errs[:], cmd.Start())...)
}
