package host

import (
	"os"
	"os/exec"
	"testing"
)

// withoutRights runs the calling test once more in a process whose root has no
// capabilities, and reports whether this is that process.
func withoutRights(t *testing.T) bool {
	t.Helper()
	if os.Getenv("TCPSTORY_WITHOUT_RIGHTS") != "" {
		return true
	}
	cmd := exec.Command("setpriv", "--bounding-set=-all", "--inh-caps=-all", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "TCPSTORY_WITHOUT_RIGHTS=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("without rights: %v\n%s", err, out)
	}
	return false
}
