package blindspot

import (
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSweep: the next watch removes what a test that was killed has left, and nothing
// of one that is at work.
func TestSweep(t *testing.T) {
	here := Watch(t)
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	left := instance + strconv.Itoa(ended.Process.Pid) + "-1"
	if err := unix.Mkdirat(here.mount, left, 0o700); err != nil {
		t.Fatal(err)
	}
	next := Watch(t)
	for name, want := range map[string]error{left: unix.ENOENT, here.name: nil, next.name: nil} {
		if err := unix.Faccessat(here.mount, name, unix.F_OK, 0); err != want {
			t.Errorf("%s: %v, not %v", name, err, want)
		}
	}
}
