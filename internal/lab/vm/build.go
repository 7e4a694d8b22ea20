package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// linking is a way to make the go command link without a dynamic linker.
type linking struct {
	env   string
	flags []string
}

var (
	// pureGo needs no C compiler and serves programs without C.
	pureGo = linking{"CGO_ENABLED=0", []string{"-trimpath", "-ldflags=-s -w"}}
	// staticC is how the Makefile links tcpstory with libpcap.
	staticC = linking{"CGO_ENABLED=1", []string{
		"-trimpath", "-tags=netgo,osusergo", `-ldflags=-s -w -linkmode external -extldflags "-static"`,
	}}
)

// Build builds a Go main package as a static linux/amd64 program that Run can
// boot with. It runs the go command in the working directory, which has to be
// inside this module.
func Build(out, pkg string) error { return staticC.run("build", "-o", out, pkg) }

// BuildTest builds the tests of a package as such a program: Run it with Args
// like -test.v.
func BuildTest(out, pkg string) error { return staticC.run("test", "-c", "-o", out, pkg) }

func (l linking) run(verb string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{verb}, l.flags...), args...)...)
	cmd.Env = append(os.Environ(), l.env, "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, text)
	}
	return nil
}

// guestProgram builds the guest's process 1, once in a process.
var guestProgram = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "tcpstory-guest-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the guest: %w", err)
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "init")
	if err := pureGo.run("build", "-o", bin, "tcpstory/internal/lab/vm/guest"); err != nil {
		return nil, err
	}
	return os.ReadFile(bin)
})
