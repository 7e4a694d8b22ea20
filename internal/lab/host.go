package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Host is one network namespace of a lab.
type Host struct {
	name   string
	ns     *namespace
	device string
	addr4  netip.Addr
	addr6  netip.Addr
	diag   diag
	guest  bool // the namespace is another host's
}

// bootSysctls make a host quiet and every run like the one before it.
var bootSysctls = [...]struct{ key, value string }{
	{"net.ipv4.tcp_no_metrics_save", "1"}, // no memory of earlier connections
	{"net.ipv6.conf.default.accept_dad", "0"},
	{"net.ipv6.conf.default.accept_ra", "0"},
	{"net.ipv6.conf.default.router_solicitations", "0"},
}

// Name is the host's name in the lab: "client", "server" …
func (h *Host) Name() string { return h.name }

// NetnsName is the name that "ip netns exec" takes.
func (h *Host) NetnsName() string { return h.ns.name }

// Netns is the inode of the namespace, as in /proc/PID/ns/net.
func (h *Host) Netns() uint32 { return h.ns.inode }

// Path is a file that setns(2) takes and "nsenter --net=".
func (h *Host) Path() string { return h.ns.path() }

// Device is the interface towards the client's or the server's peer: "veth0".
func (h *Host) Device() string { return h.device }

// Addr4 is the IPv4 address on Device.
func (h *Host) Addr4() netip.Addr { return h.addr4 }

// Addr6 is the IPv6 address on Device.
func (h *Host) Addr6() netip.Addr { return h.addr6 }

// Addr is Addr4 or Addr6.
func (h *Host) Addr(f Family) netip.Addr {
	if f == IPv6 {
		return h.addr6
	}
	return h.addr4
}

// Within runs f on an OS thread that is in the host's namespace: a socket that
// f makes stays there, a process that f starts is born there.
func (h *Host) Within(f func() error) error { return h.ns.within(f) }

// Command is a command that will run in the host's namespace. It is killed
// when ctx ends, and at the latest when the lab is closed.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + h.Path(), "--", name}, args...)...)
}

// Sysctl sets a variable of the host's own network stack: "net.ipv4.…".
func (h *Host) Sysctl(key, value string) error {
	return h.ns.within(func() error {
		if err := os.WriteFile(sysctlPath(key), []byte(value), 0); err != nil {
			return fmt.Errorf("set %s=%s on the %s: %w", key, value, h.name, err)
		}
		return nil
	})
}

// ReadSysctl reads such a variable.
func (h *Host) ReadSysctl(key string) (value string, err error) {
	err = h.ns.within(func() error {
		b, err := os.ReadFile(sysctlPath(key))
		if err != nil {
			return fmt.Errorf("read %s on the %s: %w", key, h.name, err)
		}
		value = strings.TrimSpace(string(b))
		return nil
	})
	return value, err
}

func sysctlPath(key string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
}

// boot brings up the loopback device of a fresh namespace.
func (h *Host) boot() error {
	for _, s := range bootSysctls {
		if err := h.Sysctl(s.key, s.value); err != nil {
			return err
		}
	}
	return h.route(func(r router) error { return r.up("lo") })
}

func (h *Host) close() {
	h.diag.close()
	if !h.guest {
		h.ns.fd.Close()
	}
}
