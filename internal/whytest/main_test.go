package whytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tcpstory is the program under test.
var tcpstory string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "whytest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	tcpstory = filepath.Join(dir, "tcpstory")
	build := exec.Command("go", "build", "-o", tcpstory, "../../cmd/tcpstory")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build tcpstory: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
