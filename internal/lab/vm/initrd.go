package vm

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"tcpstory/internal/lab/vm/script"
)

// writeInitrd packs the guest's whole file system.
func writeInitrd(name string, k Kernel, job Job) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := pack(newCPIO(w), k, job); err != nil {
		return err
	}
	return w.Flush()
}

func pack(c *cpio, k Kernel, job Job) error {
	guest, err := guestProgram()
	if err != nil {
		return err
	}
	c.device("/dev/console", 5, 1) // the kernel opens it for process 1, before any mount
	c.file("/init", guest)
	program := path.Join("/bin", filepath.Base(job.Binary))
	if err := c.copy(program, job.Binary); err != nil {
		return err
	}
	for to, from := range job.Files {
		if err := c.copy(to, from); err != nil {
			return err
		}
	}
	modules, err := packModules(c, k, job.Modules)
	if err != nil {
		return err
	}
	if err := packScript(c, script.Job{
		Args: append([]string{program}, job.Args...), Env: job.Env, Modules: modules, Steps: job.Steps,
	}); err != nil {
		return err
	}
	return c.end()
}

func packScript(c *cpio, job script.Job) error {
	b, err := json.Marshal(job)
	if err != nil {
		return fmt.Errorf("write the job: %w", err)
	}
	c.file(script.Path, b)
	return nil
}

// packModules adds the wanted modules with their dependencies and returns their
// paths in the order to insert them.
func packModules(c *cpio, k Kernel, want []string) ([]string, error) {
	mods, err := resolveModules(k.Modules, want)
	if err != nil {
		return nil, fmt.Errorf("modules of %s: %w", k.Release, err)
	}
	var paths []string
	for _, m := range mods {
		at := path.Join("/lib/modules", m.name+".ko")
		c.file(at, m.data)
		paths = append(paths, at)
	}
	return paths, nil
}

// checkStatic refuses programs that the guest, which has no dynamic linker,
// could not start.
func checkStatic(name string) error {
	f, err := elf.Open(name)
	if err != nil {
		return fmt.Errorf("program for the guest: %w", err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("program for the guest %s: built for %v, not for amd64", name, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("program for the guest %s: dynamically linked; build it with CGO_ENABLED=0 or -extldflags=-static", name)
		}
	}
	return nil
}
