package main

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"tcpstory/internal/host/hosttest"
	"tcpstory/internal/lab"
)

// TestNowContainer: a socket's container is known by the cgroup that it was made in,
// without any process; the cgroup chooses, named as users name it.
func TestNowContainer(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	cgroup := hosttest.MakeCgroup(t, "docker/"+id)
	h := newLab(t, lab.Options{Topology: lab.Alone}).Host(lab.Client)
	inside, outside := peer(t, h, "inside"), peer(t, h, "outside")
	hosttest.MoveTo(t, cgroup, inside.PID())
	mustDo(t, inside.Listen(t.Context(), "l", netip.MustParseAddrPort("127.0.0.1:7388")))
	mustDo(t, outside.Listen(t.Context(), "l", netip.MustParseAddrPort("127.0.0.1:7389")))
	netns := "--netns=" + h.NetnsName()
	for _, path := range []string{cgroup, filepath.Dir(cgroup), hosttest.Cgroup2(t) + cgroup, strings.TrimPrefix(cgroup, "/")} {
		list := nowOf(t, netns, "--cgroup", path)
		if len(list) != 1 || list[0]["local_port"] != 7388.0 || list[0]["container"] != id || list[0]["cgroup_path"] != cgroup || list[0]["runtime"] != "docker" {
			t.Errorf("--cgroup %s: %v", path, list)
		}
	}
	for args, want := range map[string]string{"-w": id[:12], "-ccontainer": "1  " + id[:12]} {
		if text := strings.Join(printed(t, tcpstory(here{}, "now", netns, args)), ""); !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%s", args, want, text)
		}
	}
}
