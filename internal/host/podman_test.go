package host

import (
	"strings"
	"testing"

	"tcpstory/internal/host/hosttest"
)

func TestPodman(t *testing.T) {
	b := hosttest.StartBox(t)
	number, path := processCgroup(t, b.PID)
	n, _ := watchAt(t, Roots{Proc: "/proc", Run: b.Run, Var: b.Var})
	want := Cgroup{Path: path, Container: b.ID, Name: b.Name, Runtime: podman}
	if have := n.Cgroup(number); have != want || !strings.HasPrefix(path, b.Parent+"/") {
		t.Errorf("process %d in cgroup %d:\n  %+v, want\n  %+v", b.PID, number, have, want)
	}
	b.Stop(t)
	if have := n.Cgroup(number); have != want {
		t.Errorf("after its end: %+v", have)
	}
	late, _ := watchAt(t, n.roots)
	if have := late.Cgroup(number); have != (Cgroup{}) {
		t.Errorf("first asked for after its end: %+v", have)
	}
}
