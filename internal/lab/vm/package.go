package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// found is a kernel's metapackage in one suite.
type found struct {
	archive archive
	pkg     string
	version string
}

// lookUp finds w's latest version in its suites; apt keeps its state in tmp. A
// suite may be gone as long as another one has the package.
func lookUp(ctx context.Context, tmp string, w Want) (found, error) {
	m, err := findMirrors(ctx)
	if err != nil {
		return found{}, fmt.Errorf("find the Debian mirror: %w", err)
	}
	var best found
	var failed []error
	for _, suite := range w.Suites {
		f, err := lookIn(ctx, filepath.Join(tmp, suite), m.of(suite), suite, w.Package)
		if err != nil {
			failed = append(failed, err)
		} else if best.version == "" || newer(ctx, f.version, best.version) {
			best = f
		}
	}
	if best.version == "" {
		return found{}, errors.Join(failed...)
	}
	return best, nil
}

func lookIn(ctx context.Context, dir, mirror, suite, pkg string) (found, error) {
	a, err := openArchive(ctx, dir, mirror, suite)
	if err != nil {
		return found{}, err
	}
	fields, err := a.show(ctx, pkg)
	if err != nil {
		return found{}, fmt.Errorf("look up %s in %s: %w", pkg, suite, err)
	}
	return found{archive: a, pkg: pkg, version: fields["Version"]}, nil
}

// newer compares versions as Debian does.
func newer(ctx context.Context, a, b string) bool {
	return exec.CommandContext(ctx, "dpkg", "--compare-versions", a, "gt", b).Run() == nil
}

// kernelPackage is a package that holds a kernel or its modules, or leads to
// one that does. (From 6.19 on Debian splits the image into -binary and
// -modules.) Those that only lead name no point release.
var (
	kernelPackage = regexp.MustCompile(`^linux-(image|binary|modules)-`)
	pointRelease  = regexp.MustCompile(`-\d+\.\d+\.\d`)
)

// contents returns the packages with a kernel or modules that f's package leads
// to.
func (f found) contents(ctx context.Context) ([]string, error) {
	all := []string{f.pkg}
	for i := 0; i < len(all); i++ {
		fields, err := f.archive.show(ctx, all[i])
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", all[i], err)
		}
		for _, d := range strings.Split(fields["Depends"], ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(d), " ")
			if kernelPackage.MatchString(name) && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return slices.DeleteFunc(all, func(p string) bool { return !pointRelease.MatchString(p) }), nil
}

// unpack fetches f's packages and makes a cached kernel of them in dir.
func (f found) unpack(ctx context.Context, dir string) error {
	pkgs, err := f.contents(ctx)
	if err != nil {
		return err
	}
	debs, err := f.archive.download(ctx, pkgs)
	if err != nil {
		return fmt.Errorf("download %s: %w", strings.Join(pkgs, ", "), err)
	}
	root := dir + ".root"
	for _, d := range debs {
		if _, err := command(ctx, "", "dpkg-deb", "--extract", d, root); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(d), err)
		}
	}
	return f.arrange(root, dir)
}

// arrange picks the kernel and its modules out of unpacked packages.
func (f found) arrange(root, dir string) error {
	modules, err := only(root, "lib/modules/*", "usr/lib/modules/*")
	if err != nil {
		return fmt.Errorf("find the modules of %s %s: %w", f.pkg, f.version, err)
	}
	image, err := only(root, "boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
	if err != nil {
		return fmt.Errorf("find the image of %s %s: %w", f.pkg, f.version, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unpackImage(image, filepath.Join(dir, imageFile)); err != nil {
		return err
	}
	if err := os.Rename(modules, filepath.Join(dir, modulesDir)); err != nil {
		return err
	}
	text, err := json.Marshal(description{Release: filepath.Base(modules), Version: f.version})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, describedBy), text, 0o644)
}

// only returns the one file under root that matches any of the patterns.
func only(root string, patterns ...string) (string, error) {
	var all []string
	for _, p := range patterns {
		hits, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			return "", err
		}
		all = append(all, hits...)
	}
	if len(all) != 1 {
		return "", errors.New("not one but " + fmt.Sprint(all))
	}
	return all[0], nil
}
