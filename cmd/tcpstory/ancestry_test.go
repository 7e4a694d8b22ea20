package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestAncestry: sudo clears the environment; the session is found all the same.
func TestAncestry(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("ANCESTRY") != "" { // the inner process, its own environment bare of the session
		os.Stdout.WriteString("found " + inherited(os.Getenv, "/proc")(sshConnection) + "\n")
		return
	}
	const session = "192.0.2.7 50022 192.0.2.2 22"
	cmd := exec.Command("sh", "-c", `env -u SSH_CONNECTION ANCESTRY=1 "$0" -test.run '^TestAncestry$'; true`, self)
	cmd.Env = append(plainEnv(), sshConnection+"="+session)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "found "+session) {
		t.Errorf("%v\n%s", err, out)
	}
	if got := inherited(func(string) string { return "own" }, "/proc")(sshConnection); got != "own" {
		t.Errorf("the own environment comes first, got %q", got)
	}
}
