package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tcpstory/internal/host/hosttest"
	"tcpstory/internal/lab"
)

const containerPort = 7720

// elsewhere runs commands where /var and /run are other directories: a container
// runtime's that keeps its files there.
type elsewhere struct{ varDir, runDir string }

func (e elsewhere) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	const script = `mount --bind "$1" /var && mount --bind "$2" /run && shift 2 && exec "$@"`
	return exec.CommandContext(ctx, "unshare", append([]string{"-m", "--", "sh", "-c", script, "sh", e.varDir, e.runDir, name}, args...)...)
}

// container is what must be told of one.
type container struct {
	id, name, runtime, cgroup string
	netns                     uint32
	files                     elsewhere
	converse                  func() // a connection on its loopback device, to containerPort
	older                     bool   // whose listener existed before
}

// TestContainerByHand: a cgroup with a name as docker gives it, and a network
// namespace that has none.
func TestContainerByHand(t *testing.T) {
	c := container{id: strings.Repeat("0123456789abcdef", 4), name: "web", runtime: "docker", older: true}
	c.cgroup = hosttest.MakeCgroup(t, "docker/"+c.id)
	c.files = elsewhere{t.TempDir(), t.TempDir()}
	config := filepath.Join(c.files.varDir, "lib/docker/containers", c.id, "config.v2.json")
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, `{"ID":%q,"Name":"/%s"}`, c.id, c.name), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newLab(t, lab.Options{}).Host(lab.Client)
	c.netns = h.Netns()
	p, err := h.Start("contained")
	if err != nil {
		t.Fatal(err)
	}
	takeName(t, h)
	hosttest.MoveTo(t, c.cgroup, p.PID())
	at := netip.AddrPortFrom(loopback(lab.IPv4), containerPort)
	if err := p.Listen(t.Context(), "l", at); err != nil {
		t.Fatal(err)
	}
	c.converse = func() {
		for _, err := range []error{
			second(p.Connect(t.Context(), "c", at, lab.Option{})), p.Outcome(t.Context(), "c"), p.Accept(t.Context(), "l", "s"),
			p.Send(t.Context(), "c", 1, 100), p.Receive(t.Context(), "s", 100),
			p.CloseSocket(t.Context(), "c"), p.CloseSocket(t.Context(), "s"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	c.check(t)
}

func second[T any](_ T, err error) error { return err }

// TestContainerOfPodman: a real runtime's.
func TestContainerOfPodman(t *testing.T) {
	b := hosttest.StartBox(t)
	port := fmt.Sprint(containerPort)
	b.Do(t, "listen "+port)
	netns, err := namedNetns(fmt.Sprint(b.PID))
	if err != nil {
		t.Fatal(err)
	}
	container{
		id: b.ID, name: b.Name, runtime: "podman", cgroup: b.Parent + "/", netns: netns, older: true,
		files: elsewhere{b.Var, b.Run}, converse: func() { b.Do(t, "converse "+port) },
	}.check(t)
}

// check has tracers watch the container and wants its name in each view.
func (c container) check(t *testing.T) {
	t.Helper()
	expression := []string{"port", fmt.Sprint(containerPort)}
	all := watch(t, c.files, append(expression, "--json")...)
	chosen := watch(t, c.files, append(expression, "--json", "--cgroup", c.cgroup)...)
	wide := watch(t, c.files, append(expression, "--view", "columns")...)
	c.converse()
	n := 0
	for _, p := range []*proc{all, chosen} {
		p.interrupt()
		list := c.events(t, p)
		if n == 0 {
			n = len(list)
		}
		if len(list) != n || n < 15 {
			t.Errorf("%v: %d events, want %d", p.cmd.Args, len(list), n)
		}
	}
	wide.interrupt()
	heading := fmt.Sprintf(` in %s\)`, c.name)
	if count(wide.lines(), `^#\d+  c 127\.0\.0\.1.*`+heading) != 1 {
		t.Errorf("no heading of the connection has %s\n%s", heading, wide.both())
	}
}

// events are those of the container; each must tell where it happened.
func (c container) events(t *testing.T, p *proc) (list []fact) {
	t.Helper()
	some := &few{T: t}
	for _, f := range factsOf(t, p, c.netns) {
		if f.Netns != c.netns {
			continue
		}
		list = append(list, f)
		if f.Container != c.id || f.ContainerName != c.name || f.Runtime != c.runtime || !strings.HasPrefix(f.CgroupPath, c.cgroup) || f.NetnsName != "" {
			some.Errorf("want it in %s (%s, %s, below %s): %v", c.name, c.id, c.runtime, c.cgroup, &f)
		}
		if f.Role == "listener" && f.Older != c.older {
			some.Errorf("the listener existed: %v", &f)
		}
	}
	return list
}
