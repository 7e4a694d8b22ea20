package vm

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// module is a kernel module, uncompressed.
type module struct {
	name string // with underscores, as the kernel spells it
	data []byte
}

// resolver finds modules under a directory and puts them in the order in which
// they can be inserted. (modules.dep, which says that, is made on installing.)
type resolver struct {
	paths map[string]string // by name
	seen  map[string]bool
	order []module
}

// resolveModules returns the wanted modules, each after those it depends on.
func resolveModules(dir string, want []string) ([]module, error) {
	if len(want) == 0 {
		return nil, nil
	}
	paths, err := modulePaths(dir)
	if err != nil {
		return nil, err
	}
	r := resolver{paths: paths, seen: map[string]bool{}}
	for _, name := range want {
		if r.paths[moduleName(name)] == "" {
			return nil, fmt.Errorf("no module %s (built into the kernel, or not for this one)", name)
		}
		if err := r.add(name); err != nil {
			return nil, err
		}
	}
	return r.order, nil
}

func modulePaths(dir string) (map[string]string, error) {
	paths := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if base, _, ok := strings.Cut(filepath.Base(p), ".ko"); ok {
			paths[moduleName(base)] = p
		}
		return err
	})
	return paths, err
}

// moduleName spells a file's name as the kernel does.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

func (r *resolver) add(name string) error {
	name = moduleName(name)
	at := r.paths[name]
	if at == "" || r.seen[name] { // a dependency without a file is built in
		return nil
	}
	r.seen[name] = true
	data, err := os.ReadFile(at)
	if err != nil {
		return err
	}
	if strings.HasSuffix(at, ".xz") {
		if data, err = decompress("xz", data); err != nil {
			return fmt.Errorf("unpack %s: %w", at, err)
		}
	}
	for _, d := range dependencies(data) {
		if err := r.add(d); err != nil {
			return err
		}
	}
	r.order = append(r.order, module{name: name, data: data})
	return nil
}

// dependencies reads the "depends=" line of a module's .modinfo section.
func dependencies(data []byte) []string {
	_, rest, ok := bytes.Cut(data, []byte("\x00depends="))
	if !ok {
		return nil
	}
	line, _, _ := bytes.Cut(rest, []byte{0})
	return strings.FieldsFunc(string(line), func(r rune) bool { return r == ',' })
}
