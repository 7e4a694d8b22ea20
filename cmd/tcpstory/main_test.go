package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this binary serve as tcpstory too: every test runs the real
// main in a process of its own, which it finds in PATH.
func TestMain(m *testing.M) {
	testscript.Main(reachable{m}, map[string]func(){"tcpstory": main})
}

// reachable lets processes without rights enter the directory of the programs
// that testscript makes.
type reachable struct{ testscript.TestingM }

// Run implements testscript.TestingM.
func (r reachable) Run() int {
	path, err := exec.LookPath("tcpstory")
	if err != nil {
		panic(err)
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			panic(err)
		}
	}
	return r.TestingM.Run()
}
